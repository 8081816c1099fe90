"""Streams that are read for each record of another: whom to ask, and what their answers mean. The SQL.

Whoever writes a parent notes it for the streams that are read for it, in the same transaction; whoever has
read its children takes the note away, unless the parent was noted again since. So an incremental pass asks
for what changed and nothing else, by no clock but the database's.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.runs import passes
from trunkline.runs.asking import SYNC
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.writes import Place
from trunkline.work.queue import WorkQueue

STEADY: Final = timedelta(seconds=5)
"""A parent that changed so shortly before it was asked, by the provider's clock, is asked once more: its next
change may carry the same second, and lists lag behind."""
READ_AHEAD: Final = 200


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a page said of a parent."""

    parent_id: str
    ids: tuple[str, ...]
    asked: datetime
    """When its children were first asked for, by the database's clock."""
    at: datetime
    """By the provider's, where it tells."""
    begun: bool = False
    """Pages of it came in an earlier batch."""
    ended: bool = False
    whole: bool = False
    """All its children were named: what was not is gone."""


_NOTE = text("""
    INSERT INTO changed_parents (tenant_id, connection_id, stream, parent_id, noted_at)
    SELECT s.tenant_id, s.connection_id, s.stream, p.parent_id, clock_timestamp()
    FROM streams s, unnest(CAST(:ids AS text[])) AS p(parent_id)
    WHERE s.tenant_id = :tenant AND s.connection_id = :connection
      AND s.stream = ANY(CAST(:children AS text[]))
    ON CONFLICT (tenant_id, connection_id, stream, parent_id) DO UPDATE SET noted_at = excluded.noted_at
""")

_HELD = text("""
    SELECT external_id FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :parent
      AND deleted_at IS NULL AND external_id > :after
    ORDER BY external_id LIMIT :limit
""")

_CHANGED = text("""
    SELECT n.parent_id FROM changed_parents n
    JOIN records p ON p.tenant_id = n.tenant_id AND p.connection_id = n.connection_id
        AND p.stream = :parent AND p.external_id = n.parent_id
    WHERE n.tenant_id = :tenant AND n.connection_id = :connection AND n.stream = :stream
      AND n.parent_id > :after AND p.deleted_at IS NULL
    ORDER BY n.parent_id LIMIT :limit
""")

# whoever holds a note is noting that parent again; waiting for each other's would be a deadlock
_DONE = text("""
    DELETE FROM changed_parents WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND parent_id IN (
        SELECT n.parent_id FROM changed_parents n
        JOIN unnest(CAST(:ids AS text[]), CAST(:asked AS timestamptz[]), CAST(:steady AS timestamptz[]))
            AS read(parent_id, asked, steady) ON read.parent_id = n.parent_id
        JOIN records p ON p.tenant_id = n.tenant_id AND p.connection_id = n.connection_id
            AND p.stream = :parent AND p.external_id = n.parent_id
        WHERE n.tenant_id = :tenant AND n.connection_id = :connection AND n.stream = :stream
          AND n.noted_at <= read.asked
          AND (p.modified_at IS NULL OR p.modified_at < read.steady
               OR n.noted_at < read.asked - CAST(:long AS interval))
        FOR UPDATE OF n SKIP LOCKED)
""")

_BELONG = text("""
    INSERT INTO record_parents AS held (tenant_id, connection_id, stream, external_id, parent_id)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), c.external_id, c.parent_id
    FROM unnest(CAST(:ids AS text[]), CAST(:parents AS text[])) AS c(external_id, parent_id)
    ON CONFLICT (tenant_id, connection_id, stream, external_id) DO UPDATE SET parent_id = excluded.parent_id
    WHERE held.parent_id <> excluded.parent_id
""")

# what somebody else wrote since the parent's first page was asked for may well be too new for it
_ABSENT = text("""
    INSERT INTO vanished (tenant_id, connection_id, stream, pass_id, external_id, listed)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), CAST(:pass AS uuid),
           r.external_id, false
    FROM unnest(CAST(:parents AS text[]), CAST(:asked AS timestamptz[]), CAST(:begun AS boolean[]))
        AS read(parent_id, asked, begun)
    JOIN record_parents c ON c.tenant_id = :tenant AND c.connection_id = :connection AND c.stream = :stream
        AND c.parent_id = read.parent_id
    JOIN records r ON r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream
        AND r.external_id = c.external_id
    WHERE r.deleted_at IS NULL AND r.received_at < read.asked
      AND r.external_id <> ALL(CAST(:ids AS text[]))
      AND NOT (read.begun AND EXISTS (
        SELECT FROM seen_pages s
        WHERE s.tenant_id = :tenant AND s.connection_id = :connection AND s.stream = :stream
          AND s.pass_id = :pass AND r.external_id = ANY(s.ids)))
    ON CONFLICT DO NOTHING
""")

_ORPHANS = text("""
    SELECT r.external_id
    FROM changed_parents n
    JOIN records p ON p.tenant_id = n.tenant_id AND p.connection_id = n.connection_id
        AND p.stream = :parent AND p.external_id = n.parent_id
    JOIN record_parents c ON c.tenant_id = n.tenant_id AND c.connection_id = n.connection_id
        AND c.stream = n.stream AND c.parent_id = n.parent_id
    JOIN records r ON r.tenant_id = c.tenant_id AND r.connection_id = c.connection_id
        AND r.stream = c.stream AND r.external_id = c.external_id
    WHERE n.tenant_id = :tenant AND n.connection_id = :connection AND n.stream = :stream
      AND p.deleted_at IS NOT NULL AND r.deleted_at IS NULL
    ORDER BY r.external_id LIMIT :limit
""")

