"""The live schema, so that a table added later cannot escape the rules; and that each rule bites."""

from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from isolation_kit.catalogue import RULES
from isolation_kit.rights import INSTALLATION, RIGHTS
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

import trunkline
import trunkline_tenants
from trunkline.kernel.db import async_url
from trunkline.kernel.tables import Base

for package in (trunkline, trunkline_tenants):
    for folder in package.__path__:
        for path in Path(folder).rglob("models.py"):
            import_module(".".join((package.__name__, *path.relative_to(folder).with_suffix("").parts)))

TABLE = """CREATE TABLE later (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
    ALTER TABLE later ENABLE ROW LEVEL SECURITY; ALTER TABLE later FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_scope ON later TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant()))
        WITH CHECK (tenant_id = (SELECT trunkline_tenant()));"""
PARTITIONED = """CREATE TABLE later (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id))
        PARTITION BY HASH (tenant_id);
    ALTER TABLE later ENABLE ROW LEVEL SECURITY; ALTER TABLE later FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_scope ON later TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant()))
        WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
    CREATE TABLE later_0 PARTITION OF later FOR VALUES WITH (MODULUS 1, REMAINDER 0);"""
FORCED = "ALTER TABLE later_0 ENABLE ROW LEVEL SECURITY; ALTER TABLE later_0 FORCE ROW LEVEL SECURITY;"

