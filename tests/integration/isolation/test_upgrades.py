"""An installation that grew under an older schema, brought to this one: nobody's rows are lost or open to others,
and the product reads them.

Every row of the world, of every kind, is put into the older schema by plain SQL, in the columns that it had then;
and once more into this one, as a process of the older version would that is still at work.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from alembic import command
from isolation_kit.world import MARK, World
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from trunkline.kernel import migrate
from trunkline.main import connectors, web_app
from trunkline.services import build_services

REVISIONS = ("0005", "0010", "0015")
"""The engine with webhooks and deliveries; before the revisions that were made beside each other; the middle."""
NEEDED = {
    *("tenants", "users", "members", "api_keys", "data_keys", "connections", "oauth_clients", "recipes"),
    *(
        "recipe_versions",
        "streams",
        "runs",
        "records",
        "entities",
        "changes",
        "hook_endpoints",
        "inbound_events",
    ),
    *("webhook_endpoints", "deliveries", "delivery_attempts", "audit_entries", "issues", "reviews", "work"),
}
"""Tables of every revision above, of which rows must have been there."""

TABLES = """
    SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname <> 'alembic_version'
    GROUP BY c.relname
"""
WALLS = """
    SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnotnull
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
"""


async def tables(connection: asyncpg.Connection) -> dict[str, list[str]]:
    return {row["name"]: list(row["columns"]) for row in await connection.fetch(TABLES)}


def listed(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


class Grown:
    """An older installation, and the rows in it."""

    def __init__(self, url: str, revision: str) -> None:
        self.url = url
        self.revision = revision
        self.put: dict[str, tuple[list[str], Counter[str]]] = {}
        """By table: the columns it had, and its rows as text."""

    async def fill(self, world: World) -> None:
        async with written(self.url) as old:
            theirs, ours = await tables(old), await tables(world.owner)
            for table, had in theirs.items():
                columns = [name for name in had if name in ours.get(table, [])]
                if columns:
                    await copy(world.owner, old, table, columns)  # but for what was not known then
                    self.put[table] = columns, await held(old, table, columns)

    async def fill_again(self, world: World) -> dict[str, Counter[str]]:
        """What this schema does not take of the same rows, written by a process that knows the older one."""
        async with written(self.url) as upgraded:
            await upgraded.execute(f"TRUNCATE {listed(list(self.put))} CASCADE")
            refused = {}
            for table, (columns, before) in self.put.items():
                await copy(world.owner, upgraded, table, columns)
                refused[table] = before - await held(upgraded, table, columns)
        return {table: rows for table, rows in refused.items() if rows}


@asynccontextmanager
async def written(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    await connection.execute("SET session_replication_role = replica")  # rows come in no order
    yield connection
    await connection.close()


async def copy(
    source: asyncpg.Connection, target: asyncpg.Connection, table: str, columns: list[str]
) -> None:
    """What the target's rules allow."""
    places = ", ".join(f"${number + 1}" for number in range(len(columns)))
    statement = f'INSERT INTO "{table}" ({listed(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places})'
    for row in await source.fetch(f'SELECT {listed(columns)} FROM "{table}"'):
        with suppress(asyncpg.CheckViolationError, asyncpg.NotNullViolationError):
            await target.execute(statement, *row.values())


async def held(connection: asyncpg.Connection, table: str, columns: list[str]) -> Counter[str]:
    rows = await connection.fetch(
        f'SELECT t::text AS line FROM (SELECT {listed(columns)} FROM "{table}") AS t'
    )
    return Counter(row["line"] for row in rows)


@pytest.fixture(params=REVISIONS)
def grown(request: Any, run: Any, servers: Any, world: World) -> Iterator[Grown]:
    name = f"grown_{request.param}"

    async def admin(statement: str) -> None:
        connection = await asyncpg.connect(servers.postgres.url_of("postgres"))
        await connection.execute(statement)
        await connection.close()

    run(admin(f"create database {name}"))
    made = Grown(servers.postgres.url_of(name), request.param)
    command.upgrade(migrate._config(made.url), made.revision)
    run(made.fill(world))
    migrate.upgrade(made.url)
    yield made
    run(admin(f"drop database {name} with (force)"))


