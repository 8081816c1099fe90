"""Events that are not as agreed: used as far as they can be read, told of once per type, forgotten when it ends."""

import asyncio
from typing import Any
from uuid import UUID

from webhooks_kit.flow import Flow
from webhooks_kit.hooks import Hooks

from trunkline.health import hook_drift
from trunkline.kernel.db import Database
from trunkline.webhooks.jobs import EXPIRE

HELD = "Ada Lovelace <ada@personal.example>"


async def drifts(flow: Flow, *, still_open: bool | None = None) -> list[Any]:
    found = await flow.connected.rows(
        "SELECT stream, count, detail ->> 'event' AS event, detail -> 'differs' AS differs, "
        "resolved_at IS NULL AS open FROM issues WHERE tenant_id = :tenant AND cause = 'webhook_drift' "
        "ORDER BY detail ->> 'event', opened_at"
    )
    return [one for one in found if still_open is None or one.open is still_open]


async def differing(flow: Flow) -> list[str | None]:
    return [row["differs"] for row in await flow.hooks.events(flow.connected.tenant_id)]


async def long_ago(flow: Flow, age: str) -> None:
    await flow.connected.rows(
        f"UPDATE issues SET opened_at = opened_at - interval '{age}', last_seen_at = last_seen_at - "
        f"interval '{age}' WHERE tenant_id = :tenant RETURNING id"
    )


async def test_what_fits_tells_nothing(flow: Flow) -> None:
    made = flow.create()
    await flow.deliver(flow.event(made, "contact.creation"), flow.event(made))
    await flow.work()
    assert await drifts(flow) == []
    assert await differing(flow) == [None, None]


async def test_one_that_deviates_is_used_and_told_of_once_per_type(flow: Flow) -> None:
    one, two = flow.create(email="one@example.com"), flow.create(email="two@example.com")
    when = {"occurredAt": "yesterday"}
    await flow.deliver(
        flow.event(one, **when), flow.event(two, **when), flow.event(two, "contact.creation", **when)
    )
    await flow.work()
    assert await flow.emails() == {one: "one@example.com", two: "two@example.com"}
    assert [state for state, _ in await flow.states()] == ["applied"] * 3
    words = "occurredAt is a text now, no longer a whole number"
    assert [(found.event, found.stream, found.count, found.differs) for found in await drifts(flow)] == [
        ("contact.creation", "contacts", 1, [words]),
        ("contact.propertyChange", "contacts", 2, [words]),
    ]
    assert await differing(flow) == [words] * 3
    # once more of it is the same issue
    await flow.deliver(flow.event(one, **when))
    await flow.work()
    assert [found.count for found in await drifts(flow)] == [1, 3]


async def test_one_that_names_no_record_is_a_dead_letter_that_says_why(flow: Flow) -> None:
    made = flow.create()
    event = flow.event(made)
    renamed = {**{name: one for name, one in event.items() if name != "objectId"}, "objectID": int(made)}
    await flow.deliver({**renamed, "note": HELD}, flow.event(made))
    await flow.work()
    assert sorted(await flow.states()) == [("applied", None), ("dead", "malformed_event")]
    (found,) = await drifts(flow)
    assert found.differs == ["objectId is gone; there is objectID instead"]
    assert HELD not in str(await flow.connected.rows("SELECT * FROM issues WHERE tenant_id = :tenant"))


async def test_an_event_counts_once_however_often_it_is_tried_or_replayed(
    flow: Flow, monkeypatch: Any
) -> None:
    made = flow.create()
    plain = flow.rig.provider.applier.apply
    failures = [ZeroDivisionError, ZeroDivisionError]

    async def failing(*given: Any) -> None:
        if failures:
            raise failures.pop()
        await plain(*given)

    monkeypatch.setattr(flow.rig.provider.applier, "apply", failing)
    await flow.deliver(flow.event(made, occurredAt="now"))
    for _ in range(3):
        await flow.work()
        await flow.due_now()
    await flow.work()
    assert await flow.states() == [("applied", None)]
    assert [found.count for found in await drifts(flow)] == [1]
    await flow.connected.rows(
        "UPDATE inbound_events SET state = 'queued', label = 'manual', due_at = now() "
        "WHERE tenant_id = :tenant RETURNING id"
    )
    await flow.deliver(flow.event(made))
    await flow.work()
    assert [found.count for found in await drifts(flow)] == [1]


async def test_it_closes_when_events_fit_again_for_a_while(flow: Flow) -> None:
    made = flow.create()
    await flow.deliver(
        flow.event(made, occurredAt="now"), flow.event(made, "contact.creation", occurredAt="now")
    )
    await flow.work()
    assert len(await drifts(flow, still_open=True)) == 2
    await flow.deliver(flow.event(made))
    await flow.work()
    assert len(await drifts(flow, still_open=True)) == 2, "old forms and new ones come side by side"
    await long_ago(flow, "61 minutes")
    await flow.deliver(flow.event(made), flow.event(made, occurredAt="now"))
    await flow.work()
    assert len(await drifts(flow, still_open=True)) == 2, "and one that deviates is no end"
    await long_ago(flow, "61 minutes")
    await flow.deliver(flow.event(made))
    await flow.work()
    assert [found.event for found in await drifts(flow, still_open=True)] == ["contact.creation"]
    assert [found.event for found in await drifts(flow, still_open=False)] == ["contact.propertyChange"]
    # it comes back as another
    await flow.deliver(flow.event(made, occurredAt="now"))
    await flow.work()
    assert [(found.event, found.count) for found in await drifts(flow, still_open=True)] == [
        ("contact.creation", 1),
        ("contact.propertyChange", 1),
    ]


async def test_a_sync_does_not_close_it_and_a_week_without_does(flow: Flow) -> None:
    made = flow.create()
    await flow.deliver(flow.event(made, occurredAt="now"))
    await flow.work()
    await flow.connected.sync()
    assert len(await drifts(flow, still_open=True)) == 1
    for age, left in (("6 days", 1), ("25 hours", 0)):
        await long_ago(flow, age)
        await flow.connected.rows(
            "UPDATE work SET due_at = now() WHERE tenant_id = :tenant AND kind = :kind RETURNING id",
            kind=EXPIRE,
        )
        await flow.work()
        assert len(await drifts(flow, still_open=True)) == left


async def test_a_tenant_sees_and_closes_its_own_alone(hooks: Hooks, db: Database) -> None:
    (one, first), (other, second) = await hooks.connect("1"), await hooks.connect("2")

    async def note(tenant: UUID, connection: UUID) -> None:
        async with db.tenant(tenant) as session:
            await hook_drift.note(
                session, tenant, connection, stream="contacts", event="a.b", differs=["x is gone"], count=2
            )

    await asyncio.gather(note(one, first), note(other, second))
    async with db.tenant(one) as session:
        assert await hook_drift.still_open(session, one, second) == []
        assert await hook_drift.still_open(session, other, second) == []
        await hook_drift.fits(session, other, second, ["a.b"])
        await hook_drift.quiet(session, other)
        (found,) = await hook_drift.still_open(session, one, first)
        assert (found.event, found.differs, found.count) == ("a.b", ["x is gone"], 2)
    async with db.tenant(other) as session:
        assert len(await hook_drift.still_open(session, other, second)) == 1
