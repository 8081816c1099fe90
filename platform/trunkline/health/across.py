"""SQL of the console: what goes on across tenants. Runs in a console session, whose role sees no record."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import distinct, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.health.models import Issue
from trunkline.health.repository import came_back, of_issue
from trunkline.readers.schemas import FailingReader
from trunkline.runs.models import Run
from trunkline.runs.schemas import RunView
from trunkline.work.models import Work

MOST_WORK: Final = 1000
"""Rows of one tenant's backlog that are looked at."""


class CauseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, however many tenants have it: the open issues of a cause."""

    cause: str
    tenants: int
    connections: int
    issues: int
    times: int
    """How often it was met."""
    opened_at: datetime
    """Of the oldest."""
    last_seen_at: datetime


class AffectedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open issue with whose it is; of its detail what names no record and no person."""

    tenant_id: UUID
    id: UUID
    connection_id: UUID
    connection: str
    connector: str
    cause: str
    stream: str | None
    count: int
    opened_at: datetime
    last_seen_at: datetime
    correlation_id: str | None
    differs: list[str] | None = None
    """Of `webhook_drift`: how events of the type `event` deviate, in words."""
    event: str | None = None


class WorkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the backlog."""

    id: UUID
    kind: str
    key: str
    connection_id: UUID | None
    due_at: datetime
    attempt: int
    tries: int
    lease_until: datetime | None
    leased_by: str | None
    cause: str | None


class PendingWork(msgspec.Struct, frozen=True):
    """The first rows of a tenant's backlog, and how many it has: more than `MOST_WORK` are not counted."""

    rows: list[WorkRow]
    count: int


async def causes(session: AsyncSession) -> list[CauseRow]:
    """Most tenants first."""
    tenants, issues = func.count(distinct(Issue.tenant_id)), func.count()
    rows = await session.execute(
        select(
            Issue.cause,
            tenants.label("tenants"),
            func.count(distinct(Issue.connection_id)).label("connections"),
            issues.label("issues"),
            func.sum(Issue.count).label("times"),
            func.min(Issue.opened_at).label("opened_at"),
            func.max(Issue.last_seen_at).label("last_seen_at"),
        )
        .join(Connection, of_issue())
        .where(Issue.resolved_at.is_(None), came_back())
        .group_by(Issue.cause)
        .order_by(tenants.desc(), issues.desc(), Issue.cause)
    )
    return [CauseRow(**row) for row in rows.mappings()]


async def count_open(session: AsyncSession) -> int:
    """Open issues of every tenant."""
    query = (
        select(func.count())
        .select_from(Issue)
        .join(Connection, of_issue())
        .where(Issue.resolved_at.is_(None), came_back())
    )
    return (await session.execute(query)).scalar_one()


async def affected(
    session: AsyncSession,
    *,
    cause: str | None = None,
    tenant_id: UUID | None = None,
    limit: int,
    offset: int = 0,
) -> list[AffectedRow]:
    """Open issues of a cause, or of a tenant; the oldest first, as it has waited longest."""
    query = (
        select(
            Issue.tenant_id,
            Issue.id,
            Issue.connection_id,
            Connection.name.label("connection"),
            Connection.connector,
            Issue.cause,
            Issue.stream,
            Issue.count,
            Issue.opened_at,
            Issue.last_seen_at,
            Issue.detail["correlation_id"].astext.label("correlation_id"),
            Issue.detail["differs"].label("differs"),
            Issue.detail["event"].astext.label("event"),
        )
        .join(Connection, of_issue())
        .where(Issue.resolved_at.is_(None), came_back())
    )
    if cause is not None:
        query = query.where(Issue.cause == cause)
    if tenant_id is not None:
        query = query.where(Issue.tenant_id == tenant_id)
    rows = await session.execute(query.order_by(Issue.opened_at, Issue.id).limit(limit).offset(offset))
    return [AffectedRow(**row) for row in rows.mappings()]


_FAILING_READERS = text("""
    SELECT tenant_id, kind, name, failures, coalesce(cause, 'unclassified') AS cause,
           coalesce(cause_since, created_at) AS cause_since, retry_at
    FROM readers WHERE failures > 0 ORDER BY cause_since, tenant_id, kind, name LIMIT :limit
""")


async def failing_readers(session: AsyncSession, *, limit: int) -> list[FailingReader]:
    """Readers of the change log that could not go on with their last try; the oldest trouble first."""
    rows = await session.execute(_FAILING_READERS, {"limit": limit})
    return [FailingReader(**row) for row in rows.mappings()]


async def last_runs(session: AsyncSession, tenant_id: UUID, *, limit: int) -> list[RunView]:
    """Newest first."""
    rows = await session.execute(
        select(*(getattr(Run, name) for name in RunView.__struct_fields__))
        .where(Run.tenant_id == tenant_id)
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(limit)
    )
    return [RunView(**row) for row in rows.mappings()]


# Statistics from before a flood know of a few rows only: then all would be read, in order to sort them.
_IN_ORDER = text("""
    SELECT set_config('enable_bitmapscan', :others, true), set_config('enable_seqscan', :others, true),
           set_config('enable_sort', :others, true)
""")


async def pending_work(session: AsyncSession, tenant_id: UUID, *, limit: int) -> PendingWork:
    """What is due first comes first, of the oldest `MOST_WORK`: of a long backlog no more is read."""
    oldest = (
        select(*(getattr(Work, name) for name in WorkRow.__struct_fields__))
        .where(Work.tenant_id == tenant_id)
        .order_by(Work.id)
        .limit(MOST_WORK + 1)
        .subquery()
    )
    await session.execute(_IN_ORDER, {"others": "off"})
    rows = await session.execute(
        select(oldest, func.count().over().label("all")).order_by(oldest.c.due_at, oldest.c.id).limit(limit)
    )
    found = [dict(row) for row in rows.mappings()]
    await session.execute(_IN_ORDER, {"others": "on"})
    count = max((row.pop("all") for row in found), default=0)
    return PendingWork([WorkRow(**row) for row in found], count)
