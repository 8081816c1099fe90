"""The short way of `text()` keeps what the long one promised: scope, transaction, errors, results."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from trunkline.kernel.db import PING_SECONDS, Database
from trunkline.kernel.lane import Found, alone

PUT = text("INSERT INTO change_heads (tenant_id, position) VALUES (:tenant, CAST(:position AS bigint))")
MOVE = text("UPDATE change_heads SET position = position + 1 WHERE tenant_id = :tenant")
READ = text("SELECT tenant_id, position FROM change_heads")
PID = text("SELECT pg_backend_pid()")
SCOPE = text("SELECT current_setting('app.tenant_id', true) AS tenant, current_user AS role")


@pytest.fixture
async def tenant(db: Database) -> UUID:
    made = uuid4()
    async with db.tenant(made) as session:
        await session.execute(PUT, {"tenant": made, "position": 7})
    return made


async def test_it_is_taken_and_scoped(db: Database, tenant: UUID) -> None:
    async with db.tenant(tenant) as session:
        scope = (await session.execute(SCOPE)).one()
        found = await session.execute(READ)
        assert isinstance(found, Found)
        assert (scope.tenant, scope.role) == (str(tenant), "trunkline_app")
        assert [(row.tenant_id, row.position) for row in found] == [(tenant, 7)]
    async with db.tenant(uuid4()) as session:
        assert (await session.execute(READ)).all() == []


async def test_another_tenants_row_is_refused(db: Database, tenant: UUID) -> None:
    async def cross() -> None:
        async with db.tenant(tenant) as session:
            await session.execute(PUT, {"tenant": uuid4(), "position": 1})

    with pytest.raises(DBAPIError, match="row-level security"):
        await cross()


async def test_the_scope_ends_with_the_transaction(db: Database, tenant: UUID) -> None:
    async with db.tenant(tenant) as session:
        await session.execute(MOVE, {"tenant": tenant})
    async with db._app.connect() as connection:
        assert not (await connection.execute(SCOPE)).one().tenant


async def test_results(db: Database, tenant: UUID) -> None:
    async with db.tenant(tenant) as session:
        moved = await session.execute(MOVE, {"tenant": tenant})
        assert moved.rowcount == 1  # type: ignore[attr-defined]
        other = await session.execute(MOVE, {"tenant": uuid4()})
        assert other.rowcount == 0  # type: ignore[attr-defined]
        assert (await session.execute(READ)).mappings().one() == {"tenant_id": tenant, "position": 8}
        assert (await session.execute(text("SELECT position FROM change_heads"))).scalar_one() == 8
        none = text("SELECT position FROM change_heads WHERE position < 0")
        assert (await session.execute(none)).scalar() is None
        assert list((await session.execute(none)).scalars()) == []
        assert (await session.execute(none)).mappings().one_or_none() is None
        assert (await session.execute(none)).one_or_none() is None
        assert set((await session.execute(READ)).scalars()) == {tenant}


async def test_an_error_rolls_everything_back(db: Database, tenant: UUID) -> None:
    async def twice() -> None:
        async with db.tenant(tenant) as session:
            await session.execute(MOVE, {"tenant": tenant})
            await session.execute(PUT, {"tenant": tenant, "position": 1})

    with pytest.raises(IntegrityError) as caught:
        await twice()
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", None) == "23505"
    assert str(tenant) not in str(caught.value.statement)
    async with db.tenant(tenant) as session:
        assert (await session.execute(READ)).one().position == 7


async def test_a_savepoint_is_rolled_back_alone(db: Database, tenant: UUID) -> None:
    async with db.tenant(tenant) as session:
        await session.execute(MOVE, {"tenant": tenant})

        async def twice() -> None:
            async with session.begin_nested():
                await session.execute(MOVE, {"tenant": tenant})
                await session.execute(PUT, {"tenant": tenant, "position": 1})

        with pytest.raises(IntegrityError):
            await twice()
        assert (await session.execute(SCOPE)).one().tenant == str(tenant)
    async with db.tenant(tenant) as session:
        assert (await session.execute(READ)).one().position == 8


async def test_a_session_across_tenants_is_a_transaction_too(db: Database, tenant: UUID) -> None:
    lock = text("SELECT pg_try_advisory_xact_lock(4711)")
    async with db.system() as one, db.system() as other:
        assert (await one.execute(lock)).scalar_one() is True
        assert (await other.execute(lock)).scalar_one() is False
    async with db.system() as later, db.console() as console:
        assert (await later.execute(lock)).scalar_one() is True
        assert (await console.execute(lock)).scalar_one() is False


async def _end(url: str, pid: int) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute("SELECT pg_terminate_backend($1)", pid)
    await owner.close()


async def test_a_dead_connection_leaves_the_pool(db: Database, database_url: str, tenant: UUID) -> None:
    async def killed() -> None:
        async with db.tenant(tenant) as session:
            await _end(database_url, (await session.execute(PID)).scalar_one())
            await session.execute(READ)

    with pytest.raises(DBAPIError) as caught:
        await killed()
    assert caught.value.connection_invalidated
    async with db.tenant(tenant) as session:
        assert (await session.execute(READ)).one().position == 7


async def test_one_that_ended_at_rest_is_not_given_out(db: Database, database_url: str, tenant: UUID) -> None:
    async with db.tenant(tenant) as session:
        pid = (await session.execute(PID)).scalar_one()
    await _end(database_url, pid)
    await asyncio.sleep(PING_SECONDS)
    async with db.tenant(tenant) as session:
        assert (await session.execute(PID)).scalar_one() != pid


async def test_a_statement_by_itself_is_committed_and_leaves_nothing_open(db: Database) -> None:
    made = uuid4()
    who = text(
        "SELECT current_user AS role, current_setting('app.tenant_id', true) AS tenant, now() = :at AS same"
    )
    row = (await db.system_alone(who, {"at": datetime.now(UTC)}))[0]
    assert (row["role"], row["tenant"], row["same"]) == ("trunkline_system", None, False)
    failing = text("SELECT 1 / CAST(:zero AS integer)")
    with pytest.raises(DBAPIError, match="division by zero"):
        await db.system_alone(failing, {"zero": 0})
    with pytest.raises(DBAPIError, match="permission denied"):
        await db.system_alone(PUT, {"tenant": made, "position": 1})
    async with db._system.connect() as connection:
        await connection.execute(PID)
        with pytest.raises(RuntimeError, match="by itself"):
            await alone(connection, PID, {})


async def test_a_connection_that_died_is_told_of_by_a_statement_by_itself(
    db: Database, database_url: str
) -> None:
    async with db._system.connect() as connection:
        pid = (await alone(connection, PID, {}))[0][0]
        owner = await asyncpg.connect(database_url)
        await owner.execute("SELECT pg_terminate_backend($1)", pid)
        await owner.close()
        with pytest.raises(DBAPIError) as ended:
            await alone(connection, PID, {})
        assert ended.value.connection_invalidated
    assert (await db.system_alone(PID, {}))[0][0] != pid
