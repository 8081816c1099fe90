"""What arrived, processed again: looked at first, by the same rules, never beyond its tenant."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from webhooks_kit.flow import Flow

from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.webhooks import replay_repository as repository
from trunkline.webhooks.replay_repository import Wanted
from trunkline.webhooks.replays import REPLAY, ReplayService

ADA = Principal(kind="member", id="ada", role="owner", label="Ada Byron")


@pytest.fixture
def replays(flow: Flow) -> ReplayService:
    rig = flow.rig
    service = ReplayService(rig.db, rig.vault, rig.connectors, rig.provider.applier, rig.work)
    rig.handlers[REPLAY] = service.handler()
    flow.know(REPLAY)
    return service


async def planned(flow: Flow, replays: ReplayService, wanted: Wanted, reason: str | None = None) -> UUID:
    one = flow.connected
    async with flow.rig.db.tenant(one.tenant_id) as session:
        return await replays.plan(session, one.tenant_id, one.connection_id, wanted, ADA, reason=reason)


async def progress(flow: Flow, replays: ReplayService, replay: UUID) -> Any:
    async with flow.rig.db.tenant(flow.connected.tenant_id) as session:
        return await replays.progress(session, flow.connected.tenant_id, replay)


async def run(flow: Flow, replays: ReplayService, replay: UUID) -> None:
    async with flow.rig.db.tenant(flow.connected.tenant_id) as session:
        await replays.start(session, flow.connected.tenant_id, replay, ADA)
        await replays.start(session, flow.connected.tenant_id, replay, ADA)
    for _ in range(3):
        await flow.work()
        await flow.connected.rows(
            "UPDATE work SET due_at = now() WHERE tenant_id = :tenant AND kind = 'replay' RETURNING id"
        )


async def audited(flow: Flow) -> list[str]:
    rows = await flow.connected.rows(
        "SELECT action FROM audit_entries WHERE tenant_id = :tenant ORDER BY sequence"
    )
    return [row.action for row in rows if row.action.startswith(("replay", "event"))]


async def test_one_event_opened_and_replayed(flow: Flow, replays: ReplayService) -> None:
    made = flow.create(email="one@example.com")
    await flow.deliver(flow.event(made, "contact.creation"))
    await flow.work()
    tenant = flow.connected.tenant_id
    (event,) = await flow.hooks.events(tenant)
    async with flow.rig.db.tenant(tenant) as session:
        opened = await replays.open(session, tenant, event["id"])
    assert '"contact.creation"' in (opened.body or "")
    assert opened.headers["content-type"] == "application/json"
    assert [(one.operation, one.external_id) for one in opened.changes] == [("created", made)]
    flow.store.update(flow.account, "contacts", made, {"email": "two@example.com"})
    async with flow.rig.db.tenant(tenant) as session:
        await replays.one(session, tenant, event["id"], ADA, reason="It looked odd")
    with pytest.raises(ConflictError, match="waits"):
        async with flow.rig.db.tenant(tenant) as session:
            await replays.one(session, tenant, event["id"], ADA)
    await flow.work()
    assert await flow.emails() == {made: "two@example.com"}
    async with flow.rig.db.tenant(tenant) as session:
        again = await replays.open(session, tenant, event["id"])
    assert [(one.label, one.outcome) for one in again.attempts] == [
        ("initial", "applied"),
        ("manual", "applied"),
    ]
    assert [one.operation for one in again.changes] == ["created", "updated"]
    assert await audited(flow) == ["event.replayed"]


async def test_a_plan_shows_what_it_would_change_and_changes_nothing(
    flow: Flow, replays: ReplayService
) -> None:
    same, changed, gone = (flow.create(email=f"{name}@example.com") for name in ("same", "changed", "gone"))
    await flow.deliver(*(flow.event(one) for one in (same, changed)), flow.event(gone, "contact.deletion"))
    await flow.work()
    flow.store.update(flow.account, "contacts", changed, {"email": "new@example.com"})
    flow.store.archive(flow.account, "contacts", gone)
    replay = await planned(flow, replays, Wanted(), reason="The mapping was wrong")
    before = await flow.connected.positions()
    differences = await replays.dry_run(flow.connected.tenant_id, replay)
    found = {
        one.external_id: ((one.before or {}).get("email"), (one.after or {}).get("email"))
        for one in differences
    }
    assert found == {
        changed: ("changed@example.com", "new@example.com"),
        gone: ("gone@example.com", None),
    }
    assert await flow.connected.positions() == before
    said = await progress(flow, replays, replay)
    assert (said.replay.state, said.replay.total, said.replay.calls, said.done) == ("planned", 3, 1, 0)
    await run(flow, replays, replay)
    said = await progress(flow, replays, replay)
    assert (said.replay.state, said.replay.queued, said.waiting) == ("done", 3, 0)
    assert said.outcomes == {"applied": 2, "unchanged": 1}
    assert await flow.emails() == {same: "same@example.com", changed: "new@example.com"}
    assert [one.label for one in await flow.attempts()].count("bulk") == 3
    assert await audited(flow) == ["replay.planned", "replay.started"]
    # once more is the same as once
    again = await planned(flow, replays, Wanted())
    await run(flow, replays, again)
    assert (await progress(flow, replays, again)).outcomes == {"unchanged": 3}
    await flow.connected.stands()


async def test_only_what_fits_and_what_was_there_when_it_was_planned(
    flow: Flow, replays: ReplayService
) -> None:
    made = flow.create()
    await flow.deliver(
        flow.event(made), flow.event(made, objectId=None), flow.event(made, "contact.creation")
    )
    await flow.work()
    with pytest.raises(BadInputError):
        await planned(flow, replays, Wanted(states=("superseded",)))
    replay = await planned(flow, replays, Wanted(type="contact.creation"))
    await flow.deliver(flow.event(made, "contact.creation"))
    await flow.work()
    await run(flow, replays, replay)
    said = await progress(flow, replays, replay)
    assert (said.replay.total, said.done) == (1, 1)
    dead = await planned(flow, replays, Wanted(states=("dead",)))
    await run(flow, replays, dead)
    assert (await progress(flow, replays, dead)).outcomes == {"dead": 1}


async def test_cancelled_it_leaves_the_rest_as_it_stood(flow: Flow, replays: ReplayService) -> None:
    made = flow.create()
    await flow.deliver(*(flow.event(made) for _ in range(5)))
    await flow.work()
    before = await flow.states()
    replay = await planned(flow, replays, Wanted())
    tenant = flow.connected.tenant_id
    async with flow.rig.db.tenant(tenant) as session:
        await replays.start(session, tenant, replay, ADA)
        row = await repository.replay(session, tenant, replay)
        assert row is not None
        queued = await repository.queue(session, tenant, replay, row, Wanted(), cursor=UUID(int=0), limit=3)
        assert len(queued) == 3
        await replays.cancel(session, tenant, replay, ADA)
    assert await flow.states() == before
    await flow.work()
    assert (await progress(flow, replays, replay)).done == 0
    with pytest.raises(ConflictError):
        async with flow.rig.db.tenant(tenant) as session:
            await replays.start(session, tenant, replay, ADA)


async def test_it_never_leaves_the_tenant_it_was_planned_for(flow: Flow, replays: ReplayService) -> None:
    """Two tenants of one account get the same events; another tenant's ids lead nowhere."""
    other = await flow.rig.connect(flow.connected.sandbox, flow.account, uuid4())
    await other.recipe()
    made = flow.create()
    await flow.deliver(flow.event(made))
    await flow.work()
    theirs = await flow.hooks.events(other.tenant_id)
    assert len(theirs) == 1
    before = await other.rows("SELECT id, state, attempts FROM inbound_events WHERE tenant_id = :tenant")
    replay = await planned(flow, replays, Wanted())
    await run(flow, replays, replay)
    assert (await progress(flow, replays, replay)).done == 1
    tenant = flow.connected.tenant_id
    async with flow.rig.db.tenant(tenant) as session:
        for attempt in (
            replays.one(session, tenant, theirs[0]["id"], ADA),
            replays.open(session, tenant, theirs[0]["id"]),
            replays.plan(session, tenant, other.connection_id, Wanted(), ADA),
        ):
            with pytest.raises(NotFoundError):
                await attempt
    async with flow.rig.db.tenant(other.tenant_id) as session:
        for attempt in (
            replays.start(session, other.tenant_id, replay, ADA),
            replays.cancel(session, other.tenant_id, replay, ADA),
            replays.progress(session, other.tenant_id, replay),
        ):
            with pytest.raises(NotFoundError):
                await attempt
    with pytest.raises(NotFoundError):
        await replays.dry_run(other.tenant_id, replay)
    # even a plan that names another's connection takes nothing of it
    async with flow.rig.db.tenant(tenant) as session:
        assert await repository.count(session, tenant, other.connection_id, Wanted()) == (0, None)
        assert await repository.queue_one(session, tenant, theirs[0]["id"]) is None
    after = await other.rows("SELECT id, state, attempts FROM inbound_events WHERE tenant_id = :tenant")
    assert after == before
