"""The database, and the one place where a tenant's scope is set.

Every connection logs in with the URL's user and at once assumes one of three roles that own nothing:

- `trunkline_app`: row-level security shows it the rows of `app.tenant_id` only; unset is an error.
- `trunkline_system`: crosses tenants to look up who is calling and to dispatch work, nothing else.
- `trunkline_console`: reads across tenants what the console shows; no record, no secret, no person's label.

Their exact rights are in the migrations and in tests/integration/isolation/rights.py.

Source of the rules: PostgreSQL drops a transaction-local setting at commit and then reads it as the empty
string, and a session-level one leaks through pools; so the tenant is set anew in every transaction.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, TextClause, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

from trunkline.kernel.lane import LaneSession, alone, begin

OPERATOR = UUID(int=0)
"""The installation itself, as a tenant: owner of shared OAuth clients and declared models."""

APP_ROLE = "trunkline_app"
SYSTEM_ROLE = "trunkline_system"
CONSOLE_ROLE = "trunkline_console"

CLOSE_SECONDS = 1.0
"""For all pools together: asyncpg would wait for each connection's end."""

PING_SECONDS = 0.25
"""A pooled connection that was not used for longer is tried out first."""

_AT_END = "at_end"
_HAND_OVER = text("SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant, true)")


class _ScopedSession(Session):
    """A session that cannot begin without saying whose it is."""


@event.listens_for(_ScopedSession, "after_begin")
def _set_scope(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    scope = session.info["scope"]
    # A UUID is spelt by itself, never by whoever gave it: nothing else could stand between the quotes.
    scoped = isinstance(scope, UUID)
    setting = f"SELECT set_config('app.tenant_id', '{UUID(int=scope.int)}', true)" if scoped else ""
    if not begin(connection, setting) and scoped:
        connection.exec_driver_sql("SELECT set_config('app.tenant_id', $1, true)", (str(scope),))


Last = Callable[[AsyncSession, list[Any]], Awaitable[None]]


def at_end(session: AsyncSession, write: Last, item: Any) -> None:
    """`write` gets the transaction's items together, as its very last statements before the commit.

    For what needs a lock that every writer of a tenant waits for: taken last and held for the commit alone,
    it can be part of no deadlock: several writers take their turns in one order, that of their names. What a
    savepoint gave is forgotten when that is rolled back.
    """
    inner = session.sync_session
    session.info.setdefault(_AT_END, []).append(
        (inner.get_nested_transaction() or inner.get_transaction(), write, item)
    )


@event.listens_for(_ScopedSession, "after_soft_rollback")
def _forget(session: Session, ended: SessionTransaction) -> None:
    kept = [one for one in session.info.get(_AT_END, ()) if not _within(one[0], ended)]
    session.info[_AT_END] = kept


def _within(transaction: SessionTransaction | None, other: SessionTransaction) -> bool:
    while transaction is not None and transaction is not other:
        transaction = transaction.parent
    return transaction is not None


async def _end(session: AsyncSession) -> None:
    await session.flush()
    items = session.info.pop(_AT_END, [])
    for write in sorted(dict.fromkeys(write for _, write, _ in items), key=_name):
        await write(session, [item for _, other, item in items if other is write])


def _name(write: Last) -> str:
    return f"{write.__module__}.{write.__qualname__}"


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def async_url(url: str) -> URL:
    """The same address for SQLAlchemy's asyncpg dialect."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def _see_that_it_lives(adapter: Any, record: Any, _fairy: Any) -> None:
    """The driver knows whether the server ended it; only after a rest is it tried out: a trip of its own."""
    used = record.info.get("used")
    if adapter.driver_connection.is_closed():
        raise InvalidatePoolError
    if used is not None and time.monotonic() - used > PING_SECONDS:
        try:
            adapter.ping()
        except Exception as error:
            raise InvalidatePoolError from error


def _note_use(_adapter: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


class Database:
    """A pool of connections for each role, opened on first use; `url` is postgresql://..."""

    def __init__(self, url: str, *, pool_size: int = 10, application: str = "trunkline") -> None:
        self.url = url
        self._app = self._engine(APP_ROLE, pool_size, application)
        self._system = self._engine(SYSTEM_ROLE, max(2, pool_size // 2), application)
        self._console = self._engine(CONSOLE_ROLE, 2, application)

    def _engine(self, role: str, pool_size: int, application: str) -> AsyncEngine:
        engine = create_async_engine(
            async_url(self.url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_recycle=1800,
            hide_parameters=True,
            json_serializer=_encode,
            json_deserializer=msgspec.json.decode,
            connect_args={
                "timeout": 10,
                "server_settings": {
                    "role": role,
                    "application_name": f"{application}:{role}",
                    "statement_timeout": "30s",
                    "lock_timeout": "10s",
                    "idle_in_transaction_session_timeout": "60s",
                },
            },
        )
        event.listen(engine.sync_engine, "checkout", _see_that_it_lives)
        event.listen(engine.sync_engine, "checkin", _note_use)
        return engine

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        """One transaction that sees `tenant_id` only; commits at the end, rolls back on an error."""
        if not isinstance(tenant_id, UUID):
            raise TypeError("a tenant scope needs a tenant id")
        async with self._session(self._app, tenant_id) as session:
            yield session

    @asynccontextmanager
    async def system(self) -> AsyncIterator[AsyncSession]:
        """One transaction across tenants: for lookups before the tenant is known, and for dispatching."""
        async with self._session(self._system, None) as session:
            yield session

    async def system_alone(self, statement: TextClause, params: Mapping[str, Any]) -> list[Any]:
        """Rows of one statement across tenants that is its own transaction: durable when it returns."""
        async with self._system.connect() as connection:
            return await alone(connection, statement, params)

    @asynccontextmanager
    async def console(self) -> AsyncIterator[AsyncSession]:
        """One transaction across tenants that can only read, and only what staff may see."""
        async with self._session(self._console, None) as session:
            yield session

    async def hand_over(self, session: AsyncSession, tenant_id: UUID) -> None:
        """The rest of a system transaction is the tenant's, in the runtime role: the audit entry of a deed.

        There is no way back before the transaction ends, which is when both settings end too.
        """
        await session.flush()
        session.info["scope"] = tenant_id
        await session.execute(_HAND_OVER, {"role": APP_ROLE, "tenant": str(tenant_id)})

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine, scope: UUID | None) -> AsyncIterator[AsyncSession]:
        async with (
            LaneSession(
                engine, sync_session_class=_ScopedSession, expire_on_commit=False, info={"scope": scope}
            ) as session,
            session.begin(),
        ):
            yield session
            await _end(session)

    async def dispose(self) -> None:
        """Says goodbye to a server that answers; one that does not learns it when the process has gone."""
        engines = (self._app, self._system, self._console)
        closing = [asyncio.ensure_future(engine.dispose()) for engine in engines]
        closed, waiting = await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS)
        for task in closed:
            task.result()
