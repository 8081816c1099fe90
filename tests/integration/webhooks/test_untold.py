"""What webhooks should have told of and did not is counted, once, and only that."""

from datetime import UTC, datetime, timedelta

import pytest
from webhooks_kit.flow import Flow

from trunkline.health.arrival import Arrival, arrivals
from trunkline.runs import untold


async def arrival(flow: Flow) -> Arrival:
    async with flow.rig.db.tenant(flow.connected.tenant_id) as session:
        found = await arrivals(
            session, flow.connected.tenant_id, {flow.connected.connection_id: flow.rig.manifest}
        )
    return found[flow.connected.connection_id]["contacts"]


async def noted(flow: Flow) -> list[str]:
    rows = await flow.connected.rows(
        "SELECT external_id FROM untold_changes WHERE tenant_id = :tenant ORDER BY external_id::int"
    )
    return [row.external_id for row in rows]


async def test_nothing_is_noted_before_the_first_event(flow: Flow) -> None:
    flow.create()
    await flow.connected.sync()
    assert await noted(flow) == []
    found = await arrival(flow)
    assert (found.way, found.why, found.lost) == ("polling", "not_yet", {})


async def test_a_change_that_only_reading_found_is_a_lost_webhook(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = flow.create()
    await flow.deliver(flow.event(first))
    await flow.work()
    found = await arrival(flow)
    assert (found.way, found.lost_in_all) == ("webhooks", 0)
    assert found.since is not None
    assert found.last_at is not None
    assert found.typical_seconds is not None

    lost, late = flow.create(email="lost@example.com"), flow.create(email="late@example.com")
    await flow.connected.sync()
    assert set(await flow.emails()) == {first, lost, late}
    assert await noted(flow) == [lost, late], "the told one was the same already"
    await flow.connected.sync()
    assert await noted(flow) == [lost, late], "within the grace an event may come"

    await flow.deliver(flow.event(late))
    await flow.connected.rows(
        "UPDATE inbound_events SET due_at = now() + interval '1 hour' WHERE tenant_id = :tenant RETURNING id"
    )
    monkeypatch.setattr(untold, "GRACE", timedelta())  # it has passed from here on
    await flow.connected.sync()
    assert await noted(flow) == [lost, late], "the event that waits may be of either"
    await flow.due_now()
    await flow.work()
    await flow.connected.sync()
    assert await noted(flow) == []
    assert list((await arrival(flow)).lost.values()) == [1]

    # the same day's count goes on; what was counted is not counted again
    flow.store.update(flow.account, "contacts", lost, {"email": "again@example.com"})
    await flow.connected.sync()
    await flow.connected.sync()
    found = await arrival(flow)
    assert found.lost_in_all == 2
    assert max(found.lost) <= datetime.now(UTC).date()
