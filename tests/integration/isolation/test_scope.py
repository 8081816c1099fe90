"""The tenant scope: what the database itself refuses, whatever the code above it does."""

from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.ids import new_id
from trunkline.runs.models import ChangeHead
from trunkline.work.models import Work

A, B = new_id(), new_id()


async def _add_work(db: Database, tenant_id: UUID, row_tenant: UUID | None = None) -> None:
    async with db.tenant(tenant_id) as session:
        await session.execute(
            insert(Work).values(tenant_id=row_tenant or tenant_id, id=new_id(), kind="test", key="one")
        )


async def _count(db: Database, tenant_id: UUID) -> int:
    async with db.tenant(tenant_id) as session:
        return (await session.execute(select(func.count()).select_from(Work))).scalar_one()


async def test_a_tenant_sees_only_its_own_rows(db: Database) -> None:
    await _add_work(db, A)
    assert await _count(db, A) == 1
    assert await _count(db, B) == 0


async def test_a_row_for_another_tenant_is_refused(db: Database) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        await _add_work(db, A, row_tenant=B)


@pytest.mark.parametrize("before", [False, True], ids=["never set", "set in an earlier transaction"])
async def test_the_tenant_left_unset_is_an_error(db: Database, before: bool) -> None:
    await _add_work(db, A)
    if before:
        await _count(db, A)  # leaves the setting as '' on the pooled connection
    async with db._app.connect() as connection:
        with pytest.raises(DBAPIError, match="the tenant is not set"):
            await connection.execute(select(func.count()).select_from(Work))


async def test_the_setting_does_not_outlive_its_transaction(db: Database) -> None:
    async with db.tenant(A) as session:
        await session.execute(insert(ChangeHead).values(tenant_id=A, position=1))
    async with db._app.connect() as connection:
        assert (await connection.execute(text("SELECT current_setting('app.tenant_id', true)"))).scalar() in {
            None,
            "",
        }


async def test_a_savepoint_keeps_the_scope(db: Database) -> None:
    async with db.tenant(A) as session:
        async with session.begin_nested():
            await session.execute(insert(ChangeHead).values(tenant_id=A, position=1))
        assert (await session.execute(select(func.count()).select_from(ChangeHead))).scalar_one() == 1


async def test_a_scope_must_be_a_tenant_id(db: Database) -> None:
    with pytest.raises(TypeError):
        async with db.tenant("globex"):  # type: ignore[arg-type]
            pass


async def test_the_runtime_roles_own_nothing_and_bypass_nothing(db: Database) -> None:
    async with db.tenant(OPERATOR) as session:
        rows = await session.execute(
            text(
                "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolcanlogin,"
                " (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid) FROM pg_roles r"
                " WHERE rolname LIKE 'trunkline\\_%'"
            )
        )
        found = {row[0]: tuple(row[1:]) for row in rows}
        assert found == dict.fromkeys(
            ("trunkline_app", "trunkline_system", "trunkline_console", "trunkline_shred"), (False,) * 5 + (0,)
        )
        assert (await session.execute(text("SELECT current_user"))).scalar() == "trunkline_app"


async def test_history_cannot_be_rewritten_by_the_runtime_role(db: Database) -> None:
    for table in ("changes", "recipe_versions", "audit_entries"):
        for statement in (f"UPDATE {table} SET tenant_id = tenant_id", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with db.tenant(A) as session:
                    await session.execute(text(statement))


async def test_every_table_cannot_be_truncated(db: Database) -> None:
    async with db.tenant(A) as session:
        names = (
            (await session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
            .scalars()
            .all()
        )
    for name in names:
        with pytest.raises(DBAPIError, match="permission denied"):
            async with db.tenant(A) as session:
                await session.execute(text(f'TRUNCATE "{name}"'))
