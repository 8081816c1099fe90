"""What is known of a connection that calls are made for: whose they are, and that they were accepted."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health.issues import note_deprecated
from trunkline.kernel.db import Database
from trunkline.runs.notices import Notice


class Charged(msgspec.Struct, frozen=True):
    """Whom a call is charged to."""

    oauth_client_id: UUID | None
    account_id: str | None
    config: Mapping[str, Any]


class Books(Protocol):
    """Each opens its own session."""

    async def connector(self, tenant_id: UUID, connection_id: UUID) -> str | None: ...
    async def charged_to(self, tenant_id: UUID, connection_id: UUID) -> Charged | None: ...
    async def accepted(self, tenant_id: UUID, connection_id: UUID) -> None: ...
    async def deprecated(self, tenant_id: UUID, connection_id: UUID, notice: Notice) -> None: ...


class DatabaseBooks:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def connector(self, tenant_id: UUID, connection_id: UUID) -> str | None:
        """None: there is no such connection of the tenant's."""
        async with self._db.tenant(tenant_id) as session:
            return await connector_of(session, tenant_id, connection_id)

    async def charged_to(self, tenant_id: UUID, connection_id: UUID) -> Charged | None:
        async with self._db.tenant(tenant_id) as session:
            return await charged_to(session, tenant_id, connection_id)

    async def accepted(self, tenant_id: UUID, connection_id: UUID) -> None:
        async with self._db.tenant(tenant_id) as session:
            await note_accepted(session, tenant_id, connection_id)

    async def deprecated(self, tenant_id: UUID, connection_id: UUID, notice: Notice) -> None:
        async with self._db.tenant(tenant_id) as session:
            await note_deprecated(
                session,
                tenant_id,
                connection_id,
                header=notice.header,
                api_version=notice.version,
                ends=notice.ends,
            )


_CHARGED = text("""
    SELECT oauth_client_id, account_id, config FROM connections WHERE tenant_id = :tenant AND id = :id
""")
_CONNECTOR = text("""
    SELECT connector || coalesce('@' || connector_version, '') FROM connections
    WHERE tenant_id = :tenant AND id = :id
""")
_ACCEPTED = text("UPDATE connections SET last_call_at = now() WHERE tenant_id = :tenant AND id = :id")


async def charged_to(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Charged | None:
    """None: there is no such connection of the tenant's."""
    found = (await session.execute(_CHARGED, {"tenant": tenant_id, "id": connection_id})).one_or_none()
    return None if found is None else Charged(*found)


async def connector_of(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> str | None:
    found = await session.execute(_CONNECTOR, {"tenant": tenant_id, "id": connection_id})
    name: str | None = found.scalar()
    return name


async def note_accepted(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    """The provider has just accepted the connection's credentials."""
    await session.execute(_ACCEPTED, {"tenant": tenant_id, "id": connection_id})
