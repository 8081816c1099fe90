"""All SQL of readers. A cursor moves only from where it was read: of two that read alike, one moves it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.readers.reader import FEED, Batch
from trunkline.readers.schemas import DayRow, ReaderView
from trunkline.runs import repository as runs
from trunkline.work import repository as work

PERMANENT: tuple[tuple[str, int], ...] = (("daily_changes", 2), ("webhooks", 1))
"""(kind, seconds that it lets changes gather) of the readers of every tenant, each named like its kind."""

_BEGIN = text("""
    INSERT INTO readers (tenant_id, kind, name, gather_seconds) VALUES (:tenant, :kind, :kind, :gather)
    ON CONFLICT (tenant_id, kind, name) DO NOTHING
""")

_POSITION = text("""
    SELECT r.position, coalesce(h.position, 0) AS head FROM readers r
    LEFT JOIN change_heads h ON h.tenant_id = r.tenant_id
    WHERE r.tenant_id = :tenant AND r.kind = :kind AND r.name = :name
""")

_ADVANCE = text("""
    UPDATE readers SET position = :up_to, advanced_at = clock_timestamp(), failures = 0, cause = NULL,
        cause_since = NULL, retry_at = NULL
    WHERE tenant_id = :tenant AND kind = :kind AND name = :name AND position = :after
""")

_FAILED = text("""
    UPDATE readers SET failures = failures + 1, cause = :cause,
        cause_since = CASE WHEN cause = :cause THEN cause_since ELSE clock_timestamp() END
    WHERE tenant_id = :tenant AND kind = :kind AND name = :name RETURNING failures
""")

_RETRY_AT = text("""
    UPDATE readers SET retry_at = :at WHERE tenant_id = :tenant AND kind = :kind AND name = :name
""")

_VIEWS = text("""
    SELECT r.kind, r.name, r.position, coalesce(h.position, 0) AS head, c.changed_at AS waiting_since,
           r.failures, r.cause, r.cause_since, r.retry_at, r.advanced_at, r.created_at
    FROM readers r
    LEFT JOIN change_heads h ON h.tenant_id = r.tenant_id
    LEFT JOIN changes c ON c.tenant_id = r.tenant_id AND c.position = r.position + 1
    WHERE r.tenant_id = :tenant AND (CAST(:kind AS text) IS NULL OR r.kind = :kind)
      AND (CAST(:name AS text) IS NULL OR r.name = :name)
    ORDER BY r.kind, r.name
""")

_COUNT = text("""
    INSERT INTO daily_changes AS d (tenant_id, day, model, created, updated, deleted, last_at)
    SELECT c.tenant_id, CAST(c.changed_at AT TIME ZONE 'UTC' AS date), c.model,
           count(*) FILTER (WHERE c.operation = 'created'), count(*) FILTER (WHERE c.operation = 'updated'),
           count(*) FILTER (WHERE c.operation = 'deleted'), max(c.changed_at)
    FROM changes c WHERE c.tenant_id = :tenant AND c.position > :after AND c.position <= :up_to
    GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, day, model) DO UPDATE SET
        created = d.created + excluded.created, updated = d.updated + excluded.updated,
        deleted = d.deleted + excluded.deleted, last_at = greatest(d.last_at, excluded.last_at)
""")

_DAYS = text("""
    SELECT day, model, created, updated, deleted, last_at FROM daily_changes
    WHERE tenant_id = :tenant AND day > CAST(now() AT TIME ZONE 'UTC' AS date) - CAST(:number AS integer)
    ORDER BY day DESC, model
""")

_MAKE_FEED = text("""
    INSERT INTO readers (tenant_id, kind, name, position) VALUES (:tenant, 'feed', :name, :position)
    ON CONFLICT (tenant_id, kind, name) DO NOTHING RETURNING name
""")

_ACKNOWLEDGE = text("""
    UPDATE readers SET position = :position, advanced_at = clock_timestamp()
    WHERE tenant_id = :tenant AND kind = 'feed' AND name = :name AND position < :position
""")

_DROP_FEED = text("""
    DELETE FROM readers WHERE tenant_id = :tenant AND kind = 'feed' AND name = :name RETURNING name
""")


def work_kind(kind: str) -> str:
    """Kind of the work of a reader; its key is the reader's name."""
    return f"read:{kind}"


