"""What was written through a connection, on its page: why it failed, tried again, decided, allowed."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import text

from trunkline.kernel.db import OPERATOR
from trunkline_tenants.seed import Seeded


async def test_a_person_decides_what_nobody_could_tell(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}"
    await factory.written(made, "done", result_id="77", input=None)
    call_id = (await factory.written(made))["call_id"]
    shown = await owner.get(path)
    assert "Your decision" in shown.text
    assert "no way to find out whether it was written" in shown.text
    assert shown.text.index("Your decision") < shown.text.index("Written</span>")
    assert "Acme Desk" in shown.text

    answer = await owner.post(f"{path}/calls/{call_id}/decide", outcome="perhaps")
    assert answer.status_code == 303
    assert "Say whether it was written." in (await owner.get(path)).text
    await owner.post(f"{path}/calls/{call_id}/decide", outcome="not_written")
    shown = await owner.get(path)
    assert "Not written" in shown.text
    assert "Try again: Move a deal to a stage" in shown.text
    async with factory.db.tenant(made.tenant_id) as session:
        row = (
            await session.execute(text("SELECT state, decided_by FROM action_calls ORDER BY id DESC LIMIT 1"))
        ).one()
    assert (row.state, row.decided_by) == ("failed", "Ada Byron")


async def test_writing_is_allowed_by_a_reconnect_that_asks_for_it(
    factory: Any, people: Seeded, owner: Any, services: Any
) -> None:
    async with services.db.tenant(OPERATOR) as session:
        await services.connections.clients.register(
            session, OPERATOR, "hubspot", client_id="sandbox-client", secret="s3cret"
        )
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}"
    assert "Allow writing" in (await owner.get(path)).text
    call_id = (await factory.written(made, "failed", cause="missing_scope"))["call_id"]
    answer = await owner.post(f"{path}/calls/{call_id}/retry")
    assert answer.status_code == 303
    assert "was not given the permission" in (await owner.get(path)).text
    answer = await owner.post(f"{path}/calls/allow")
    asked = parse_qs(urlsplit(answer.headers["location"]).query)["scope"][0].split()
    assert {"crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.deals.write"} <= set(
        asked
    )


async def test_a_viewer_sees_what_was_written_and_changes_nothing(
    factory: Any, people: Seeded, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}"
    unknown = (await factory.written(made))["call_id"]
    failed = (await factory.written(made, "failed", cause="write_refused"))["call_id"]
    for button in ("It was written", "Try again: Move a deal to a stage", "Allow writing"):
        assert button in (await owner.get(path)).text
        assert button not in (await viewer.get(path)).text
    assert "Your decision" in (await viewer.get(path)).text
    for deed, form in (
        (f"{unknown}/decide", {"outcome": "written"}),
        (f"{failed}/retry", {}),
        ("allow", {}),
    ):
        assert (await viewer.post(f"{path}/calls/{deed}", **form)).status_code == 403, deed
    async with factory.db.tenant(made.tenant_id) as session:
        rows = await session.execute(text("SELECT state FROM action_calls ORDER BY id"))
        assert [row.state for row in rows] == ["unknown", "failed"]