async def upgraded(world: World, url: str) -> World:
    """The same callers, in front of the upgraded installation with the same key file."""
    settings = msgspec.structs.replace(world.settings, database_url=url)
    services = build_services(settings, connectors(), application="upgraded")
    made = World(settings, services, await asyncpg.connect(url))
    made.app = web_app(settings)
    made.tenants, made.victims, made.callers = world.tenants, world.victims, world.callers
    return made


def test_rows_of_an_older_schema_survive_behind_their_walls_and_are_read(
    run: Any, world: World, grown: Grown
) -> None:
    assert migrate.current(grown.url) == migrate.head()
    run(survived(world, grown))


async def survived(world: World, grown: Grown) -> None:
    after = await upgraded(world, grown.url)
    try:
        missing = {table for table in NEEDED if not grown.put.get(table, ([], Counter()))[1]}
        assert not missing, "there was nothing to lose"
        for table, (columns, before) in grown.put.items():
            lost = before - await held(after.owner, table, columns)
            assert not lost, (
                f"{table} lost or changed {sum(lost.values())} rows, such as {next(iter(lost))[:300]}"
            )
        assert await after.owner.fetch(WALLS) == []
        await each_sees_its_own(after)
        await the_product_reads_them(after)
        # a deploy leaves processes of the older version at work for a while
        assert await grown.fill_again(world) == {}
    finally:
        await after.close()


async def each_sees_its_own(after: World) -> None:
    """As the application sees it, of every table that has a tenant."""
    for table, columns in (await tables(after.owner)).items():
        if "tenant_id" not in columns:
            continue
        counted = {
            row["tenant_id"]: row["n"]
            for row in await after.owner.fetch(
                f'SELECT tenant_id, count(*) AS n FROM "{table}" GROUP BY tenant_id'
            )
        }
        for ids in after.tenants.values():
            seen = await tenants_seen(after, ids.tenant_id, table)
            if seen is not None:
                assert seen <= {ids.tenant_id}, f"{table} shows {ids.slug} rows of others"
                assert bool(seen) == (ids.tenant_id in counted), f"{table} hides rows of {ids.slug}"


async def tenants_seen(after: World, tenant_id: UUID, table: str) -> set[UUID] | None:
    """None: the application may not read it."""
    try:
        async with after.services.db.tenant(tenant_id) as session:
            return set(await session.scalars(text(f'SELECT DISTINCT tenant_id FROM "{table}"')))
    except ProgrammingError:
        return None


async def the_product_reads_them(after: World) -> None:
    """Over the API and the portal: rows are found, and what is sealed under the tenant's key opens."""
    ids = after.tenants["globex"]
    one, mark = ids.uuids, f"{MARK}-globex"
    callers = {who.name: who for who in after.callers}
    for name, path, wanted in (
        ("bound key", "/v1/connections", one["connection"]),
        ("bound key", f"/v1/connections/{one['connection']}/runs", one["run"]),
        ("bound key", f"/v1/connections/{one['connection']}/recipes", one["recipe"]),
        ("bound key", "/v1/records/contact", one["entity"]),
        ("owner", "/portal", one["connection"]),
        ("owner", f"/portal/connections/{one['connection']}", one["recipe"]),
        ("owner", f"/portal/records/{one['connection']}/contacts/{ids.texts['external']}", "as received"),
        ("owner", f"/portal/events/{one['event']}", mark),
        ("owner", f"/portal/webhooks/deliveries/{one['delivery']}", mark),
        ("owner", f"/portal/reviews/{one['review']}", ids.texts["external"]),
        ("owner", "/portal/issues", mark),
        ("owner", "/portal/activity", "renamed"),
        ("support", f"/console/tenants/{ids.slug}", "Globex"),
    ):
        answer = await after.ask(callers[name], "GET", path)
        assert answer.status == 200, (path, answer.body[:1000])
        main = answer.body.partition("<main")[2] or answer.body
        assert wanted in main, (path, main[:3000])