# --- cursors that we move ---


async def begin_permanent(session: AsyncSession, tenant_id: UUID, missing: Sequence[tuple[str, int]]) -> None:
    """From the beginning of the log, due now."""
    for kind, gather in missing:
        await session.execute(_BEGIN, {"tenant": tenant_id, "kind": kind, "gather": gather})
        await work.enqueue(
            session,
            tenant_id=tenant_id,
            kind=work_kind(kind),
            key=kind,
            due_at=None,
            connection_id=None,
            args=None,
            priority=0,
        )


async def next_batch(
    session: AsyncSession, tenant_id: UUID, kind: str, name: str, *, size: int, loads: bool
) -> Batch | None:
    """What comes after the cursor; None: there is no such reader, or it has read everything.

    The head is read first: everything up to it is visible to the statements after. RuntimeError on a gap.
    """
    given = {"tenant": tenant_id, "kind": kind, "name": name}
    row = (await session.execute(_POSITION, given)).one_or_none()
    if row is None or row.position >= row.head:
        return None
    up_to = min(row.head, row.position + size)
    changes = (
        await runs.changes(session, tenant_id, after=row.position, up_to=up_to, limit=size) if loads else []
    )
    if loads and [change.position for change in changes] != list(range(row.position + 1, up_to + 1)):
        raise RuntimeError("the change log has a gap")
    return Batch(tenant_id=tenant_id, name=name, after=row.position, up_to=up_to, changes=changes)


async def advance(session: AsyncSession, tenant_id: UUID, kind: str, batch: Batch) -> bool:
    """False: the cursor is not where the batch began; whoever moved it has read the batch."""
    given = {"tenant": tenant_id, "kind": kind, "name": batch.name, "after": batch.after}
    result = await session.execute(_ADVANCE, {**given, "up_to": batch.up_to})
    return bool(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


async def note_failure(session: AsyncSession, tenant_id: UUID, kind: str, name: str, cause: str) -> int:
    """How many failed tries in a row that makes."""
    given = {"tenant": tenant_id, "kind": kind, "name": name, "cause": cause}
    return (await session.execute(_FAILED, given)).scalar() or 1


async def note_retry(session: AsyncSession, tenant_id: UUID, kind: str, name: str, at: datetime) -> None:
    given = {"tenant": tenant_id, "kind": kind, "name": name, "at": at}
    await session.execute(_RETRY_AT, given)


async def views(
    session: AsyncSession, tenant_id: UUID, *, kind: str | None = None, name: str | None = None
) -> list[ReaderView]:
    rows = await session.execute(_VIEWS, {"tenant": tenant_id, "kind": kind, "name": name})
    return [_view(row) for row in rows.mappings()]


def _view(row: RowMapping) -> ReaderView:
    return ReaderView(**row)


# --- what changed, by day ---


async def count_changes(session: AsyncSession, tenant_id: UUID, *, after: int, up_to: int) -> None:
    await session.execute(_COUNT, {"tenant": tenant_id, "after": after, "up_to": up_to})


async def days(session: AsyncSession, tenant_id: UUID, number: int) -> list[DayRow]:
    """The last `number` days (UTC), today included; newest first."""
    rows = await session.execute(_DAYS, {"tenant": tenant_id, "number": number})
    return [DayRow(**row) for row in rows.mappings()]


# --- cursors that the product moves ---


async def make_feed(session: AsyncSession, tenant_id: UUID, name: str, position: int) -> bool:
    """False: there is one of this name."""
    given = {"tenant": tenant_id, "name": name, "position": position}
    return (await session.execute(_MAKE_FEED, given)).scalar() is not None


async def feed(session: AsyncSession, tenant_id: UUID, name: str) -> ReaderView | None:
    return next(iter(await views(session, tenant_id, kind=FEED, name=name)), None)


async def acknowledge(session: AsyncSession, tenant_id: UUID, name: str, position: int) -> None:
    """Forward only."""
    await session.execute(_ACKNOWLEDGE, {"tenant": tenant_id, "name": name, "position": position})


async def drop_feed(session: AsyncSession, tenant_id: UUID, name: str) -> bool:
    given = {"tenant": tenant_id, "name": name}
    return (await session.execute(_DROP_FEED, given)).scalar() is not None
