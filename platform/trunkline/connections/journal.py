"""What the connections' slice tells the audit log, the product (by events) and the list of issues."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections.models import Connection
from trunkline.deliveries.catalogue import ConnectionData
from trunkline.deliveries.outbox import emit
from trunkline.health.issues import open_issue, resolve_issues
from trunkline.kernel.principal import Principal

EVENTS = {
    "connected": "connection.confirmed",
    "reconnect_required": "connection.reconnect_needed",
    "reconnected": "connection.recovered",
    "disconnected": "connection.disconnected",
}
"""What the product is told of by the deeds that are audited."""


def told(session: AsyncSession, event: str, connection: Connection) -> None:
    data = ConnectionData(
        connection_id=connection.id,
        connector=connection.connector,
        name=connection.name,
        state=connection.state,
        account_id=connection.account_id,
        end_user_id=connection.end_user_id,
        cause=connection.cause,
    )
    emit(session, connection.tenant_id, event, data, subject=connection.id)


async def audited(
    session: AsyncSession,
    principal: Principal,
    action: str,
    connection: Connection,
    *,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **detail: Any,
) -> None:
    """`action` without the noun: `paused`; `before` and `after`: what it changed of the connection."""
    await append(
        session,
        principal,
        f"connection.{action}",
        tenant_id=connection.tenant_id,
        target_kind="connection",
        target_id=str(connection.id),
        detail={"connector": connection.connector, **detail},
        reason=reason,
        before=before,
        after=after,
    )
    if action in EVENTS:
        told(session, EVENTS[action], connection)


async def problem(session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str) -> None:
    await open_issue(session, tenant_id, connection_id, cause)


async def solved(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await resolve_issues(session, tenant_id, connection_id)
