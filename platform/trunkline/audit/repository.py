"""All SQL of the audit log. Entries are only ever added; the runtime role can do nothing else."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.models import AuditEntry

_COLUMNS = (
    AuditEntry.id,
    AuditEntry.at,
    AuditEntry.actor_kind,
    AuditEntry.actor_id,
    AuditEntry.actor,
    AuditEntry.action,
    AuditEntry.target_kind,
    AuditEntry.target_id,
    AuditEntry.detail,
    AuditEntry.reason,
)


class Entry(msgspec.Struct, frozen=True):
    """One thing that somebody did."""

    id: UUID
    at: datetime
    actor_kind: str
    actor_id: str
    actor: str
    action: str
    target_kind: str
    target_id: str
    detail: dict[str, Any]
    reason: str | None


async def add(session: AsyncSession, values: dict[str, Any]) -> None:
    await session.execute(insert(AuditEntry).values(**values))


async def entries(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    target: tuple[str, str] | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Entry]:
    """Newest first; `before` is the last entry of the page that came before."""
    wanted: list[ColumnElement[bool]] = [AuditEntry.tenant_id == tenant_id]
    if target is not None:
        wanted += [AuditEntry.target_kind == target[0], AuditEntry.target_id == target[1]]
    if before is not None:
        at, entry_id = before
        wanted.append(or_(AuditEntry.at < at, and_(AuditEntry.at == at, AuditEntry.id < entry_id)))
    rows = await session.execute(
        select(*_COLUMNS).where(*wanted).order_by(AuditEntry.at.desc(), AuditEntry.id.desc()).limit(limit)
    )
    return [Entry(*row) for row in rows]
