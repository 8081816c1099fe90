"""Which way a stream's changes arrive, how long they take, and how many webhooks were lost."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.sdk.manifest import Manifest

DAYS: Final = 7
"""Over how many days, today's included, losses are summed."""
LOOKED_AT: Final = 200
"""Of a connection's last events, for how long they take."""

Way = Literal["webhooks", "polling"]
Why = Literal["told", "not_yet", "not_offered"]


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stream. `why`: events have come; the provider has some but none came yet; it has none."""

    way: Way
    why: Why
    since: datetime | None = None
    """From when on events have come."""
    last_at: datetime | None = None
    """When the last of those looked at came."""
    typical_seconds: float | None = None
    """From the change at the provider to the record here, the median of those looked at."""
    lost: Mapping[date, int] = {}
    """By day (UTC), the newest first: changes that were only found by reading."""

    @property
    def lost_in_all(self) -> int:
        return sum(self.lost.values())


_SINCE = text("""
    SELECT connection_id, stream, told_since FROM streams
    WHERE tenant_id = :tenant AND connection_id = ANY(CAST(:ids AS uuid[]))
""")

_LOST = text("""
    SELECT connection_id, stream, day, count FROM untold_days
    WHERE tenant_id = :tenant AND connection_id = ANY(CAST(:ids AS uuid[]))
      AND day > CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - CAST(:days AS integer)
    ORDER BY day DESC
""")

# Of first attempts alone: what was tried or replayed later says nothing of how long an event takes.
_TOOK = text("""
    SELECT c.id AS connection_id, e.stream, max(e.received_at) AS last_at,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(0, EXTRACT(epoch FROM
               e.done_at - coalesce(e.occurred_at, e.received_at)))) AS seconds
    FROM unnest(CAST(:ids AS uuid[])) AS c(id), LATERAL (
        SELECT stream, received_at, occurred_at, done_at FROM inbound_events
        WHERE tenant_id = :tenant AND source_id = c.id ORDER BY id DESC LIMIT :most) AS e
    WHERE e.stream IS NOT NULL AND e.done_at < e.received_at + interval '1 hour'
    GROUP BY 1, 2
""")


async def arrivals(
    session: AsyncSession, tenant_id: UUID, manifests: Mapping[UUID, Manifest | None]
) -> dict[UUID, dict[str, Arrival]]:
    """By connection and stream. `manifests`: of the connections that are asked for."""
    ids = list(manifests)
    values = {"tenant": tenant_id, "ids": ids}
    since = (await session.execute(_SINCE, values)).all()
    told = {row.connection_id for row in since if row.told_since is not None}
    lost: dict[tuple[UUID, str], dict[date, int]] = defaultdict(dict)
    took: dict[tuple[UUID, str], tuple[datetime, float]] = {}
    if told:
        values["ids"] = list(told)
        for row in await session.execute(_LOST, values | {"days": DAYS}):
            lost[row.connection_id, row.stream][row.day] = row[3]
        for row in await session.execute(_TOOK, values | {"most": LOOKED_AT}):
            took[row.connection_id, row.stream] = row.last_at, float(row.seconds)
    found: dict[UUID, dict[str, Arrival]] = {one: {} for one in ids}
    for row in since:
        key = row.connection_id, row.stream
        last_at, seconds = took.get(key, (None, None))
        told_of = row.told_since is not None
        offered = offers(manifests[row.connection_id], row.stream)
        found[row.connection_id][row.stream] = Arrival(
            way="webhooks" if told_of else "polling",
            why="told" if told_of else "not_yet" if offered else "not_offered",
            since=row.told_since,
            last_at=last_at,
            typical_seconds=seconds,
            lost=lost[key],
        )
    return found


def offers(manifest: Manifest | None, stream: str) -> bool:
    """Whether the provider sends events of the stream."""
    hooks = manifest.webhooks if manifest is not None else None
    return hooks is not None and any(rule.stream == stream for rule in hooks.kinds)
