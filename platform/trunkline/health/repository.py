"""SQL of health views. Runs in a tenant's session for the portal and in a console session for staff.

A connection that is pending without an account is a trip to a provider that has not come back: nobody's yet,
so that no list and no count has it.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, literal, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.health.assessment import ConnectionFacts, StreamFacts
from trunkline.health.models import Issue
from trunkline.runs.models import Run, Stream


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as lists show it."""

    tenant_id: UUID
    id: UUID
    connector: str
    name: str
    account_id: str | None
    created_at: datetime
    facts: ConnectionFacts


class IssueRow(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: UUID
    id: UUID
    connection_id: UUID
    stream: str | None
    cause: str
    detail: dict[str, Any]
    count: int
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None


def among(column: Any, tenant_ids: Sequence[UUID]) -> ColumnElement[bool]:
    """One parameter however many tenants there are: the protocol takes 32,767 at most."""
    condition: ColumnElement[bool] = column == any_(literal(list(tenant_ids), ARRAY(Uuid)))
    return condition


def came_back() -> ColumnElement[bool]:
    return or_(Connection.state != "pending", Connection.account_id.is_not(None))


def of_issue() -> ColumnElement[bool]:
    """Joins an issue to its connection."""
    return (Connection.tenant_id == Issue.tenant_id) & (Connection.id == Issue.connection_id)


async def connections(
    session: AsyncSession,
    tenant_ids: Sequence[UUID],
    connection_id: UUID | None = None,
    *,
    disconnected: bool = False,
) -> list[ConnectionRow]:
    """Every connection of these tenants, oldest first, with what health is judged by.

    `disconnected`: those too; the one asked for by its id always.
    """
    if not tenant_ids:
        return []
    where = [among(Connection.tenant_id, tenant_ids), came_back()]
    if connection_id is not None:
        where.append(Connection.id == connection_id)
    elif not disconnected:
        where.append(Connection.state != "disconnected")
    rows = await session.execute(
        select(
            Connection.tenant_id,
            Connection.id,
            Connection.connector,
            Connection.name,
            Connection.state,
            Connection.state_since,
            Connection.cause,
            Connection.account_id,
            Connection.created_at,
        )
        .where(*where)
        .order_by(Connection.tenant_id, Connection.created_at)
    )
    streams = await _streams(session, tenant_ids, connection_id)
    return [
        ConnectionRow(
            tenant_id=row.tenant_id,
            id=row.id,
            connector=row.connector,
            name=row.name,
            account_id=row.account_id,
            created_at=row.created_at,
            facts=ConnectionFacts(
                id=row.id,
                state=row.state,
                state_since=row.state_since,
                cause=row.cause,
                streams=tuple(streams[(row.tenant_id, row.id)]),
            ),
        )
        for row in rows
    ]


async def _streams(
    session: AsyncSession, tenant_ids: Sequence[UUID], connection_id: UUID | None
) -> dict[tuple[UUID, UUID], list[StreamFacts]]:
    where = [among(Stream.tenant_id, tenant_ids)]
    if connection_id is not None:
        where.append(Stream.connection_id == connection_id)
    rows = await session.execute(
        select(
            Stream.tenant_id,
            Stream.connection_id,
            Stream.stream,
            Stream.schedule_seconds,
            Stream.freshness_seconds,
            Stream.created_at,
            Stream.last_success_at,
            Stream.next_due_at,
            Stream.waiting_until,
            Stream.failures,
            Stream.cause,
            Stream.cause_since,
            Stream.paused_at,
            Stream.records,
            (func.coalesce(Run.state, "") == "running").label("running"),
            Run.mode,
            select(Issue.opened_at)
            .where(
                Issue.tenant_id == Stream.tenant_id,
                Issue.connection_id == Stream.connection_id,
                Issue.stream == Stream.stream,
                Issue.resolved_at.is_(None),
                Issue.cause == literal_column("'mass_deletion'"),  # as the partial index has it
            )
            .limit(1)
            .scalar_subquery()
            .label("review_since"),
        )
        .outerjoin(Run, (Run.tenant_id == Stream.tenant_id) & (Run.id == Stream.run_id))
        .where(*where)
        .order_by(Stream.tenant_id, Stream.connection_id, Stream.stream)
    )
    found: dict[tuple[UUID, UUID], list[StreamFacts]] = defaultdict(list)
    for row in rows:
        facts = {name: getattr(row, name) for name in StreamFacts.__struct_fields__}
        found[(row.tenant_id, row.connection_id)].append(StreamFacts(**facts))
    return found


async def issues(
    session: AsyncSession, tenant_ids: Sequence[UUID], *, still_open: bool, limit: int = 100
) -> list[IssueRow]:
    """Newest first."""
    if not tenant_ids:
        return []
    where = [among(Issue.tenant_id, tenant_ids), came_back()]
    if still_open:
        where.append(Issue.resolved_at.is_(None))
    rows = await session.execute(
        select(*(getattr(Issue, name) for name in IssueRow.__struct_fields__))
        .join(Connection, of_issue())
        .where(*where)
        .order_by(Issue.opened_at.desc())
        .limit(limit)
    )
    return [IssueRow(**row) for row in rows.mappings()]


async def open_issues(session: AsyncSession, tenant_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many are open, of each tenant that has any."""
    rows = await session.execute(
        select(Issue.tenant_id, func.count())
        .join(Connection, of_issue())
        .where(among(Issue.tenant_id, tenant_ids), came_back(), Issue.resolved_at.is_(None))
        .group_by(Issue.tenant_id)
    )
    return {row[0]: row[1] for row in rows}
