"""Which connections are in trouble, across tenants: its cost grows with them, not with who is healthy.

Each branch is led by a partial index of exactly its rows. The levels are those of `assessment`, said in SQL.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health.assessment import FAILING_AFTER, LEVELS, Level
from trunkline.resilience.failures import failures

_TROUBLE = text("""
    SELECT DISTINCT ON (t.tenant_id, t.connection_id) t.tenant_id, t.connection_id, t.rank, t.since FROM (
        SELECT c.tenant_id, c.id AS connection_id, 0 AS rank, c.state_since AS since
        FROM connections c WHERE c.state = 'reconnect_required'
        UNION ALL
        SELECT s.tenant_id, s.connection_id,
               CASE WHEN s.failures >= :failing OR s.paused_at IS NOT NULL
                         OR s.cause = ANY(CAST(:lasting AS text[])) THEN 1 ELSE 2 END,
               coalesce(s.cause_since, now())
        FROM streams s JOIN connections c
            ON c.tenant_id = s.tenant_id AND c.id = s.connection_id AND c.state = 'active'
        WHERE (s.paused_at IS NULL AND s.failures > 0)
           OR (s.paused_at IS NOT NULL AND s.cause IS NOT NULL
               AND s.cause NOT IN ('paused_by_member', 'disconnected_by_member'))
        UNION ALL
        SELECT i.tenant_id, i.connection_id, 2, i.opened_at
        FROM issues i JOIN connections c
            ON c.tenant_id = i.tenant_id AND c.id = i.connection_id AND c.state = 'active'
        JOIN streams s ON s.tenant_id = i.tenant_id AND s.connection_id = i.connection_id
            AND s.stream = i.stream AND s.paused_at IS NULL
        WHERE i.resolved_at IS NULL AND i.cause = 'mass_deletion'
        UNION ALL
        SELECT s.tenant_id, s.connection_id, 3, s.late_at
        FROM streams s JOIN connections c
            ON c.tenant_id = s.tenant_id AND c.id = s.connection_id AND c.state = 'active'
        LEFT JOIN runs r ON r.tenant_id = s.tenant_id AND r.id = s.run_id
        WHERE s.late_at < now() AND s.failures = 0
          AND NOT (s.last_success_at IS NULL AND coalesce(r.state, '') = 'running')
    ) t
    ORDER BY t.tenant_id, t.connection_id, t.rank, t.since
""")


class Trouble(msgspec.Struct, frozen=True):
    """A connection that does not stand well, by its worst stream."""

    tenant_id: UUID
    connection_id: UUID
    level: Level
    since: datetime


async def troubled(session: AsyncSession) -> list[Trouble]:
    """In a console session: the worst first, and what has lasted longer before what is new."""
    lasting = [code for code, row in failures().items() if row.action in {"fail", "pause"}]
    rows = await session.execute(_TROUBLE, {"failing": FAILING_AFTER, "lasting": lasting})
    found = sorted(rows, key=lambda row: (row.rank, row.since, row.connection_id))
    return [Trouble(row.tenant_id, row.connection_id, LEVELS[row.rank], row.since) for row in found]
