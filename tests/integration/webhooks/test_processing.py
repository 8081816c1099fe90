"""From kept events to records: by the engine's own transaction, the newest form whatever the order."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from webhooks_kit.flow import Flow
from webhooks_kit.hooks import event

from trunkline.kernel.db import OPERATOR
from trunkline.sdk.manifest import Rate
from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks import event_repository
from trunkline.webhooks.jobs import MAX_TRIES, SWEEP

EMPTY = "48120003"


async def test_a_thin_event_becomes_the_record_as_it_is_now(flow: Flow) -> None:
    made, changed = flow.create(email="one@example.com"), flow.create(email="two@example.com")
    await flow.deliver(flow.event(made, "contact.creation"), flow.event(changed), flow.event(changed))
    await flow.work()
    assert await flow.emails() == {made: "one@example.com", changed: "two@example.com"}
    assert await flow.states() == [("applied", None)] * 3
    assert [one.label for one in await flow.attempts()] == ["initial"] * 3
    await flow.connected.stands()
    run = (await flow.connected.all_runs())[0]
    assert (run.mode, run.trigger, run.state, run.created, run.changes) == (
        "webhook",
        "webhook",
        "succeeded",
        2,
        2,
    )
    # what comes within the hour is counted in the same run
    flow.store.update(flow.account, "contacts", made, {"email": "three@example.com"})
    await flow.deliver(flow.event(made))
    await flow.work()
    assert (await flow.connected.all_runs())[0].id == run.id
    assert await flow.connected.positions() == [1, 2, 3]


async def test_what_is_told_gets_through_while_syncs_have_spent_their_share(flow: Flow) -> None:
    """Of a manifest's budget. A bulk replay is background work as they are."""
    rate = Rate(bucket="default", requests=40, seconds=6000)
    limiter, connected = flow.rig.limiter, flow.connected
    made = limiter.budget([rate], (await connected.budget()).caller, "default")
    flow.rig.provider.calls._budgets[connected.connection_id, "default", 1] = (float("inf"), made)
    while (await limiter.acquire(made)).wait == 0:
        pass
    changed = flow.create(email="told@example.com")
    await flow.deliver(flow.event(changed))
    await connected.rows("UPDATE inbound_events SET replay_id = id WHERE tenant_id = :tenant RETURNING id")
    await flow.work()
    assert await flow.emails() == {}
    await flow.deliver(flow.event(changed))
    await flow.due_now()
    await flow.work()
    assert await flow.emails() == {changed: "told@example.com"}


async def test_it_changes_nothing_where_nothing_changed(flow: Flow) -> None:
    made = flow.create()
    await flow.deliver(flow.event(made))
    await flow.work()
    await flow.deliver(flow.event(made))
    await flow.work()
    assert await flow.states() == [("applied", None), ("unchanged", None)]
    assert await flow.connected.positions() == [1]


async def test_a_deletion_is_a_tombstone_unless_the_record_is_there(flow: Flow) -> None:
    gone, back = flow.create(email="gone@example.com"), flow.create(email="back@example.com")
    await flow.deliver(flow.event(gone), flow.event(back))
    await flow.work()
    flow.store.archive(flow.account, "contacts", gone)
    never = flow.create()
    flow.store.archive(flow.account, "contacts", never)
    await flow.deliver(
        flow.event(gone, "contact.deletion"),
        flow.event(back, "contact.deletion"),  # it came late: the record was restored
        flow.event(never),
        flow.event(never, "contact.deletion"),
    )
    await flow.work()
    assert await flow.emails() == {back: "back@example.com"}
    assert sorted(state for state, _ in (await flow.states())[2:]) == ["applied"] + ["unchanged"] * 3
    await flow.connected.stands()


async def test_many_deletions_at_once_wait_for_a_human_also_when_they_are_told_of_in_parts(
    flow: Flow,
) -> None:
    ids = [flow.create(email=f"{number}@example.com") for number in range(60)]
    await flow.deliver(*(flow.event(one) for one in ids))
    await flow.work()
    for one in ids:
        flow.store.archive(flow.account, "contacts", one)
    flow.know("hooks", "sync")
    for part in (ids[:30], ids[30:]):
        await flow.deliver(*(flow.event(one, "contact.deletion") for one in part))
        await flow.work()
    assert sorted(await flow.emails()) == sorted(ids[30:]), "a few are believed; what makes them many is not"
    assert (await flow.states())[90:] == [("ignored", "mass_deletion")] * 30
    (review,) = await flow.connected.rows("SELECT state, count FROM reviews WHERE tenant_id = :tenant")
    assert (review.state, review.count) == ("open", 30)
    await flow.deliver(flow.event(ids[40], "contact.deletion"))
    await flow.work()
    assert (await flow.states())[-1] == ("ignored", "mass_deletion"), "nor one more while it is undecided"


