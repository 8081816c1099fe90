"""What the console sees of webhooks, in its own role: what became of them, never what they held."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_SENT_TO = text("""
    SELECT d.tenant_id, d.id, e.type, d.state, d.attempts, e.occurred_at, a.status, a.cause
    FROM deliveries d JOIN outbound_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
    LEFT JOIN delivery_attempts a
        ON a.tenant_id = d.tenant_id AND a.delivery_id = d.id AND a.number = d.attempts
    WHERE d.endpoint_id = :endpoint AND d.endpoint_owner <> d.tenant_id
    ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
""")

_FAILING_ENDPOINTS = text("""
    SELECT tenant_id, id, url, failing_since, disabled_at, disabled_cause FROM webhook_endpoints
    WHERE removed_at IS NULL
      AND (failing_since < now() - interval '1 day' OR disabled_cause IN ('gone', 'failing'))
    ORDER BY coalesce(failing_since, disabled_at), id LIMIT :limit
""")


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tenant's delivery to an endpoint of the installation."""

    tenant_id: UUID
    id: UUID
    type: str
    state: str
    attempts: int
    occurred_at: datetime
    status: int | None
    cause: str | None


class FailingEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Of a tenant or of the installation: it takes nothing, for a day or more, or was disabled for it."""

    tenant_id: UUID
    id: UUID
    url: str
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_cause: str | None


async def sent_to(session: AsyncSession, endpoint_id: UUID, *, limit: int) -> list[SentRow]:
    """Newest first, of every tenant."""
    rows = await session.execute(_SENT_TO, {"endpoint": endpoint_id, "limit": limit})
    return [SentRow(**row) for row in rows.mappings()]


async def failing_endpoints(session: AsyncSession, *, limit: int) -> list[FailingEndpoint]:
    """The longest trouble first."""
    rows = await session.execute(_FAILING_ENDPOINTS, {"limit": limit})
    return [FailingEndpoint(**row) for row in rows.mappings()]
