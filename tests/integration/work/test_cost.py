"""What dispatching costs grows with what is handed out: not with the tenants at rest or with work due, nor with
what one has waiting.

Shown by the pages that PostgreSQL looked at, never by time.
"""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.work import backlog, due
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps

SIZES = (100, 1_000, 10_000)
FLOOD = 20_000
KINDS = ["note"]

_FILL = """
    INSERT INTO work (tenant_id, id, kind, key, due_at, ready)
    SELECT tenant, gen_random_uuid(), $3, n::text, now() + make_interval(secs => $4), $5
    FROM unnest($1::uuid[]) AS tenant, generate_series(1, $2) n
"""


async def fill(
    url: str,
    tenants: int,
    each: int,
    *,
    kind: str = "note",
    due_in: float = -60,
    ready: bool = True,
    analysed: bool = True,
) -> None:
    owner = await asyncpg.connect(url)
    ids = [uuid4() for _ in range(tenants)]
    await owner.execute(
        "INSERT INTO tenants (id, slug, name) SELECT t, t::text, 'T' FROM unnest($1::uuid[]) t", ids
    )
    await owner.execute(_FILL, ids, each, kind, due_in, ready)
    if analysed:
        await owner.execute("ANALYZE work, tenants")
    await owner.close()


async def pages(
    db: Database, kinds: list[str] = KINDS, *, free: int = 20, start: UUID | None = None
) -> dict[str, int]:
    """That each statement of a round looks at."""
    lane = due.lane_of(kinds)
    values: dict[str, Any] = {"kinds": kinds, "most": due.ROUSED, "start": start or UUID(int=0)}
    values |= {"each": min(free, due.PER_TENANT), "tenant_cap": 8, "connection_cap": 4}
    found: dict[str, int] = {}
    statements = {
        "at a glance": lane.at_a_glance,
        "by tenant": lane.by_tenant,
        "rouse": lane.rouse,
        "in flight": due._IN_FLIGHT,
    }
    async with db.system() as session:
        assert await backlog.one_at_a_time(session, lane)
        for name, statement in statements.items():
            values["rows"] = due.WINDOW if statement is lane.at_a_glance else due.rows_for(free)
            explain = text("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.text)
            needed = {name: values[name] for name in explain._bindparams}
            plan = (await session.execute(explain, needed)).scalar_one()[0]["Plan"]
            assert "Seq Scan" not in str(plan), plan
            found[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


async def test_tenants_at_rest_cost_nothing(db: Database, database_url: str) -> None:
    await fill(database_url, 50, 20)
    seen: dict[int, dict[str, int]] = {}
    at_rest = 0
    for number in SIZES:
        await fill(database_url, number - at_rest, 2, due_in=3600, ready=False)
        at_rest = number
        await pages(db)  # marks what is dead, once
        seen[number] = await pages(db)
    few, many = seen[SIZES[0]], seen[SIZES[-1]]
    for name, number in many.items():
        assert number <= few[name] * 1.25 + 10, seen  # an index of a hundred times the rows is a level deeper


@pytest.mark.parametrize("start", [UUID(int=0), UUID(int=2**128 - 2**120)], ids=["first", "last"])
async def test_tenants_with_work_due_cost_nothing_that_their_turn_does_not(
    db: Database, database_url: str, start: UUID
) -> None:
    """From anywhere in the round of turns; more free slots look at more, in proportion."""
    seen: dict[int, dict[int, int]] = {}
    there = 0
    for number in SIZES:
        await fill(database_url, number - there, 2)
        there = number
        await pages(db, start=start)
        seen[number] = {free: (await pages(db, free=free, start=start))["by tenant"] for free in (1, 20, 100)}
    for number, by_free in seen.items():
        for free, found in by_free.items():
            assert found <= 60 + 12 * due.rows_for(free), (number, seen)
    assert seen[SIZES[-1]][1] * 2 < seen[SIZES[-1]][100]


async def test_what_one_tenant_has_waiting_costs_nothing(db: Database, database_url: str) -> None:
    """Though the statistics are from before, when a tenant had two rows or so."""
    await fill(database_url, 10_000, 1, due_in=3600, ready=False)
    await fill(database_url, 3, 20)
    before = await pages(db)
    await fill(database_url, 1, FLOOD, analysed=False)
    after = await pages(db)
    for name, number in after.items():
        assert number <= before[name] * 1.25 + 50, (before, after)


@pytest.mark.parametrize("ready", [True, False])
async def test_the_lane_that_sends_looks_at_no_backlog_of_others(
    db: Database, database_url: str, *, ready: bool
) -> None:
    await fill(database_url, 1, FLOOD, kind="sync", ready=ready)
    await fill(database_url, 1, 1, kind=due.SENDING)
    found = await pages(db, [due.SENDING])
    assert max(found.values()) < 50, found
    batch = await Dispatcher(db, [due.SENDING], lease_seconds=15, caps=Caps()).lease(5)
    assert batch is not None
    assert len(batch.handed) == 1
