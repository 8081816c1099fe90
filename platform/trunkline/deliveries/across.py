"""What the console sees of webhooks, in its own role: what became of them, never what they held."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries.schedule import CERTIFICATE_NOTICE

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


_ENDING_CERTIFICATES = text("""
    SELECT e.tenant_id, e.id, e.url, c.certificate_ends AS ends
    FROM endpoint_credentials c JOIN webhook_endpoints e ON e.tenant_id = c.tenant_id AND e.id = c.endpoint_id
    WHERE e.removed_at IS NULL AND e.disabled_at IS NULL
      AND c.certificate_ends < now() + CAST(:notice AS interval)
    ORDER BY c.certificate_ends, e.id LIMIT :limit
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


class EndingCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Shown to an endpoint of a tenant or of the installation: it ends within 30 days, or has ended."""

    tenant_id: UUID
    id: UUID
    url: str
    ends: datetime


async def sent_to(session: AsyncSession, endpoint_id: UUID, *, limit: int) -> list[SentRow]:
    """Newest first, of every tenant."""
    rows = await session.execute(_SENT_TO, {"endpoint": endpoint_id, "limit": limit})
    return [SentRow(**row) for row in rows.mappings()]


async def failing_endpoints(session: AsyncSession, *, limit: int) -> list[FailingEndpoint]:
    """The longest trouble first."""
    rows = await session.execute(_FAILING_ENDPOINTS, {"limit": limit})
    return [FailingEndpoint(**row) for row in rows.mappings()]


async def ending_certificates(session: AsyncSession, *, limit: int) -> list[EndingCertificate]:
    """The first to end first."""
    rows = await session.execute(_ENDING_CERTIFICATES, {"notice": CERTIFICATE_NOTICE, "limit": limit})
    return [EndingCertificate(**row) for row in rows.mappings()]
