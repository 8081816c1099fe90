"""Health of one connection for its owner, of every tenant for support."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health import repository
from trunkline.health.assessment import LEVELS, Health, Level, assess, lag
from trunkline.health.repository import ConnectionRow, IssueRow
from trunkline.kernel.clock import now


class ConnectionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`health` is None where the state says it all (pending, setup, paused, disconnected)."""

    row: ConnectionRow
    health: Health | None
    lag_seconds: int | None
    """Of the stream that is furthest behind."""


class TenantHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's worst, for the console. `level` None: nothing is connected."""

    tenant_id: UUID
    connections: int
    level: Level | None
    worst: Health | None
    worst_connection: ConnectionRow | None
    levels: Mapping[Level, int]
    """How many connections stand at each."""
    lag_seconds: int | None
    """Of the stream that is furthest behind."""
    records: int
    open_issues: int
    since: datetime | None


class HealthService:
    async def of_connection(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID
    ) -> ConnectionHealth | None:
        rows = await repository.connections(session, [tenant_id], connection_id)
        return _judged(rows[0]) if rows else None

    async def of_tenant(
        self, session: AsyncSession, tenant_id: UUID, *, disconnected: bool = False
    ) -> list[ConnectionHealth]:
        """Oldest first; `disconnected`: those too."""
        rows = await repository.connections(session, [tenant_id], disconnected=disconnected)
        return [_judged(row) for row in rows]

    async def issues(
        self, session: AsyncSession, tenant_id: UUID, *, still_open: bool = True
    ) -> list[IssueRow]:
        return await repository.issues(session, [tenant_id], still_open=still_open)

    async def count_open(self, session: AsyncSession, tenant_id: UUID) -> int:
        return (await repository.open_issues(session, [tenant_id])).get(tenant_id, 0)

    async def of_tenants(self, session: AsyncSession, tenant_ids: Sequence[UUID]) -> dict[UUID, TenantHealth]:
        """In a console session: one entry for each id asked for."""
        by_tenant: dict[UUID, list[ConnectionHealth]] = defaultdict(list)
        for row in await repository.connections(session, tenant_ids):
            by_tenant[row.tenant_id].append(_judged(row))
        counts = await repository.open_issues(session, tenant_ids)
        return {
            tenant_id: _tenant(tenant_id, by_tenant[tenant_id], counts.get(tenant_id, 0))
            for tenant_id in tenant_ids
        }


def _judged(row: ConnectionRow) -> ConnectionHealth:
    moment = now()
    return ConnectionHealth(row=row, health=assess(row.facts, moment), lag_seconds=lag(row.facts, moment))


def severity(health: Health) -> tuple[int, datetime]:
    """Sorts the worst first, and what has lasted longer before what is new."""
    return LEVELS.index(health.level), health.since


def _tenant(tenant_id: UUID, connections: Sequence[ConnectionHealth], open_issues: int) -> TenantHealth:
    judged = [(one.health, one.row) for one in connections if one.health is not None]
    worst, connection = min(judged, key=lambda pair: severity(pair[0]), default=(None, None))
    return TenantHealth(
        tenant_id=tenant_id,
        connections=len(connections),
        level=worst.level if worst else None,
        worst=worst,
        worst_connection=connection,
        levels=Counter(health.level for health, _ in judged),
        lag_seconds=max(
            (one.lag_seconds for one in connections if one.lag_seconds is not None), default=None
        ),
        records=sum(stream.records for one in connections for stream in one.row.facts.streams),
        open_issues=open_issues,
        since=worst.since if worst else None,
    )
