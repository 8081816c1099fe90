"""What the console and the dispatcher ask grows with trouble and due work, not with the number of tenants.

Shown by what PostgreSQL says it read, at 100, 1,000 and 10,000 tenants with the same few in trouble; not by time.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from trunkline.connections.models import Connection
from trunkline.health import across
from trunkline.health.assessment import LEVELS
from trunkline.health.service import HealthService
from trunkline.health.trouble import troubled
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.runs.models import Run, Stream
from trunkline.work import due
from trunkline.work.fairness import Caps
from trunkline_tenants.directory import Directory

SIZES = (100, 1_000, 10_000)
HEALTH = HealthService()

# every third connection was given up; each stream has its next time ahead; nobody is late
_FILL = """
    WITH made AS (
        INSERT INTO tenants (id, slug, name)
        SELECT gen_random_uuid(), 't' || n, 'Tenant ' || n FROM generate_series($1::int, $2::int) n RETURNING id
    ), connected AS (
        INSERT INTO connections (tenant_id, id, connector, name, state, account_id, oauth_client_tenant,
                                 oauth_client_id, scopes, via, created_by)
        SELECT id, gen_random_uuid(), 'hubspot', 'HubSpot',
               CASE WHEN row_number() OVER () % 3 = 0 THEN 'disconnected' ELSE 'active' END, '1', id, id, '{}',
               'portal', 'x' FROM made RETURNING tenant_id, id, state
    ), streamed AS (
        INSERT INTO streams (tenant_id, connection_id, stream, schedule_seconds, freshness_seconds,
                             last_success_at, next_due_at)
        SELECT tenant_id, id, s, 60, 900, CASE WHEN state = 'active' THEN now() ELSE now() - interval '9 days' END,
               CASE WHEN state = 'active' THEN now() + interval '1 hour' END
        FROM connected, unnest(ARRAY['contacts', 'deals']) s
    ), solved AS (
        INSERT INTO issues (tenant_id, id, connection_id, key, cause, resolved_at)
        SELECT tenant_id, gen_random_uuid(), id, id::text, 'provider_error', now() FROM connected
    )
    INSERT INTO work (tenant_id, id, kind, key, connection_id, due_at)
    SELECT tenant_id, gen_random_uuid(), 'sync', id || ':' || s, id, now() + interval '1 hour'
    FROM connected, unnest(ARRAY['contacts', 'deals']) s WHERE state = 'active'
"""

_TROUBLE = (
    "UPDATE connections SET state = 'reconnect_required' WHERE id IN (SELECT id FROM connections WHERE state = 'active' LIMIT 5)",
    (
        "UPDATE streams SET failures = 4, cause = 'provider_error' WHERE (tenant_id, connection_id) IN"
        " (SELECT tenant_id, id FROM connections WHERE state = 'active' LIMIT 5)"
    ),
    (
        "UPDATE streams SET last_success_at = now() - interval '1 day' WHERE failures = 0 AND (tenant_id, connection_id) IN"
        " (SELECT tenant_id, id FROM connections WHERE state = 'active' OFFSET 10 LIMIT 5)"
    ),
    (
        "INSERT INTO issues (tenant_id, id, connection_id, stream, key, cause)"
        " SELECT tenant_id, gen_random_uuid(), connection_id, stream, stream || connection_id, 'provider_error' FROM streams WHERE failures > 0"
    ),
    "UPDATE work SET due_at = now() WHERE id IN (SELECT id FROM work LIMIT 7)",
    "UPDATE work SET lease_until = now() + interval '1 minute', leased_by = 'x' WHERE id IN (SELECT id FROM work WHERE due_at > now() LIMIT 3)",
)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Each scan of a table: how, and the rows it looked at."""
    if "Relation Name" in plan or plan["Node Type"].endswith("Index Scan"):
        removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        rows = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
        yield f"{plan['Node Type']} {plan.get('Relation Name', plan.get('Index Name'))}", rows
    for part in plan.get("Plans", []):
        yield from scans(part)