_BURIED = text("""
    DELETE FROM changed_parents WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND parent_id IN (
        SELECT n.parent_id FROM changed_parents n
        JOIN records p ON p.tenant_id = n.tenant_id AND p.connection_id = n.connection_id
            AND p.stream = :parent AND p.external_id = n.parent_id
        WHERE n.tenant_id = :tenant AND n.connection_id = :connection AND n.stream = :stream
          AND n.noted_at <= :asked AND p.deleted_at IS NOT NULL
        FOR UPDATE OF n SKIP LOCKED)
""")


_WAITING = text("""
    SELECT s.stream FROM streams s
    JOIN streams p ON p.tenant_id = s.tenant_id AND p.connection_id = s.connection_id AND p.stream = :stream
    WHERE s.tenant_id = :tenant AND s.connection_id = :connection
      AND s.stream = ANY(CAST(:children AS text[])) AND s.paused_at IS NULL
      AND s.schedule_seconds <= p.schedule_seconds
      AND EXISTS (SELECT FROM changed_parents n WHERE n.tenant_id = s.tenant_id
                  AND n.connection_id = s.connection_id AND n.stream = s.stream)
    ORDER BY s.stream
""")


async def note(session: AsyncSession, place: Place, children: Sequence[str], ids: Sequence[str]) -> None:
    """These records of `place` changed or went: whatever is read for them is to be read again."""
    if children and ids:
        await session.execute(
            _NOTE, {**place.params(), "children": list(children), "ids": list(dict.fromkeys(ids))}
        )


async def conclude(
    session: AsyncSession, place: Place, parent: str, pass_id: Any, pages: Sequence[Asked]
) -> None:
    """Whose children they are; which of a parent's are gone, noted for the pass; who need not be asked again.

    After the pages' ids were noted as seen.
    """
    belong = {child: one.parent_id for one in pages for child in one.ids}
    if belong:
        given = {"ids": list(belong), "parents": list(belong.values())}
        await session.execute(_BELONG, {**place.params(), **given})
    whole = [one for one in pages if one.ended and one.whole]
    if whole:
        named: dict[str, Any] = {
            "parents": [one.parent_id for one in whole],
            "asked": [one.asked for one in whole],
            "begun": [one.begun for one in whole],
            "ids": list(belong),
        }
        await session.execute(_ABSENT, {**place.params(), "pass": pass_id, **named})
    ended = [one for one in pages if one.ended]
    if ended:
        done: dict[str, Any] = {
            "ids": [one.parent_id for one in ended],
            "asked": [one.asked for one in ended],
            "steady": [one.at - STEADY for one in ended],
            "long": STEADY,
        }
        await session.execute(_DONE, {**place.params(), "parent": parent, **done})


async def orphans(session: AsyncSession, place: Place, parent: str, limit: int) -> list[str]:
    """Live records whose parent was deleted since it was last asked for them."""
    values = {**place.params(), "parent": parent, "limit": limit}
    return list((await session.execute(_ORPHANS, values)).scalars())


async def forget_buried(session: AsyncSession, place: Place, parent: str, asked: datetime) -> None:
    """Of parents that were deleted before, no child is left."""
    await session.execute(_BURIED, {**place.params(), "parent": parent, "asked": asked})


async def wake(session: AsyncSession, work: WorkQueue, place: Place, children: Sequence[str]) -> None:
    """Streams that are to be read again for some record of `place` are due now.

    A slower pace that somebody chose stays.
    """
    if not children:
        return
    waiting = await session.execute(_WAITING, {**place.params(), "children": list(children)})
    for child in waiting.scalars():
        key = passes.work_key(msgspec.structs.replace(place, stream=child))
        await work.enqueue(
            session, tenant_id=place.tenant_id, kind=SYNC, key=key, connection_id=place.connection_id
        )


class Parents:
    """Those whose children a pass asks for, in the order of their ids."""

    def __init__(self, db: Database, place: Place, parent: str) -> None:
        self._db = db
        self._place = place
        self._parent = parent
        self._ready: deque[str] = deque()
        self._reached: str | None = None
        """The parent that those which are ready come after."""
        self._more = True

    async def coming(self, checkpoint: Checkpoint, most: int) -> list[str]:
        """The next ones, up to `most`, at most READ_AHEAD; nothing: there is none left."""
        passed = None if checkpoint.walk is None else checkpoint.walk.passed
        if self._ready and self._ready[0] == passed:
            self._reached = self._ready.popleft()
        short = not self._ready or (self._more and len(self._ready) < most)
        if passed != self._reached or short:
            self._ready = deque(await self._read(passed, everything=checkpoint.phase == "list"))
            self._reached, self._more = passed, len(self._ready) == READ_AHEAD
        return list(islice(self._ready, most))

    async def _read(self, passed: str | None, *, everything: bool) -> list[str]:
        of = {"parent": self._parent, "after": passed or "", "limit": READ_AHEAD}
        query = _HELD if everything else _CHANGED
        async with self._db.tenant(self._place.tenant_id) as session:
            if everything and passed is None:
                # who writes a parent from now on finds this stream's row, and notes what it writes
                await passes.lock_stream(session, msgspec.structs.replace(self._place, stream=self._parent))
            return list((await session.execute(query, {**self._place.params(), **of})).scalars())
