"""Claims and completions of many tenants in one transaction, none of which waits for a row."""

import asyncio
from uuid import UUID, uuid4

from sqlalchemy import event, text

from trunkline.kernel.db import Database
from trunkline.work import repository
from trunkline.work.backlog import HandOut
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps
from trunkline.work.lease import Done, Lease
from trunkline.work.together import Together

from .conftest import Backlog


async def handed(db: Database, count: int) -> list[HandOut]:
    batch = await Dispatcher(db, ("note",), lease_seconds=15, caps=Caps()).lease(count)
    assert batch is not None
    assert len(batch.handed) == count
    return list(batch.handed)


async def test_many_share_a_transaction_and_each_gets_its_own(db: Database, backlog: Backlog) -> None:
    tenants = [uuid4() for _ in range(10)]
    for number, tenant in enumerate(tenants):
        await backlog.add_many(tenant, 4, args={"of": number})
    together = Together(db, holder="me", seconds=15)
    works = await handed(db, 40)
    said: list[str] = []
    event.listen(db._system.sync_engine, "before_cursor_execute", lambda _c, _d, sql, *_: said.append(sql))
    claimed = await asyncio.gather(*(together.claim(work) for work in works))
    assert [(one.tenant_id, one.id, one.attempt) for one in claimed] == [
        (work.tenant_id, work.work_id, work.attempt) for work in works
    ]
    assert all(one.args == {"of": tenants.index(one.tenant_id)} for one in claimed)
    leases = [Lease(one, holder="me", lease_seconds=15) for one in claimed]
    assert all(await asyncio.gather(*(together.done(lease) for lease in leases)))
    assert len([sql for sql in said if "work" in sql]) < 10
    assert [await backlog.rows(tenant) for tenant in tenants] == [[]] * 10


async def test_what_is_not_ones_own_is_not_completed(db: Database, backlog: Backlog, tenant: UUID) -> None:
    await backlog.add_many(tenant, 2)
    mine, others = Together(db, holder="me", seconds=15), Together(db, holder="another", seconds=15)
    first, second = await handed(db, 2)
    kept, lost = await mine.claim(first), await others.claim(second)
    assert kept is not None
    assert lost is not None
    late = Lease(lost, holder="me", lease_seconds=15)
    outcomes = await asyncio.gather(mine.done(Lease(kept, holder="me", lease_seconds=15)), mine.done(late))
    assert outcomes == [True, False]
    assert [row.leased_by for row in await backlog.rows(tenant)] == ["another"]


async def test_a_locked_row_holds_up_itself_only(db: Database, backlog: Backlog, tenant: UUID) -> None:
    await backlog.add_many(tenant, 3)
    together = Together(db, holder="me", seconds=15)
    works = await handed(db, 3)
    async with db.tenant(tenant) as session:
        await session.execute(
            text("SELECT 1 FROM work WHERE tenant_id = :tenant AND id = :id FOR UPDATE"),
            {"tenant": tenant, "id": works[0].work_id},
        )
        waiting = asyncio.create_task(together.claim(works[0]))
        async with asyncio.timeout(30):
            others = await asyncio.gather(*(together.claim(work) for work in works[1:]))
            assert all(await asyncio.gather(*(together.done(_lease(one)) for one in others)))
        assert not waiting.done()
    claimed = await waiting
    assert claimed is not None
    async with db.tenant(tenant) as session:
        await session.execute(
            text("SELECT 1 FROM work WHERE tenant_id = :tenant FOR UPDATE"), {"tenant": tenant}
        )
        assert not await together.done(_lease(claimed)), "locked: it is left to a transaction of its own"
    assert len(await backlog.rows(tenant)) == 1


async def test_asked_for_again_it_stays(db: Database, backlog: Backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "k")
    together = Together(db, holder="me", seconds=15)
    (work,) = await handed(db, 1)
    lease = _lease(await together.claim(work))
    await backlog.add(tenant, "k")
    assert not await together.done(lease)
    async with db.tenant(tenant) as session:
        await lease.finish(session, Done())
    row = await backlog.row(tenant)
    assert (row.leased_by, row.due) == (None, True)


def _lease(claimed: repository.Claimed | None) -> Lease:
    assert claimed is not None
    return Lease(claimed, holder="me", lease_seconds=15)