async def explained(
    engine: AsyncEngine, session: Any, ask: Callable[[Any], Awaitable[Any]]
) -> dict[str, Any]:
    """Statement -> its scans, of all that `ask` asks on this session."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    async with session as inside:
        event.listen(engine.sync_engine, "before_cursor_execute", note)
        try:
            await ask(inside)
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", note)
        found = {}
        connection = await inside.connection()
        for statement, parameters in asked:
            if not statement.lstrip(" \n(").startswith(("SELECT", "WITH")):
                continue
            rows = await connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters
            )
            plan = rows.scalar_one()
            plan = msgspec.json.decode(plan) if isinstance(plan, str) else plan
            found[" ".join(statement.split())[:300]] = list(scans(plan[0]["Plan"]))
    return found


async def test_a_long_backlog_is_not_read_for_its_page(db: Database, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute(_FILL, 1, 1_000)
    await owner.execute("ANALYZE")
    tenant = await owner.fetchval("SELECT tenant_id FROM work LIMIT 1")
    (first,) = await owner.fetch(
        """INSERT INTO work (tenant_id, id, kind, key, due_at) VALUES ($1, uuidv7(), 'sync', 'first', now() - interval '1 day')
           RETURNING id""",
        tenant,
    )
    async with db.console() as session:
        few = await across.pending_work(session, tenant, limit=50)
    assert (few.rows[0].id, few.count) == (first["id"], len(few.rows))
    await owner.execute(
        """INSERT INTO work (tenant_id, id, kind, key, due_at, ready)
           SELECT $1, uuidv7(), 'note', n::text, now(), true FROM generate_series(1, 20000) n""",
        tenant,
    )
    await owner.close()

    async def ask(session: Any) -> None:
        found = await across.pending_work(session, tenant, limit=50)
        assert (found.rows[0].id, len(found.rows), found.count) == (first["id"], 50, across.MOST_WORK + 1)

    (read,) = [one for one in (await explained(db._console, db.console(), ask)).values() if one]
    assert sum(number for _, number in read) <= across.MOST_WORK + 1, read


async def test_the_cost_is_that_of_the_trouble(db: Database, database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    directory = Directory(db)
    read: dict[int, dict[str, Any]] = {}
    filled = 0
    for size in SIZES:
        await owner.execute(_FILL, filled + 1, size)
        if not filled:
            for statement in _TROUBLE:
                await owner.execute(statement)
        filled = size
        await owner.execute("ANALYZE")

        async with db.console() as session:
            worst = await troubled(session)
        assert len({one.tenant_id for one in worst}) == 15, size
        ids = list({one.tenant_id for one in worst})

        async def console(session: Any, ids: list[UUID] = ids) -> None:
            await troubled(session)
            await across.count_open(session)
            await across.causes(session)
            await across.affected(session, cause="provider_error", limit=51)
            await HEALTH.of_tenants(session, ids)

        async def names(session: Any, ids: list[UUID] = ids) -> None:
            from trunkline_tenants import repository

            await repository.tenant_page(
                session, without=ids, containing="", descending=False, limit=11, offset=0
            )
            await repository.tenants_of(session, ids)
            await due.at_a_glance(session, due.lane_of(["sync"]), ["sync"])
            await due.by_tenant(
                session,
                due.lane_of(["sync"]),
                ["sync"],
                start=UUID(int=0),
                caps=Caps(),
                rows=due.rows_for(20),
                each=due.PER_TENANT,
            )
            await due.in_flight(session, ["sync"])

        read[size] = await explained(db._console, db.console(), console)
        read[size] |= await explained(db._system, db.system(), names)
    await owner.close()
    assert len(await directory.tenant_page(limit=5)) == 5
    few, many = read[SIZES[0]], read[SIZES[-1]]
    assert few.keys() == many.keys()
    assert len(many) >= 10
    for statement, found in many.items():
        assert found, statement
        rows, before = (sum(number for _, number in one) for one in (found, few[statement]))
        assert rows <= 2 * before + 100, (
            f"{rows} rows at {SIZES[-1]}, {before} at {SIZES[0]}: {statement}\n{found}"
        )
        whole = [how for how, number in found if how.startswith("Seq Scan") and number > 100]
        assert not whole, f"{statement}\n{found}"


async def test_sql_and_python_judge_alike(db: Database) -> None:
    """Connections in every combination that the engine leaves behind: the same ones are in trouble, as badly."""
    chance, moment = random.Random(7), now()
    ids: list[UUID] = []
    for _ in range(120):
        tenant, connection = uuid4(), uuid4()
        ids.append(tenant)
        async with db.tenant(tenant) as session:
            await session.execute(
                insert(Connection).values(
                    tenant_id=tenant, id=connection, connector="hubspot", name="x", account_id="1",
                    state=chance.choice(["active", "active", "active", "paused", "reconnect_required"]),
                    oauth_client_tenant=tenant, oauth_client_id=tenant, scopes=[], via="portal", created_by="x",
                )
            )  # fmt: skip
            for stream in ("contacts", "deals"):
                cause = chance.choice(
                    [None, None, "provider_error", "bad_request", "paused_by_member", "nonsense"]
                )
                paused = chance.random() < 0.3
                run = uuid4() if chance.random() < 0.3 else None
                if run:
                    await session.execute(
                        insert(Run).values(
                            tenant_id=tenant, id=run, connection_id=connection, stream=stream, mode="first",
                            trigger="manual", state=chance.choice(["running", "waiting"]),
                        )
                    )  # fmt: skip
                await session.execute(
                    insert(Stream).values(
                        tenant_id=tenant, connection_id=connection, stream=stream, run_id=run,
                        schedule_seconds=chance.choice([60, 3600]), freshness_seconds=900,
                        created_at=moment - timedelta(hours=chance.choice([0, 9])),
                        last_success_at=chance.choice([None, moment, moment - timedelta(hours=1), moment - timedelta(hours=5)]),
                        next_due_at=None if paused else moment, paused_at=moment if paused else None,
                        failures=chance.choice([0, 0, 1, 4]) if cause != "paused_by_member" else 0,
                        cause=cause if cause != "paused_by_member" or paused else None,
                        cause_since=moment - timedelta(minutes=chance.randrange(60)),
                    )
                )  # fmt: skip
    async with db.console() as session:
        said = {one.tenant_id: one.level for one in await troubled(session)}
        judged = await HEALTH.of_tenants(session, ids)
    wanted = {tenant: one.level for tenant, one in judged.items() if one.level not in {None, "healthy"}}
    assert said == wanted
    assert set(wanted.values()) == set(LEVELS) - {"healthy"}


def test_scans_are_counted() -> None:
    """The reader of plans sees what is nested, and what was thrown away."""
    inner = {
        "Node Type": "Seq Scan",
        "Relation Name": "x",
        "Actual Rows": 2,
        "Rows Removed by Filter": 5,
        "Actual Loops": 3,
    }
    plan = {"Node Type": "Nested Loop", "Plans": [inner]}
    assert list(scans(plan)) == [("Seq Scan x", 21)]