FAULTS = [
    ("row_level_security", "not enabled", "CREATE TABLE later (tenant_id uuid NOT NULL PRIMARY KEY)"),
    ("row_level_security", "not enabled", f"{TABLE} ALTER TABLE later NO FORCE ROW LEVEL SECURITY"),
    ("row_level_security", "not enabled", f"{TABLE} ALTER TABLE later DISABLE ROW LEVEL SECURITY"),
    ("row_level_security", "later_0", PARTITIONED),
    ("row_level_security", "work", "ALTER TABLE work NO FORCE ROW LEVEL SECURITY"),
    ("one_schema", "aside.later", "CREATE SCHEMA aside CREATE TABLE later (a int)"),
    ("tenant_leads_keys", "no primary key", f"{TABLE} ALTER TABLE later DROP CONSTRAINT later_pkey"),
    ("tenant_leads_keys", "no column tenant_id", "CREATE TABLE later (tenant_id text PRIMARY KEY)"),
    ("tenant_leads_keys", "no column tenant_id", "CREATE TABLE later (id uuid PRIMARY KEY)"),
    (
        "tenant_leads_keys",
        "later_pkey",
        "CREATE TABLE later (tenant_id uuid, id uuid, PRIMARY KEY (id, tenant_id))",
    ),
    ("tenant_leads_keys", "begins with id", f"{TABLE} ALTER TABLE later ADD UNIQUE (id)"),
    ("tenant_leads_keys", "begins with id", f"{TABLE} CREATE UNIQUE INDEX ON later (id)"),
    ("tenant_leads_keys", "begins with None", f"{TABLE} CREATE UNIQUE INDEX ON later (lower(id::text))"),
    (
        "tenant_leads_keys",
        "work_later_fkey",
        (
            f"{TABLE} ALTER TABLE work ADD COLUMN later uuid, ADD CONSTRAINT work_later_fkey"
            " FOREIGN KEY (later, tenant_id) REFERENCES later (id, tenant_id)"
        ),
    ),
    (
        "tenant_leads_keys",
        "users_later_fkey",
        (
            f"{TABLE} ALTER TABLE users ADD COLUMN later uuid, ADD COLUMN tenant uuid, ADD CONSTRAINT"
            " users_later_fkey FOREIGN KEY (tenant, later) REFERENCES later (tenant_id, id)"
        ),
    ),
    (
        "tenant_leads_keys",
        "later_0",
        f"{PARTITIONED} ALTER TABLE later_0 DROP CONSTRAINT IF EXISTS x; CREATE UNIQUE INDEX ON later_0 (id)",
    ),
    ("nothing_steps_around", "everybody", "CREATE VIEW everybody AS SELECT id FROM work"),
    ("nothing_steps_around", "everybody", "CREATE MATERIALIZED VIEW everybody AS SELECT id FROM work"),
    ("nothing_steps_around", "rule", "CREATE RULE aside AS ON UPDATE TO work DO ALSO NOTHING"),
    (
        "nothing_steps_around",
        "SECURITY DEFINER",
        "CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM work'",
    ),
    ("nothing_steps_around", "SECURITY DEFINER", "ALTER FUNCTION trunkline_tenant() SECURITY DEFINER"),
    ("nothing_steps_around", "peek()", "CREATE FUNCTION peek() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    (
        "nothing_steps_around",
        "work.copy",
        """CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER copy AFTER INSERT ON work FOR EACH ROW EXECUTE FUNCTION peek()""",
    ),
    ("nothing_steps_around", "publication", "CREATE PUBLICATION everything FOR TABLE work"),
    ("nothing_steps_around", "'S'", "CREATE SEQUENCE numbers"),
    ("roles_are_humble", "trunkline_app: mighty", "ALTER ROLE trunkline_app BYPASSRLS"),
    ("roles_are_humble", "trunkline_console: mighty", "ALTER ROLE trunkline_console SUPERUSER"),
    ("roles_are_humble", "trunkline_system: mighty", "ALTER ROLE trunkline_system CREATEROLE"),
    ("roles_are_humble", "mighty", "ALTER ROLE trunkline_system LOGIN"),
    ("roles_are_humble", "trunkline_app: owns", "ALTER TABLE work OWNER TO trunkline_app"),
    ("roles_are_humble", "trunkline_app: inherits", "GRANT trunkline_console TO trunkline_app"),
    ("roles_are_humble", "has_settings", "ALTER ROLE trunkline_app SET row_security = off"),
    ("roles_are_humble", "the roles are", "CREATE ROLE trunkline_export"),
    ("grants_are_exact", "PUBLIC may also SELECT", "GRANT SELECT ON work TO PUBLIC"),
    ("grants_are_exact", "may also TRUNCATE", "GRANT TRUNCATE ON work TO trunkline_app"),
    ("grants_are_exact", "may also REFERENCES", "GRANT REFERENCES ON connections TO trunkline_app"),
    ("grants_are_exact", "may also TRIGGER", "GRANT TRIGGER ON work TO trunkline_system"),
    ("grants_are_exact", "may also UPDATE", "GRANT UPDATE ON changes TO trunkline_app"),
    ("grants_are_exact", "may also SELECT(args)", "GRANT SELECT (args) ON work TO trunkline_console"),
    ("grants_are_exact", "records: trunkline_system", "GRANT SELECT ON records TO trunkline_system"),
    ("grants_are_exact", "may not UPDATE", "REVOKE UPDATE ON streams FROM trunkline_app"),
    ("grants_are_exact", "may pass on", "GRANT SELECT ON runs TO trunkline_console WITH GRANT OPTION"),
    ("grants_are_exact", "later: trunkline_app", f"{TABLE} GRANT SELECT ON later TO trunkline_app"),
    ("nothing_else_is_granted", "PUBLIC has CREATE", "GRANT CREATE ON SCHEMA public TO PUBLIC"),
    ("nothing_else_is_granted", "trunkline_app has CREATE", "GRANT CREATE ON SCHEMA public TO trunkline_app"),
    (
        "nothing_else_is_granted",
        "PUBLIC has EXECUTE",
        "GRANT EXECUTE ON FUNCTION trunkline_tenant() TO PUBLIC",
    ),
    (
        "nothing_else_is_granted",
        "default r: trunkline_app",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO trunkline_app",
    ),
    (
        "nothing_else_is_granted",
        "default f: PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    ),
    ("policies_are_ours", "later: policy tenant_scope is None", f"{TABLE} DROP POLICY tenant_scope ON later"),
    ("policies_are_ours", "work: policy wide", "CREATE POLICY wide ON work TO trunkline_app USING (true)"),
    ("policies_are_ours", "work: policy wide", "CREATE POLICY wide ON work USING (true)"),
    ("policies_are_ours", "tenant_scope", "ALTER POLICY tenant_scope ON work WITH CHECK (true)"),
    (
        "policies_are_ours",
        "tenant_scope",
        "ALTER POLICY tenant_scope ON work USING (tenant_id = trunkline_tenant() OR kind = 'x')",
    ),
    (
        "policies_are_ours",
        "records: policy system",
        "CREATE POLICY system ON records TO trunkline_system USING (true)",
    ),
]


@pytest.fixture
async def undone(schema: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    transaction = schema.transaction()
    await transaction.start()
    yield schema
    await transaction.rollback()


@pytest.mark.parametrize("rule", RULES)
async def test_the_live_schema_keeps(schema: asyncpg.Connection, rule: str) -> None:
    assert await RULES[rule](schema) == []


@pytest.mark.parametrize(("rule", "words", "statements"), FAULTS)
async def test_a_planted_fault_is_found(
    undone: asyncpg.Connection, rule: str, words: str, statements: str
) -> None:
    await undone.execute(statements)
    assert words in "\n".join(await RULES[rule](undone))


async def test_a_partition_that_keeps_the_rules_is_welcome(undone: asyncpg.Connection) -> None:
    await undone.execute(
        f"""{PARTITIONED} {FORCED} CREATE POLICY tenant_scope ON later_0 TO trunkline_app
            USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))"""
    )
    for name in ("row_level_security", "tenant_leads_keys", "policies_are_ours", "nothing_steps_around"):
        assert await RULES[name](undone) == []


async def test_every_rule_was_planted_against(schema: asyncpg.Connection) -> None:
    assert {rule for rule, _, _ in FAULTS} == set(RULES)
    tables = {
        row[0]
        for row in await schema.fetch("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
    }
    assert tables >= set(INSTALLATION)
    assert tables - set(INSTALLATION) == set(RIGHTS["trunkline_app"]) - {"tenants"}


async def test_models_and_migrations_say_the_same(database_url: str) -> None:
    def difference(connection: Connection) -> list[object]:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        return [
            entry
            for entry in found
            if not (entry[0] == "remove_table" and entry[1].name == "alembic_version")
        ]

    engine = create_async_engine(async_url(database_url))
    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []
    await engine.dispose()
