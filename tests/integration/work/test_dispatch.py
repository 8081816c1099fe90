"""Leasing due work: fairly, within caps, by one at a time, and only what is known."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.work import backlog as sql
from trunkline.work import due
from trunkline.work.backlog import HandOut
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps

PAST = datetime(2026, 1, 1, tzinfo=UTC)


def dispatcher(db: Database, *kinds: str, caps: Caps | None = None) -> Dispatcher:
    return Dispatcher(db, kinds or ("note",), lease_seconds=15, caps=caps or Caps())


async def leased(one: Dispatcher, free: int) -> list[HandOut]:
    while True:
        batch = await one.lease(free)
        if batch is not None:
            return list(batch.handed)
        await asyncio.sleep(0.005)


async def test_a_thousand_items_of_one_tenant_do_not_delay_anothers(db: Database, backlog) -> None:
    big, small = uuid4(), uuid4()
    await backlog.add_many(big, 1000, due_at=PAST)
    await backlog.add(small, "only one")  # due long after all of them
    first = await leased(dispatcher(db), 4)
    assert small in {work.tenant_id for work in first}
    assert len(first) == 4


@pytest.mark.parametrize("asleep", [False, True])
async def test_turns_with_a_long_backlog(db: Database, backlog, monkeypatch, *, asleep: bool) -> None:
    """More tenants than are visited in one go; each still gets its turn before anyone gets a second one."""
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "SPARE", 3)
    monkeypatch.setattr(due, "PER_TENANT", 2)
    tenants = [uuid4() for _ in range(12)]
    for tenant in tenants:
        await backlog.add_many(tenant, 5, due_at=PAST)
    await backlog.lull(asleep=asleep)
    one = dispatcher(db)
    served: list[UUID] = []
    for _ in range(6):
        served += [work.tenant_id for work in await leased(one, 2)]
    assert Counter(served) == Counter(tenants)


@pytest.mark.parametrize("asleep", [False, True])
async def test_nothing_is_left_behind_and_nothing_twice(
    db: Database, backlog, monkeypatch, *, asleep: bool
) -> None:
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "SPARE", 1)
    tenants = [uuid4() for _ in range(6)]
    for tenant in tenants:
        await backlog.add_many(tenant, 20, due_at=PAST)
    await backlog.lull(asleep=asleep)
    pair = [dispatcher(db, caps=Caps(tenant=1000)) for _ in range(2)]
    got: list[UUID] = []
    async with asyncio.timeout(60):
        while len(got) < 120:
            for batch in await asyncio.gather(*(leased(one, 5) for one in pair)):
                got += [work.work_id for work in batch]
    assert len(set(got)) == 120
    assert await leased(pair[0], 5) == []


async def test_caps_hold_over_several_dispatchers(db: Database, backlog) -> None:
    tenant, connections = uuid4(), [uuid4(), uuid4()]
    for connection in connections:
        for number in range(10):
            await backlog.add(tenant, f"{connection}:{number}", connection_id=connection)
    caps = Caps(tenant=5, connection=3)
    several = [dispatcher(db, caps=caps) for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(*(leased(one, 10) for one in several))
    rows = [row for row in await backlog.rows(tenant) if row.leased]
    assert len(rows) == 5
    assert max(Counter(row.connection_id for row in rows).values()) <= 3


@pytest.mark.parametrize("asleep", [False, True])
async def test_a_full_connection_hides_nothing_in_a_long_backlog(
    db: Database, backlog, monkeypatch, *, asleep: bool
) -> None:
    monkeypatch.setattr(due, "WINDOW", 10)
    tenant, full, other = uuid4(), uuid4(), uuid4()
    for number in range(20):
        await backlog.add(tenant, f"full:{number}", connection_id=full, due_at=PAST)
    for number in range(2):
        await backlog.add(tenant, f"other:{number}", connection_id=other)
    await backlog.lull(asleep=asleep)
    one = dispatcher(db, caps=Caps(tenant=5, connection=3))
    assert len(await leased(one, 10)) == 3
    second = await one.lease(10)
    assert second is not None
    assert len(second.handed) == 2
    assert second.more  # or what ends would wake nobody
    rows = [row for row in await backlog.rows(tenant) if row.leased]
    assert Counter(row.connection_id for row in rows) == {full: 3, other: 2}
    third = await one.lease(10)
    assert third is not None
    assert (list(third.handed), third.more) == ([], True)


@pytest.mark.parametrize("asleep", [False, True])
async def test_weights_count_in_a_long_backlog(db: Database, backlog, monkeypatch, *, asleep: bool) -> None:
    monkeypatch.setattr(due, "WINDOW", 10)
    heavy, light = uuid4(), uuid4()
    async with db.system() as session:
        await session.execute(
            text("INSERT INTO tenants (id, slug, name, weight) VALUES (:id, :slug, 'Heavy', 3)"),
            {"id": heavy, "slug": f"heavy-{heavy.hex[:8]}"},
        )
    for tenant in (heavy, light):
        await backlog.add_many(tenant, 12, due_at=PAST)
    await backlog.lull(asleep=asleep)
    got = Counter(work.tenant_id for work in await leased(dispatcher(db), 8))
    assert got == {heavy: 6, light: 2}


async def test_what_slept_and_what_is_ready_take_turns(db: Database, backlog, monkeypatch) -> None:
    """Too much of both to see at a glance; who has few waits for nobody's many."""
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "ROUSED", 15)
    many, dozing, few, late = (uuid4() for _ in range(4))
    await backlog.add_many(dozing, 40, due_at=PAST)
    await backlog.add(few, "k", due_at=PAST)
    await backlog.lull(asleep=True)
    await backlog.add_many(many, 40, due_at=PAST)
    await backlog.add(late, "k")
    one = dispatcher(db)
    first = Counter(work.tenant_id for work in await leased(one, 6))
    assert first[late] == 1
    served = Counter(first)
    for _ in range(4):
        served.update(work.tenant_id for work in await leased(one, 4))
    assert served == {many: 8, dozing: 8, few: 1, late: 1}  # the cap of a tenant is 8


