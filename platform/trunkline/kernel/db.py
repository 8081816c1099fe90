"""The database, and the one place where a tenant's scope is set.

Every connection logs in with the URL's user and at once assumes one of three roles that own nothing:

- `trunkline_app`: row-level security shows it the rows of `app.tenant_id` only; unset is an error.
- `trunkline_system`: crosses tenants to look up who is calling and to dispatch work, nothing else.
- `trunkline_console`: reads across tenants what the console shows; no record, no secret, no person's label.

Their exact rights are in the migrations and in tests/integration/isolation/rights.py.

Source of the rules: PostgreSQL drops a transaction-local setting at commit and then reads it as the empty
string, and a session-level one leaks through pools; so the tenant is set anew in every transaction.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

OPERATOR = UUID(int=0)
"""The installation itself, as a tenant: owner of shared OAuth clients and declared models."""

APP_ROLE = "trunkline_app"
SYSTEM_ROLE = "trunkline_system"
CONSOLE_ROLE = "trunkline_console"


_HAND_OVER = text("SELECT set_config('role', :role, true), set_config('app.tenant_id', :tenant, true)")


class _ScopedSession(Session):
    """A session that cannot begin without saying whose it is."""


@event.listens_for(_ScopedSession, "after_begin")
def _set_scope(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    scope = session.info["scope"]
    if isinstance(scope, UUID):
        connection.exec_driver_sql("SELECT set_config('app.tenant_id', $1, true)", (str(scope),))


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def async_url(url: str) -> URL:
    """The same address for SQLAlchemy's asyncpg dialect."""
    return make_url(url).set(drivername="postgresql+asyncpg")


class Database:
    """A pool of connections for each role, opened on first use; `url` is postgresql://..."""

    def __init__(self, url: str, *, pool_size: int = 10, application: str = "trunkline") -> None:
        self.url = url
        self._app = self._engine(APP_ROLE, pool_size, application)
        self._system = self._engine(SYSTEM_ROLE, max(2, pool_size // 2), application)
        self._console = self._engine(CONSOLE_ROLE, 2, application)

    def _engine(self, role: str, pool_size: int, application: str) -> AsyncEngine:
        return create_async_engine(
            async_url(self.url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
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
            AsyncSession(
                engine, sync_session_class=_ScopedSession, expire_on_commit=False, info={"scope": scope}
            ) as session,
            session.begin(),
        ):
            yield session

    async def dispose(self) -> None:
        await self._app.dispose()
        await self._system.dispose()
        await self._console.dispose()
