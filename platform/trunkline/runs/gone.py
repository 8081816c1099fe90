"""What a pass was given and what it found gone: the SQL. Rows belong to the pass, by its id.

A record is noted as gone by an explicit tombstone (`listed`), or because a complete list did not name it.
Nothing here deletes a record.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.writes import Place


class Vanished(msgspec.Struct, frozen=True):
    """`stands`: the record is still held live and nothing newer of it has come since it was noted."""

    external_id: str
    at: datetime | None
    stands: bool


class Tally(msgspec.Struct, frozen=True):
    count: int
    absent: int
    """Of them, those without a tombstone."""


_SEEN = text("""
    INSERT INTO seen_pages (tenant_id, connection_id, stream, pass_id, ids)
    VALUES (:tenant, :connection, :stream, :pass, CAST(:ids AS text[]))
""")

_GONE = text("""
    INSERT INTO vanished (tenant_id, connection_id, stream, pass_id, external_id, listed, at)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), CAST(:pass AS uuid),
           g.external_id, true, g.at
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS g(external_id, at)
    ON CONFLICT DO NOTHING
""")

# EXCEPT hashes or sorts, whatever the planner thinks of a table that was empty a minute ago
_ABSENT = text("""
    INSERT INTO vanished (tenant_id, connection_id, stream, pass_id, external_id, listed)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), CAST(:pass AS uuid),
           missing.external_id, false
    FROM (
        SELECT external_id FROM records
        WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
          AND deleted_at IS NULL
          AND (CAST(:began AS timestamptz) IS NULL OR received_at < CAST(:began AS timestamptz))
        EXCEPT
        SELECT unnest(ids) FROM seen_pages
        WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
    ) AS missing
    ON CONFLICT DO NOTHING
""")

_PATIENT = text("SET LOCAL statement_timeout = '10min'")

# of plans that wait or were turned down: whatever the pass was given is there, so it is no part of them
_SEEN_AGAIN = text("""
    DELETE FROM vanished v
    USING reviews r, (
        SELECT DISTINCT unnest(ids) AS external_id FROM seen_pages
        WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
    ) AS seen
    WHERE v.tenant_id = :tenant AND v.connection_id = :connection AND v.stream = :stream
      AND v.external_id = seen.external_id
      AND r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream
      AND r.id = v.pass_id AND r.state IN ('open', 'rejected')
      AND EXISTS (SELECT FROM reviews o
                  WHERE o.tenant_id = :tenant AND o.connection_id = :connection AND o.stream = :stream
                    AND o.state IN ('open', 'rejected'))
""")

# what somebody decided to keep, unless it came back and went away again
_SPARE = text("""
    DELETE FROM vanished v
    USING vanished kept, reviews r, records held
    WHERE v.tenant_id = :tenant AND v.connection_id = :connection AND v.stream = :stream
      AND v.pass_id = :pass
      AND kept.tenant_id = :tenant AND kept.connection_id = :connection AND kept.stream = :stream
      AND kept.external_id = v.external_id
      AND r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream
      AND r.id = kept.pass_id AND r.state = 'rejected'
      AND held.tenant_id = :tenant AND held.connection_id = :connection AND held.stream = :stream
      AND held.external_id = v.external_id AND held.received_at <= kept.noted_at
""")

_TALLY = text("""
    SELECT count(*) AS count, count(*) FILTER (WHERE NOT listed) AS absent FROM vanished
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
""")

_LIVE = text("""
    SELECT records FROM streams WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
""")

# what is told of within an hour is counted in one run
_TOLD = text("""
    SELECT coalesce(sum(deleted), 0) FROM runs
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND mode = 'webhook'
      AND created_at > now() - interval '1 hour'
""")

_SAMPLE = text("""
    SELECT external_id FROM vanished
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
    ORDER BY external_id LIMIT :limit
""")

_BATCH = text("""
    SELECT v.external_id, v.at,
           held.external_id IS NOT NULL AND held.deleted_at IS NULL AND held.received_at <= v.noted_at
               AS stands
    FROM vanished v
    LEFT JOIN records held ON held.tenant_id = v.tenant_id AND held.connection_id = v.connection_id
        AND held.stream = v.stream AND held.external_id = v.external_id
    WHERE v.tenant_id = :tenant AND v.connection_id = :connection AND v.stream = :stream
      AND v.pass_id = :pass
    ORDER BY v.external_id LIMIT :limit
