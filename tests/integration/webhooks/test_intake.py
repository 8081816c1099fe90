"""Bounded, proven, stored, then answered; once and for the right tenants."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from webhooks_kit.hooks import ORIGIN, SECRET, Hooks, event, request

from trunkline.cli.failures import Failure
from trunkline.cli.hooks import address_of
from trunkline.connections.clients import OAuthClients
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.webhooks import group_commit
from trunkline_connectors.catalogue import manifests


async def test_a_list_is_split_and_goes_to_whose_accounts_it_names(hooks: Hooks) -> None:
    one, first = await hooks.connect("101")
    two, second = await hooks.connect("102")
    also_two, third = await hooks.connect("102")
    gone, _ = await hooks.connect("103", state="disconnected")
    mine, other, lost = event("101", 11, 1), event("102", 12, 2), event("103", 13, 3)
    body = (
        b" ["
        + json.dumps(mine).encode()
        + b" , "
        + json.dumps(other).encode()
        + b","
        + json.dumps(lost).encode()
        + b"]"
    )
    assert (await hooks.deliver(body)).status == 200
    for tenant, connection, sent in ((one, first, mine), (two, second, other), (also_two, third, other)):
        (row,) = await hooks.events(tenant)
        assert await hooks.opened(tenant, row) == json.dumps(sent).encode(), (
            "its own bytes, and nobody else's"
        )
        assert (row["connection_id"], row["source_id"], row["state"]) == (connection, connection, "queued")
        assert (row["type"], row["event_id"], row["verdict"]) == (
            "contact.creation",
            str(sent["eventId"]),
            "verified",
        )
        assert row["request_id"] == "request-1"
        kept = json.loads(await hooks.opened(tenant, row, "headers"))
        assert kept["content-type"] == "application/json"
        assert kept["authorization"] == kept["x-hubspot-signature-v3"] == "…"
    assert await hooks.events(gone) == []
    assert await hooks.refusals() == {"unknown_account": 1}


async def test_the_same_event_is_kept_once_for_ever(hooks: Hooks) -> None:
    tenant, _ = await hooks.connect("101")
    again = event("101", 11, 1)
    for attempt in range(3):
        assert (await hooks.deliver([again | {"attemptNumber": attempt}] * 2)).status == 200
    # an eventId is not unique: another object's is another event
    assert (await hooks.deliver([again | {"objectId": 12}])).status == 200
    assert len(await hooks.events(tenant)) == 2
    async with hooks.db.tenant(tenant) as session:
        await session.execute(
            text(
                "UPDATE inbound_events SET body = NULL, headers = NULL, state = 'applied' WHERE tenant_id = :t"
            ),
            {"t": tenant},
        )
    assert (await hooks.deliver([again])).status == 200
    assert [row["body"] for row in await hooks.events(tenant)] == [None, None], "the row outlives its payload"


async def test_it_is_processed_because_work_is_asked_for_after_the_commit(hooks: Hooks) -> None:
    tenant, connection = await hooks.connect("101")
    await hooks.deliver([event("101")])
    await hooks.intake._waker.close()
    async with hooks.db.tenant(tenant) as session:
        (row,) = await session.execute(text("SELECT kind, key FROM work WHERE tenant_id = :t"), {"t": tenant})
    assert (row.kind, row.key) == ("hooks", str(connection))


async def test_what_is_not_proven_is_refused_unread_and_counted(hooks: Hooks) -> None:
    tenant, _ = await hooks.connect("101")
    hostile = b'{"a":' * 100_000
    body = json.dumps([event("101")]).encode()
    good = hooks.signed(body)
    cases: list[tuple[bytes, dict[str, str], int]] = [
        (body, {}, 401),
        (body + b" ", good, 401),
        (body, good | {"X-HubSpot-Signature-v3": "x" * 44}, 401),
        (body, hooks.signed(body, secret="another"), 401),
        (hostile, hooks.signed(hostile, secret="another"), 401),
        (body, hooks.signed(body, at=time.time() - 301), 401),
        (body, hooks.signed(body, at=time.time() + 400), 401),
        (body, good | {"content-length": "2000000"}, 413),
        (b"x" * 1_100_000, {}, 413),
        (hostile, hooks.signed(hostile), 400),
        (b"[1]", hooks.signed(b"[1]"), 400),
        (b'[{"portalId": 1}]', hooks.signed(b'[{"portalId": 1}]'), 400),
    ]
    for sent, headers, status in cases:
        assert (await hooks.deliver(sent, headers=headers)).status == status
    assert await hooks.events(tenant) == []
    assert await hooks.refusals() == {"unverifiable": 5, "replayed": 2, "too_large": 2, "unparsable": 3}
    async with hooks.db.tenant(OPERATOR) as session:
        rows = (await session.execute(text("SELECT sample::text FROM hook_refusals"))).scalars().all()
    assert not any("not-to-be-kept" in row or 'portalId": 1' in row or len(row) > 3000 for row in rows)


@pytest.mark.parametrize(
    "path", ["/hooks/hubspot/nobody", "/hooks/hubspot/", "/hooks/hubspot", "/hooks/nothing/x", "/hooks/"]
)
async def test_an_address_that_nobody_has_says_nothing(hooks: Hooks, path: str) -> None:
    assert (await request(hooks.intake, path, b"{}", {})).status == 404
    key = hooks.path.rpartition("/")[2]
    assert (await request(hooks.intake, f"/hooks/custom/{key}", b"{}", {})).status == 404, (
        "another connector's"
    )
    assert (await hooks.refusals())["unknown_endpoint"] == 2


async def test_other_methods_are_answered_as_the_manifest_says(hooks: Hooks) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        said = await request(hooks.intake, hooks.path, b"", {}, method)
        assert (said.status, said.headers["allow"]) == (405, "POST")


async def test_a_secret_that_was_replaced_counts_for_a_while(hooks: Hooks) -> None:
    tenant, _ = await hooks.connect("101")
    async with hooks.db.tenant(OPERATOR) as session:
        await hooks.service.keep_client_secret(session, OPERATOR, "hubspot")
        await OAuthClients(hooks.db, hooks.vault, Connectors(manifests())).register(
            session, OPERATOR, "hubspot", client_id="app", secret="the-new-one"
        )
    hooks.intake._sources.forget()
    assert (await hooks.deliver([event("101", number=1)], secret=SECRET)).status == 200
    assert (await hooks.deliver([event("101", number=2)], secret="the-new-one")).status == 200
    verdicts = [row["verdict"] for row in await hooks.events(tenant)]
    assert verdicts == ["verified_by_previous_secret", "verified"]
    async with hooks.db.tenant(OPERATOR) as session:
        await session.execute(text("UPDATE hook_endpoints SET previous_until = now() - interval '1 second'"))
    hooks.intake._sources.forget()
    assert (await hooks.deliver([event("101", number=3)], secret=SECRET)).status == 401


async def test_those_that_come_while_a_commit_is_under_way_share_the_next(hooks: Hooks) -> None:
    tenant, _ = await hooks.connect("101")
    said = await asyncio.gather(*(hooks.deliver([event("101", number, number)]) for number in range(200)))
    assert {one.status for one in said} == {200}
    assert len(await hooks.events(tenant)) == 200
    assert hooks.intake._commit.commits < 100


async def test_one_that_cannot_be_written_fails_alone(hooks: Hooks) -> None:
    """Its connection was removed after the way to it was found."""
    tenant, _ = await hooks.connect("101")
    other, connection = await hooks.connect("102")
    assert (await hooks.deliver([event("101", 1, 1), event("102", 1, 1)])).status == 200
    async with hooks.db.tenant(other) as session:
        await session.execute(
            text("DELETE FROM connections WHERE tenant_id = :t AND id = :c"), {"t": other, "c": connection}
        )
    said = await asyncio.gather(
        *(
            hooks.deliver([event(account, number, number)])
            for number in range(2, 12)
            for account in ("101", "102")
        )
    )
    assert {one.status for one in said} == {200}, "found anew, it is an account that nobody has"
    assert len(await hooks.events(tenant)) == 11


async def test_too_much_at_once_is_told_to_come_again(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, _ = await hooks.connect("101")
    monkeypatch.setattr(group_commit, "MOST_WAITING", 2000)
    said = await asyncio.gather(*(hooks.deliver([event("101", number, number)]) for number in range(100)))
    refused = [one for one in said if one.status == 503]
    assert refused
    assert all(one.headers["retry-after"] == "2" for one in refused)
    assert len(await hooks.events(tenant)) == len(said) - len(refused), "what was not refused is there"
    assert (await hooks.refusals())["overloaded"] == len(refused)


async def test_what_arrived_cannot_be_altered_by_the_running_software(hooks: Hooks) -> None:
    tenant, _ = await hooks.connect("101")
    await hooks.deliver([event("101")])
    for statement in (
        "UPDATE inbound_events SET type = 'x' WHERE tenant_id = :t",
        "UPDATE inbound_events SET received_at = now() WHERE tenant_id = :t",
        "UPDATE inbound_events SET identity = '' WHERE tenant_id = :t",
        "DELETE FROM inbound_events WHERE tenant_id = :t",
    ):
        with pytest.raises(Exception, match="permission denied"):
            async with hooks.db.tenant(tenant) as session:
                await session.execute(text(statement), {"t": tenant})


async def test_the_operator_is_told_the_address_of_its_app(
    hooks: Hooks, db: Database, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, public_url=ORIGIN, database_url=db.url)
    known_here = Connectors(manifests())
    assert await address_of(settings, known_here, "hubspot") == ORIGIN + hooks.path
    for name in ("nothing", "zendesk"):
        with pytest.raises(Failure, match=name):
            await address_of(settings, known_here, name)
