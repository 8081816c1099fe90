"""Changes that a pass found and that a webhook should have told of: noted with their page, counted once it is
sure that no event came. Where nothing of a stream ever came by webhook, nothing is noted.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.writes import Place, RecordWrite

GRACE: Final = timedelta(minutes=10)
"""How late an event may come and still count as having come."""
RECENT: Final = timedelta(days=1)
"""Changes of longer ago are none of a webhook's: a pass for new fields meets them."""
SKEW: Final = timedelta(minutes=1)
"""By which a provider's clock may be ahead of ours."""

_NOTE = text("""
    INSERT INTO untold_changes (tenant_id, connection_id, stream, external_id, modified_at)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), c.id, c.at
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS c(id, at)
    ON CONFLICT DO NOTHING
""")

# While one waits it is not known of what: it is looked at again after the next pass.
_DUE = text("""
    DELETE FROM untold_changes
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND noted_at < clock_timestamp() - CAST(:grace AS interval)
      AND NOT EXISTS (SELECT FROM inbound_events e
                      WHERE e.tenant_id = :tenant AND e.connection_id = :connection AND e.state = 'queued')
    RETURNING external_id, modified_at, noted_at
""")

_COUNT = text("""
    WITH told AS MATERIALIZED (
        SELECT x.id, max(e.received_at) AS at FROM inbound_events e, unnest(e.external_ids) AS x(id)
        WHERE e.tenant_id = :tenant AND e.source_id = :connection AND e.id >= :floor AND e.stream = :stream
        GROUP BY x.id
    )
    INSERT INTO untold_days AS u (tenant_id, connection_id, stream, day, count)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text),
           CAST(c.noted AT TIME ZONE 'UTC' AS date), count(*)
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[]), CAST(:noted AS timestamptz[]))
        AS c(id, at, noted)
    WHERE NOT EXISTS (SELECT FROM told t WHERE t.id = c.id AND t.at >= c.at - CAST(:skew AS interval))
    GROUP BY 4
    ON CONFLICT (tenant_id, connection_id, stream, day) DO UPDATE SET count = u.count + excluded.count
""")


def suspected(
    records: Sequence[RecordWrite], told_since: datetime | None, asked: datetime
) -> list[tuple[str, datetime]]:
    """Of a page's new and changed records, those that a webhook should tell of, each with its time."""
    if told_since is None:
        return []
    since = max(told_since, asked - RECENT)
    return [
        (one.external_id, one.modified_at)
        for one in records
        if one.modified_at is not None and one.modified_at > since
    ]


async def note(session: AsyncSession, place: Place, changes: Sequence[tuple[str, datetime]]) -> None:
    """In the transaction of their page."""
    ids, times = [one for one, _ in changes], [at for _, at in changes]
    await session.execute(_NOTE, {**place.params(), "ids": ids, "times": times})


async def settle(session: AsyncSession, place: Place) -> None:
    """Counts what was noted long enough ago and has had no event since; forgets the rest of that age."""
    due = (await session.execute(_DUE, {**place.params(), "grace": GRACE})).all()
    if due:
        await session.execute(
            _COUNT,
            {
                **place.params(),
                "floor": _first_id(min(row.modified_at for row in due) - SKEW),
                "ids": [row.external_id for row in due],
                "times": [row.modified_at for row in due],
                "noted": [row.noted_at for row in due],
                "skew": SKEW,
            },
        )


def _first_id(moment: datetime) -> UUID:
    """No event that came later has a lower id: they begin with their milliseconds (`kernel.ids`)."""
    milliseconds = min(max(0, int(moment.timestamp() * 1000)), time.time_ns() // 1_000_000)
    return UUID(int=milliseconds << 80)
