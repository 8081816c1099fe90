"""Health of one connection for its owner, of every tenant for support."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health import repository
from trunkline.health.assessment import LEVELS, Health, Level, assess
from trunkline.health.repository import ConnectionRow, IssueRow
from trunkline.kernel.clock import now


class ConnectionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`health` is None where the state says it all (pending, setup, paused, disconnected)."""

    row: ConnectionRow
    health: Health | None


class TenantHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's worst, for the console. `level` None: nothing is connected."""

    tenant_id: UUID
    connections: int
    level: Level | None
    worst: Health | None
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

    async def of_tenant(self, session: AsyncSession, tenant_id: UUID) -> list[ConnectionHealth]:
        return [_judged(row) for row in await repository.connections(session, [tenant_id])]

    async def issues(
        self, session: AsyncSession, tenant_id: UUID, *, still_open: bool = True
    ) -> list[IssueRow]:
        return await repository.issues(session, [tenant_id], still_open=still_open)

    async def of_tenants(self, session: AsyncSession, tenant_ids: Sequence[UUID]) -> dict[UUID, TenantHealth]:
        """In a system session: one entry for each id asked for."""
        by_tenant: dict[UUID, list[ConnectionHealth]] = defaultdict(list)
        for row in await repository.connections(session, tenant_ids):
            by_tenant[row.tenant_id].append(_judged(row))
        counts: dict[UUID, int] = defaultdict(int)
        for issue in await repository.issues(session, tenant_ids, still_open=True, limit=10_000):
            counts[issue.tenant_id] += 1
        return {
            tenant_id: _tenant(tenant_id, by_tenant[tenant_id], counts[tenant_id]) for tenant_id in tenant_ids
        }


def _judged(row: ConnectionRow) -> ConnectionHealth:
    return ConnectionHealth(row=row, health=assess(row.facts, now()))


def _tenant(tenant_id: UUID, connections: Sequence[ConnectionHealth], open_issues: int) -> TenantHealth:
    judged = [connection.health for connection in connections if connection.health is not None]
    worst = min(judged, key=lambda health: LEVELS.index(health.level), default=None)
    lags = [health.lag_seconds for health in judged if health.lag_seconds is not None]
    return TenantHealth(
        tenant_id=tenant_id,
        connections=len(connections),
        level=worst.level if worst else None,
        worst=worst,
        lag_seconds=max(lags, default=None),
        records=sum(stream.records for connection in connections for stream in connection.row.facts.streams),
        open_issues=open_issues,
        since=worst.since if worst else None,
    )
