"""The live schema, so that a table added later cannot escape the rules."""

from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import trunkline
import trunkline_tenants
from trunkline.kernel.db import async_url
from trunkline.kernel.tables import Base

for package in (trunkline, trunkline_tenants):
    for folder in package.__path__:
        for path in Path(folder).rglob("models.py"):
            import_module(".".join((package.__name__, *path.relative_to(folder).with_suffix("").parts)))

# the installation's own, which no tenant role may read; tenants: its own row only
INSTALLATION = {"alembic_version", "api_keys", "login_sessions", "tenants", "users"}


@pytest.fixture
async def catalogue(database_url: str):
    engine = create_async_engine(async_url(database_url))
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def _tenant_tables(catalogue) -> list[str]:
    rows = await catalogue.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
    )
    return sorted({row[0] for row in rows} - INSTALLATION)


async def test_row_level_security_is_on_and_forced(catalogue) -> None:
    rows = await catalogue.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
    )
    assert {row[0] for row in rows} == {"alembic_version"}


async def test_the_tenant_leads_every_key(catalogue) -> None:
    tables = await _tenant_tables(catalogue)
    assert len(tables) >= 20
    rows = await catalogue.execute(
        text(
            "SELECT c.conrelid::regclass::text, c.conname, c.contype::text, a.attname, c.confrelid::regclass::text"
            " FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype IN ('p', 'u', 'f') AND c.connamespace = 'public'::regnamespace"
        )
    )
    primary = set()
    for table, name, kind, first, target in rows:
        if table not in tables or (kind == "f" and target in INSTALLATION):
            continue
        assert first == "tenant_id", f"{table}.{name} begins with {first}"
        primary |= {table} if kind == "p" else set()
    assert primary == set(tables)
    unique = await catalogue.execute(
        text(
            "SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, a.attname FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " JOIN pg_class c ON c.oid = i.indrelid WHERE i.indisunique"
            " AND c.relnamespace = 'public'::regnamespace"
        )
    )
    assert [
        (table, index) for table, index, first in unique if table in tables and first != "tenant_id"
    ] == []


async def test_each_policy_for_the_runtime_role_names_the_tenant(catalogue) -> None:
    rows = await catalogue.execute(text("SELECT tablename, policyname, roles::text[], qual FROM pg_policies"))
    policies = defaultdict(list)
    for table, name, roles, qual in rows:
        assert roles in (["trunkline_app"], ["trunkline_system"], ["trunkline_console"]), (table, name, roles)
        if roles == ["trunkline_app"]:
            policies[table].append((name, qual))
    for table in await _tenant_tables(catalogue):
        names = [name for name, qual in policies[table] if "trunkline_tenant()" in qual]
        assert names == ["tenant_scope"], table
    others = {
        (table, name) for table, found in policies.items() for name, _ in found if name != "tenant_scope"
    }
    assert others == {("declared_models", "operator_models")}


async def test_no_view_or_function_steps_around_the_policies(catalogue) -> None:
    views = await catalogue.execute(
        text(
            "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
        )
    )
    assert views.all() == []
    definers = await catalogue.execute(
        text("SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace")
    )
    assert definers.all() == []


async def test_models_and_migrations_say_the_same(catalogue) -> None:
    def difference(connection: Connection) -> list[object]:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
        return [
            entry
            for entry in found
            if not (entry[0] == "remove_table" and entry[1].name == "alembic_version")
        ]

    assert await catalogue.run_sync(difference) == []
