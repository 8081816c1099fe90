"""What the connections' slice tells the audit log and the list of issues."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections.models import Connection
from trunkline.health.issues import open_issue, resolve_issues
from trunkline.kernel.principal import Principal


async def audited(
    session: AsyncSession,
    principal: Principal,
    action: str,
    connection: Connection,
    *,
    reason: str | None = None,
    **detail: Any,
) -> None:
    """`action` without the noun: `paused`."""
    await append(
        session,
        principal,
        f"connection.{action}",
        tenant_id=connection.tenant_id,
        target_kind="connection",
        target_id=str(connection.id),
        detail={"connector": connection.connector, **detail},
        reason=reason,
    )


async def problem(session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str) -> None:
    await open_issue(session, tenant_id, connection_id, cause)


async def solved(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await resolve_issues(session, tenant_id, connection_id)
