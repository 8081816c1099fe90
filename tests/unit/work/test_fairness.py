"""Who goes next, as a pure choice."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline.work.fairness import Candidate, Caps, InFlight, choose

START = datetime(2026, 1, 1, tzinfo=UTC)
LAST = UUID(int=2**128 - 1)
IDLE = InFlight(tenants={}, connections={})


def item(number: int, tenant: int, connection: int | None = None, *, priority: int = 0) -> Candidate:
    return Candidate(
        tenant_id=UUID(int=tenant),
        id=UUID(int=number),
        connection_id=None if connection is None else UUID(int=tenant * 100 + connection),
        priority=priority,
        due_at=START + timedelta(seconds=number),
    )


def test_one_item_is_not_behind_another_tenants_thousand() -> None:
    due = [item(number, 1) for number in range(1000)] + [item(5000, 2)]
    chosen = choose(due, IDLE, free=2, caps=Caps(), after=LAST)
    assert {one.tenant_id.int for one in chosen} == {1, 2}


def test_turns_go_on_behind_the_tenant_served_last() -> None:
    due = [item(number, tenant) for tenant in range(1, 6) for number in range(tenant * 10, tenant * 10 + 3)]
    after, served = LAST, []
    for _ in range(5):
        (chosen,) = choose(due, IDLE, free=1, caps=Caps(), after=after)
        after = chosen.tenant_id
        served.append(after.int)
    assert served == [1, 2, 3, 4, 5]


def test_who_has_least_in_flight_comes_first() -> None:
    busy = InFlight(tenants={UUID(int=1): 3, UUID(int=2): 1}, connections={})
    due = [item(number, tenant) for tenant in (1, 2, 3) for number in range(tenant * 10, tenant * 10 + 5)]
    chosen = choose(due, busy, free=3, caps=Caps(), after=LAST)
    assert [one.tenant_id.int for one in chosen] == [3, 2, 3]


def test_lower_priority_first_then_longest_due() -> None:
    due = [item(1, 1, priority=10), item(2, 1), item(3, 1)]
    assert [one.id.int for one in choose(due, IDLE, free=3, caps=Caps(), after=LAST)] == [2, 3, 1]


def test_a_full_connection_leaves_the_slot_to_another() -> None:
    full = InFlight(tenants={UUID(int=1): 2}, connections={UUID(int=101): 2})
    due = [item(1, 1, 1), item(2, 1, 1), item(3, 1, 2)]
    chosen = choose(due, full, free=3, caps=Caps(tenant=8, connection=2), after=LAST)
    assert [one.id.int for one in chosen] == [3]


items = st.builds(
    item,
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.none() | st.integers(1, 3),
    priority=st.integers(0, 2),
)


@given(
    due=st.lists(items, max_size=60, unique_by=lambda one: one.id),
    free=st.integers(0, 20),
    tenant_cap=st.integers(1, 6),
    connection_cap=st.integers(1, 3),
    flying=st.dictionaries(st.integers(1, 6).map(lambda one: UUID(int=one)), st.integers(0, 5)),
    after=st.integers(0, 7).map(lambda one: UUID(int=one)),
)
def test_caps_hold_and_no_slot_is_wasted(due, free, tenant_cap, connection_cap, flying, after) -> None:
    caps = Caps(tenant=tenant_cap, connection=connection_cap)
    chosen = choose(due, InFlight(tenants=flying, connections={}), free=free, caps=caps, after=after)
    assert len(chosen) <= free
    assert len({one.id for one in chosen}) == len(chosen)
    by_tenant = Counter(one.tenant_id for one in chosen)
    by_connection = Counter(one.connection_id for one in chosen if one.connection_id)
    assert all(
        count + flying.get(tenant, 0) <= max(tenant_cap, flying.get(tenant, 0))
        for tenant, count in by_tenant.items()
    )
    assert all(count <= connection_cap for count in by_connection.values())
    if len(chosen) < free:  # then whatever is left is held back by a cap
        for one in due:
            if one not in chosen:
                assert (
                    by_tenant[one.tenant_id] + flying.get(one.tenant_id, 0) >= tenant_cap
                    or by_connection[one.connection_id] >= connection_cap
                )
    # fair: nobody gets a second slot in flight while another with less waits in vain for a cap-free item
    for one in due:
        mine = by_tenant[one.tenant_id] + flying.get(one.tenant_id, 0)
        if one in chosen or mine >= tenant_cap or one.connection_id is not None:
            continue
        for tenant, count in by_tenant.items():
            assert count + flying.get(tenant, 0) <= mine + 1


def test_weights_share_the_slots() -> None:
    due = [item(number, tenant) for tenant in (1, 2) for number in range(tenant * 100, tenant * 100 + 50)]
    weights = {UUID(int=2): 3}
    chosen = choose(due, IDLE, free=12, caps=Caps(tenant=50), after=LAST, weights=weights)
    assert Counter(one.tenant_id.int for one in chosen) == {1: 3, 2: 9}


def test_a_weight_lifts_no_cap() -> None:
    due = [item(number, tenant) for tenant in (1, 2) for number in range(tenant * 100, tenant * 100 + 50)]
    chosen = choose(due, IDLE, free=12, caps=Caps(tenant=4), after=LAST, weights={UUID(int=2): 100})
    assert Counter(one.tenant_id.int for one in chosen) == {1: 4, 2: 4}