""")

_SETTLE = text("""
    DELETE FROM vanished
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_FORGET = text("""
    DELETE FROM vanished
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
""")

_FORGET_SEEN = text("""
    DELETE FROM seen_pages
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND pass_id = :pass
""")

_UNDER_WAY = text("""
    SELECT checkpoint->>'id' AS id FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND checkpoint->>'id' IS NOT NULL
    UNION ALL
    SELECT checkpoint->>'id' FROM passes
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND checkpoint->>'id' IS NOT NULL
""")

_FORGET_OTHERS_SEEN = text("""
    DELETE FROM seen_pages
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND pass_id <> ALL(CAST(:kept AS uuid[]))
""")

_FORGET_OTHERS = text("""
    DELETE FROM vanished v
    WHERE v.tenant_id = :tenant AND v.connection_id = :connection AND v.stream = :stream
      AND v.pass_id <> ALL(CAST(:kept AS uuid[]))
      AND NOT EXISTS (SELECT FROM reviews r WHERE r.tenant_id = v.tenant_id AND r.id = v.pass_id)
""")


def _of(place: Place, pass_id: UUID, **more: Any) -> dict[str, Any]:
    return {**place.params(), "pass": pass_id, **more}


async def note_seen(session: AsyncSession, place: Place, pass_id: UUID, ids: Sequence[str]) -> None:
    await session.execute(_SEEN, _of(place, pass_id, ids=list(ids)))


async def note_gone(
    session: AsyncSession, place: Place, pass_id: UUID, gone: Sequence[tuple[str, datetime | None]]
) -> None:
    """By tombstones; one that was noted already stays as it was."""
    ids, times = [external_id for external_id, _ in gone], [at for _, at in gone]
    await session.execute(_GONE, _of(place, pass_id, ids=ids, times=times))


async def note_absent(session: AsyncSession, place: Place, pass_id: UUID, began: datetime | None) -> None:
    """What was held live before the pass began and was given by none of its pages.

    Hashes the ids of everything held, in the database: some seconds for a million records.
    """
    await session.execute(_PATIENT)
    await session.execute(_ABSENT, _of(place, pass_id, began=began))


async def seen_again(session: AsyncSession, place: Place, pass_id: UUID) -> None:
    """Takes what the pass was given out of the plans that wait or were rejected."""
    await session.execute(_SEEN_AGAIN, _of(place, pass_id))


async def spare(session: AsyncSession, place: Place, pass_id: UUID) -> None:
    """Takes what somebody decided to keep out of what the pass found."""
    await session.execute(_SPARE, _of(place, pass_id))


async def tally(session: AsyncSession, place: Place, pass_id: UUID) -> Tally:
    return Tally(*(await session.execute(_TALLY, _of(place, pass_id))).one())


async def live(session: AsyncSession, place: Place) -> int:
    """Live records held."""
    return (await session.execute(_LIVE, place.params())).scalar() or 0


async def told_lately(session: AsyncSession, place: Place) -> int:
    """Records deleted in the last hour because the provider told of it by itself."""
    return int((await session.execute(_TOLD, place.params())).scalar_one())


async def sample(session: AsyncSession, place: Place, pass_id: UUID, limit: int) -> list[str]:
    return list((await session.execute(_SAMPLE, _of(place, pass_id, limit=limit))).scalars())


async def batch(session: AsyncSession, place: Place, pass_id: UUID, limit: int) -> list[Vanished]:
    rows = await session.execute(_BATCH, _of(place, pass_id, limit=limit))
    return [Vanished(*row) for row in rows]


async def settle(session: AsyncSession, place: Place, pass_id: UUID, ids: Sequence[str]) -> None:
    """These are done with."""
    await session.execute(_SETTLE, _of(place, pass_id, ids=list(ids)))


async def forget(session: AsyncSession, place: Place, pass_id: UUID) -> None:
    """Nothing of what the pass found is to be deleted."""
    await session.execute(_FORGET, _of(place, pass_id))


async def forget_seen(session: AsyncSession, place: Place, pass_id: UUID) -> None:
    await session.execute(_FORGET_SEEN, _of(place, pass_id))


async def forget_ended(session: AsyncSession, place: Place) -> None:
    """What passes have left that never came to their end, but for the plans of reviews."""
    kept = [row.id for row in await session.execute(_UNDER_WAY, place.params())]
    await session.execute(_FORGET_OTHERS_SEEN, {**place.params(), "kept": kept})
    await session.execute(_FORGET_OTHERS, {**place.params(), "kept": kept})