async def test_types_that_no_recipe_reads_are_kept_as_ignored(flow: Flow) -> None:
    await flow.deliver(flow.event("5", "company.creation"), flow.event("6", "conversation.newMessage"))
    await flow.work()
    assert await flow.states() == [("ignored", None)] * 2


async def test_an_event_of_another_shape_is_a_dead_letter_and_the_rest_flow(flow: Flow) -> None:
    made = flow.create()
    await flow.deliver(
        flow.event(made), flow.event(made, objectId={"not": "an id"}), flow.event(made, objectId=None)
    )
    await flow.work()
    assert sorted(await flow.states()) == [
        ("applied", None),
        ("dead", "malformed_event"),
        ("dead", "malformed_event"),
    ]
    issues = await flow.connected.rows(
        "SELECT cause, count FROM issues WHERE tenant_id = :tenant ORDER BY cause"
    )
    assert [(one.cause, one.count) for one in issues] == [("malformed_event", 1), ("webhook_drift", 2)]


async def test_one_that_fails_by_itself_is_set_aside_after_bounded_tries(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison, fine = flow.create(), flow.create()
    plain = flow.rig.provider.applier.apply

    async def poisoned(lease: Any, connection: Any, manifest: Any, stream: str, told: Any) -> None:
        if any(poison in one.ids for one in told):
            raise ZeroDivisionError
        await plain(lease, connection, manifest, stream, told)

    monkeypatch.setattr(flow.rig.provider.applier, "apply", poisoned)
    # by chance it could be due again at once, and be tried twice before anybody looks
    monkeypatch.setattr("trunkline.webhooks.jobs.full_jitter", lambda *_: 60.0)
    await flow.deliver(flow.event(poison), flow.event(fine))
    for tries in range(1, MAX_TRIES + 1):
        await flow.work()
        assert fine in await flow.emails(), "the rest flow"
        expected = "dead" if tries == MAX_TRIES else "queued"
        assert sorted(await flow.states()) == [("applied", None), (expected, "internal_error")]
        await flow.due_now()
    mine = [one for one in await flow.attempts() if one.cause == "internal_error"]
    assert [one.label for one in mine] == ["initial"] + ["automatic"] * (MAX_TRIES - 1)
    assert [one.outcome for one in mine] == ["failed"] * (MAX_TRIES - 1) + ["dead"]


async def test_an_outage_holds_everything_up_and_kills_no_event(flow: Flow) -> None:
    made = flow.create()
    original = flow.rig.provider.calls.answer

    async def away(*_: Any, **__: Any) -> Any:
        raise ConnectionError

    flow.rig.provider.calls.answer = away
    await flow.deliver(flow.event(made))
    for _ in range(MAX_TRIES + 2):
        await flow.work()
        await flow.due_now()
    assert await flow.states() == [("queued", None)]
    flow.rig.provider.calls.answer = original
    await flow.due_now()
    await flow.work()
    assert await flow.states() == [("applied", None)]


async def test_what_comes_while_a_connection_is_paused_waits_for_it(flow: Flow) -> None:
    made = flow.create()
    one = flow.connected
    await one.rows("UPDATE connections SET state = 'paused' WHERE tenant_id = :tenant RETURNING id")
    await flow.deliver(flow.event(made))
    await flow.work()
    assert await flow.states() == [("queued", None)]
    await one.rows("UPDATE connections SET state = 'active' WHERE tenant_id = :tenant RETURNING id")
    # nobody asked: the sweep does
    await one.rows(
        "UPDATE inbound_events SET due_at = now() - interval '5 s' WHERE tenant_id = :tenant RETURNING id"
    )
    async with flow.rig.db.tenant(OPERATOR) as session:
        await flow.rig.work.enqueue(session, tenant_id=OPERATOR, kind=SWEEP, key="all")
    await flow.work()
    assert await flow.states() == [("applied", None)]


async def test_payloads_end_and_rows_stay(flow: Flow) -> None:
    await flow.deliver(flow.event(flow.create()))
    await flow.work()
    one = flow.connected
    async with flow.rig.db.tenant(one.tenant_id) as session:
        assert await event_repository.expire(session, one.tenant_id) == 0
    (row,) = await one.rows(
        "SELECT kind, due_at FROM work WHERE tenant_id = :tenant AND kind = 'expire_hooks'"
    )
    assert row.due_at > datetime.now(UTC) + timedelta(hours=23)


# --- providers that send whole records ---


def fat(manifest: Any) -> Any:
    """As a provider that sends the record itself, as Stripe does."""
    given = {
        "owner": "client",
        "signatures": ["hubspot-v3"],
        "keyed_by": "client",
        "account": "portalId",
        "type": "subscriptionType",
        "id": ["eventId"],
        "at": "occurredAt",
        "kinds": [
            {"type": "contact.deletion", "stream": "contacts", "ids": ["contact.id"], "deleted": True},
            {"type": "contact.*", "stream": "contacts", "ids": ["contact.id"], "document": "contact"},
        ],
    }
    return msgspec.structs.replace(manifest, webhooks=msgspec.convert(given, Webhooks))


async def test_whole_records_the_newest_wins_in_every_order(flow: Flow) -> None:
    flow.rig.connectors._manifests["hubspot"] = fat(flow.rig.manifest)
    flow.hooks.intake._sources.forget()
    base = datetime.now(UTC) - timedelta(minutes=30)

    def said(number: int, minute: int, kind: str = "contact.propertyChange") -> dict[str, Any]:
        at = base + timedelta(minutes=minute)
        record = {
            "id": "77",
            "properties": {"email": f"{minute}@example.com", "lastmodifieddate": at.isoformat()},
        }
        return event(flow.account, 77, number, kind, contact=record) | {
            "occurredAt": int(at.timestamp() * 1000)
        }

    async def apply(*events: dict[str, Any]) -> None:
        await flow.deliver(*events)
        await flow.work()

    await apply(said(1, 5), said(2, 3), said(3, 4))
    assert await flow.emails() == {"77": "5@example.com"}
    # held for more than an hour, as after a long outage: a late one is still late
    await flow.connected.rows(
        "UPDATE records SET received_at = now() - interval '2 hours' WHERE tenant_id = :tenant RETURNING 1"
    )
    await apply(said(4, 2))
    assert await flow.emails() == {"77": "5@example.com"}
    await apply(said(5, 4, "contact.deletion"))
    assert await flow.emails() == {"77": "5@example.com"}, "restored since"
    await apply(said(6, 7, "contact.deletion"), said(7, 6))
    assert await flow.emails() == {}
    await apply(said(8, 6))
    assert await flow.emails() == {}
    await apply(said(9, 8, "contact.restore"))
    assert await flow.emails() == {"77": "8@example.com"}
    states = [state for state, _ in await flow.states()]
    assert sorted(states) == ["applied"] * 3 + ["superseded"] * 6


async def test_a_deletion_that_overtakes_its_creation_stands(flow: Flow) -> None:
    flow.rig.connectors._manifests["hubspot"] = fat(flow.rig.manifest)
    flow.hooks.intake._sources.forget()
    record = {"id": "88", "properties": {"email": "x@example.com"}}
    early = event(flow.account, 88, 1, "contact.creation", contact=record) | {"occurredAt": 1_700_000_000_000}
    late = event(flow.account, 88, 2, "contact.deletion", contact=record) | {"occurredAt": 1_700_000_001_000}
    await flow.deliver(late)
    await flow.work()
    await flow.deliver(early)
    await flow.work()
    assert await flow.emails() == {}
    assert [state for state, _ in await flow.states()] == ["unchanged", "superseded"]


async def test_events_beside_a_running_sync_double_and_lose_nothing(flow: Flow) -> None:
    ids = [flow.create(email=f"{number}@example.com") for number in range(120)]
    await flow.connected.ask("full")
    await asyncio.gather(flow.deliver(*(flow.event(one) for one in ids)), flow.connected.work())
    for _ in range(4):
        await flow.due_now()
        await flow.work()
    assert {state for state, _ in await flow.states()} <= {"applied", "unchanged"}
    await flow.connected.stands()
    assert json.dumps(sorted(await flow.emails())) == json.dumps(sorted(ids))
    assert await flow.connected.positions() == list(range(1, 121))
