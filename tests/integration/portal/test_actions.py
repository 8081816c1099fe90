"""What members do, through the forms of the pages."""

from typing import Any

from trunkline.audit.service import history
from trunkline.kernel.db import OPERATOR
from trunkline.readers import repository as readers
from trunkline.runs import repository
from trunkline_tenants.seed import Seeded


async def deeds(factory: Any, tenant_id: Any) -> list[str]:
    async with factory.db.tenant(tenant_id) as session:
        return [entry.action for entry in await history(session, tenant_id)]


async def register(services: Any) -> None:
    async with services.db.tenant(OPERATOR) as session:
        await services.connections.clients.register(
            session, OPERATOR, "hubspot", client_id="sandbox-client", secret="s3cret"
        )


async def test_starting_leads_to_the_provider(owner: Any, services: Any) -> None:
    early = await owner.flash(await owner.post("/portal/connections/start", connector="hubspot"))
    assert "not registered as an app" in early
    await register(services)
    answer = await owner.post("/portal/connections/start", connector="hubspot")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("http://127.0.0.1:9/hubspot/oauth/authorize?")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("trunkline_flow_")
    assert "HttpOnly" in cookie
    unknown = await owner.flash(await owner.post("/portal/connections/start", connector="nope"))
    assert "no connector of that name" in unknown
    assert "No connections yet" in (await owner.get("/portal")).text, "a trip that did not return is none"


async def test_reconnecting_keeps_the_connection(
    factory: Any, people: Seeded, owner: Any, services: Any
) -> None:
    await register(services)
    made = await factory.whole(people.tenants["globex"].id, state="reconnect_required", cause="grant_revoked")
    path = f"/portal/connections/{made.connection_id}"
    assert "http://127.0.0.1:9" in (await owner.get(path)).headers["content-security-policy"]
    answer = await owner.post(f"{path}/reconnect")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("http://127.0.0.1:9/")
    assert (await owner.get("/portal")).text.count(f'href="{path}"') >= 1


async def test_sync_reread_and_cancel(factory: Any, people: Seeded, owner: Any) -> None:
    tenant_id = people.tenants["globex"].id
    made = await factory.whole(tenant_id)
    path = f"/portal/connections/{made.connection_id}"
    assert "Sync started" in await owner.flash(await owner.post(f"{path}/sync"))
    async with factory.db.tenant(tenant_id) as session:
        (run,) = await repository.active_runs(session, tenant_id, made.connection_id)
    assert run.trigger == "manual"
    assert "A sync is under way" in await owner.flash(await owner.post(f"{path}/reread"))
    assert "run is cancelled" in await owner.flash(await owner.post(f"/portal/runs/{run.id}/cancel"))
    assert "already ended" in await owner.flash(await owner.post(f"/portal/runs/{run.id}/cancel"))
    assert "Read everything anew?" in (await owner.get(f"{path}/reread")).text
    assert "being read anew" in await owner.flash(await owner.post(f"{path}/reread"))
    assert "connection.reread_requested" in await deeds(factory, tenant_id)
    assert "run.cancelled" in await deeds(factory, tenant_id)
    text = (await owner.get("/portal/activity")).text
    assert "Ada Byron started a full re-read of" in text


async def test_unknown_stream_is_not_found(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}/sync"
    for stream in ("nope", "\0", "x" * 5000):
        assert (await owner.post(path, stream=stream)).status_code == 404


async def test_pause_resume_rename(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}"
    assert "is paused" in await owner.flash(await owner.post(f"{path}/pause"))
    assert "is paused; resume it first" in await owner.flash(await owner.post(f"{path}/sync"))
    assert "active again" in await owner.flash(await owner.post(f"{path}/resume"))
    assert "Renamed to Europe." in await owner.flash(await owner.post(f"{path}/rename", name=" Europe "))
    assert "name of 1 to 100" in await owner.flash(await owner.post(f"{path}/rename", name=""))
    assert "<title>Europe" in (await owner.get(path)).text


async def test_disconnecting_asks_first_and_keeps_the_data(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/connections/{made.connection_id}"
    asked = (await owner.get(f"{path}/disconnect")).text
    assert "revoked" in asked
    assert "Records, recipes and history are kept" in asked
    assert "is disconnected" in await owner.flash(await owner.post(f"{path}/disconnect"))
    text = (await owner.get(path)).text
    assert "Connect again" in text
    assert "Sync now" not in text
    assert "/contacts/51" in (await owner.get(f"/portal/records?connection={made.connection_id}")).text
    assert "Disconnected" in (await owner.get("/portal")).text


async def test_a_member_chooses_how_fresh_a_stream_must_be(
    factory: Any, people: Seeded, owner: Any, viewer: Any, services: Any
) -> None:
    tenant_id = people.tenants["globex"].id
    made = await factory.whole(tenant_id)
    path = f"/portal/connections/{made.connection_id}"
    assert "target 15 min" in (await owner.get(path)).text
    assert (await viewer.post(f"{path}/freshness", stream="contacts", seconds="300")).status_code == 403
    assert "How fresh it should be" not in (await viewer.get(path)).text
    assert "Choose one" in await owner.flash(
        await owner.post(f"{path}/freshness", stream="contacts", seconds="1")
    )
    assert (await owner.post(f"{path}/freshness", stream="none", seconds="300")).status_code == 404
    told = await owner.flash(await owner.post(f"{path}/freshness", stream="contacts", seconds="14400"))
    assert "target is now 4 h" in told
    assert "target 4 h" in (await owner.get(path)).text
    # a recipe that is saved leaves it as it was chosen; the choice can be taken back
    async with services.db.tenant(tenant_id) as session:
        await services.runs.ensure_stream(session, tenant_id, made.connection_id, "contacts", 60, 900)
        (view, *_) = await services.runs.streams(session, tenant_id, made.connection_id)
    assert (view.freshness_seconds, view.freshness_chosen) == (14_400, True)
    await owner.post(f"{path}/freshness", stream="contacts", seconds="own")
    assert "target 15 min" in (await owner.get(path)).text
    assert (await deeds(factory, tenant_id))[:2] == ["connection.freshness_changed"] * 2


async def test_the_overview_tells_what_changed_and_who_has_read_it(
    factory: Any, people: Seeded, owner: Any, services: Any
) -> None:
    tenant_id = people.tenants["globex"].id
    await factory.whole(tenant_id)
    async with services.db.tenant(tenant_id) as session:
        await readers.count_changes(session, tenant_id, after=0, up_to=10**6)
        await services.feeds.create(session, tenant_id, "billing-sync", 0)
    shown = (await owner.get("/portal")).text
    assert "What changed" in shown
    assert "billing-sync" in shown
    assert "Unread changes" in shown