async def test_those_at_their_caps_hide_nobody_behind_them(db: Database, backlog, monkeypatch) -> None:
    """More of them than are looked at in one go."""
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "SPARE", 3)
    caps = Caps(tenant=2)
    full, last = sorted(uuid4() for _ in range(20)), UUID(int=2**128 - 2)
    for tenant in full:
        await backlog.add_many(tenant, 5, due_at=PAST)
    one = dispatcher(db, caps=caps)
    served = [work.tenant_id for _ in range(10) for work in await leased(one, 4)]
    assert Counter(served) == dict.fromkeys(full, 2)
    await backlog.add(last, "k")
    assert [work.tenant_id for work in await leased(dispatcher(db, caps=caps), 1)] == [last]


async def test_what_slept_is_served_without_taking_the_turns_before_it(
    db: Database, backlog, monkeypatch
) -> None:
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "SPARE", 2)
    tenants, dozing = [UUID(int=number) for number in range(1, 13)], UUID(int=99)
    await backlog.add_many(dozing, 3, due_at=PAST)
    await backlog.lull(asleep=True)
    for tenant in tenants:
        await backlog.add_many(tenant, 3, due_at=PAST)
    async with db.system() as session:  # whoever is looked at first is busy, so what slept goes before it
        await session.execute(
            text(
                "UPDATE work SET lease_until = now() + interval '1 minute' WHERE key = '000000' "
                "AND tenant_id = ANY(CAST(:some AS uuid[]))"
            ),
            {"some": tenants[:4]},
        )
    one = dispatcher(db)
    assert [work.tenant_id for work in await leased(one, 1)] == [dozing]
    following = [work.tenant_id for _ in range(8) for work in await leased(one, 1)]
    assert following == tenants[4:]


async def test_more_is_looked_at_of_each_the_fewer_there_are(db: Database, backlog, monkeypatch) -> None:
    monkeypatch.setattr(due, "WINDOW", 10)
    monkeypatch.setattr(due, "SPARE", 0)
    for _ in range(4):
        await backlog.add_many(uuid4(), 20, due_at=PAST)
    one = dispatcher(db, caps=Caps(tenant=20))
    served: Counter[UUID] = Counter()
    for _ in range(3):  # the first look is cut off, the second finds out how many there are
        served.update(work.tenant_id for work in await leased(one, 16))
    assert sum(served.values()) >= 16 + 8 + 16
    assert max(served.values()) - min(served.values()) <= 4, served


async def test_an_expired_lease_is_handed_out_again_with_the_next_attempt(
    db: Database, backlog, tenant: UUID
) -> None:
    await backlog.add(tenant, "k")
    one = dispatcher(db)
    (first,) = await leased(one, 5)
    assert await leased(one, 5) == []
    await backlog.expire(tenant)
    (second,) = await leased(one, 5)
    assert (second.work_id, second.attempt) == (first.work_id, first.attempt + 1)


async def test_what_is_not_due_or_not_known_stays(db: Database, backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "later", due_at=datetime.now(UTC) + timedelta(hours=1))
    await backlog.add(tenant, "unknown", kind="of a newer version", due_at=PAST)
    one = dispatcher(db)
    assert await leased(one, 5) == []
    assert await one.overdue_unknown() == {"of a newer version": 1}
    newer = dispatcher(db, "note", "of a newer version")
    assert len(await leased(newer, 5)) == 1


async def test_taking_back(db: Database, backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "k")
    one = dispatcher(db)
    handed = await leased(one, 5)
    await one.take_back(handed)
    assert len(await leased(one, 5)) == 1


@pytest.mark.parametrize("kind", ["note", due.SENDING])
async def test_one_dispatches_at_a_time_of_each_lane(db: Database, backlog, tenant: UUID, kind: str) -> None:
    """Caps are a lane's, so neither waits for the other; who leases of both is alone."""
    (other,) = {"note", due.SENDING} - {kind}
    for one in (kind, other):
        await backlog.add(tenant, "k", kind=one)
    async with db.system() as session:
        assert await sql.one_at_a_time(session, due.lane_of([kind]))
        assert await dispatcher(db, kind).lease(5) is None
        assert await dispatcher(db, kind, other).lease(5) is None
        assert len(await leased(dispatcher(db, other), 5)) == 1
    assert len(await leased(dispatcher(db, kind), 5)) == 1
