"""The SQL of passes beside a stream's own runs: asked for, taken up, moved on, paused, ended.

Locks are taken in the order stream, pass, run, work, as everywhere in this slice. Such a pass comes after
what is due otherwise (`PRIORITY`), and hands back after a short turn, so that it never holds up a stream's
own runs.
"""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.ids import new_id
from trunkline.runs.schemas import Trigger
from trunkline.runs.writes import Place
from trunkline.work.queue import WorkQueue

BACKFILL: Final = "backfill"
"""Kind of work: everything is read anew; key `{connection_id}:{stream}`."""
REMAP: Final = "remap"
"""Kind of work: what is held is mapped anew, without asking the provider; key as above."""
RETRY: Final = "retry"
"""Kind of work: of what is held, what was set aside and is to be tried again; key as above."""
PRIORITY: Final = 10
"""Of the backlog: a stream's own runs have 0, and lower goes first."""

Kind = Literal["backfill", "remap", "retry"]
_MODES: dict[Kind, str] = {BACKFILL: "full", REMAP: "remap", RETRY: "retry"}

_LOCK_STREAM = text("""
    SELECT records FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream FOR UPDATE
""")

_FIND = text("""
    SELECT p.run_id, p.checkpoint, p.failures, p.handed_back, p.paused_at, r.trigger
    FROM passes p JOIN runs r ON r.tenant_id = p.tenant_id AND r.id = p.run_id
    WHERE p.tenant_id = :tenant AND p.connection_id = :connection AND p.stream = :stream AND p.kind = :kind
    FOR UPDATE OF p
""")

_ADD_RUN = text("""
    INSERT INTO runs (tenant_id, id, connection_id, stream, mode, trigger, state, expected)
    VALUES (:tenant, :run, :connection, :stream, :mode, :trigger, 'queued', :expected)
""")

_ADD = text("""
    INSERT INTO passes (tenant_id, connection_id, stream, kind, run_id)
    VALUES (:tenant, :connection, :stream, :kind, :run)
""")

_TAKE_UP = text("""
    UPDATE runs SET state = 'running', started_at = coalesce(started_at, now()), waiting_until = NULL,
        cause = NULL, attempt = attempt + CASE WHEN :counts THEN 1 ELSE 0 END
    WHERE tenant_id = :tenant AND id = :run AND state IN ('queued', 'running', 'waiting', 'paused')
    RETURNING id
""")

_TAKEN = text("""
    UPDATE passes SET handed_back = false, checkpoint = CAST(:checkpoint AS jsonb)
    WHERE tenant_id = :tenant AND run_id = :run
""")

_RECORDS = text("""
    UPDATE streams SET records = records + :records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream RETURNING stream
""")

_MOVE = text("""
    UPDATE passes p SET checkpoint = CAST(:checkpoint AS jsonb), failures = 0
    WHERE p.tenant_id = :tenant AND p.run_id = :run AND p.paused_at IS NULL
    RETURNING p.kind
""")

_MAY_READ = text("""
    SELECT 1 FROM streams s JOIN connections c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
    WHERE s.tenant_id = :tenant AND s.connection_id = :connection AND s.stream = :stream
      AND s.paused_at IS NULL AND c.state = 'active'
""")

_HANDED_BACK = text("UPDATE passes SET handed_back = true WHERE tenant_id = :tenant AND run_id = :run")

_ANEW = text("""
    UPDATE passes SET checkpoint = CAST(:checkpoint AS jsonb) WHERE tenant_id = :tenant AND run_id = :run
""")

_FAILED = text("""
    UPDATE passes SET failures = failures + 1 WHERE tenant_id = :tenant AND run_id = :run RETURNING failures
""")

_END = text("DELETE FROM passes WHERE tenant_id = :tenant AND run_id = :run RETURNING kind")

_REST = text("""
    UPDATE runs SET state = 'paused', cause = coalesce(:cause, cause), waiting_until = NULL
    WHERE tenant_id = :tenant AND id = :run AND state IN ('queued', 'running', 'waiting', 'paused')
""")

_QUEUE = text("""
    UPDATE runs SET state = 'queued', cause = NULL, waiting_until = NULL
    WHERE tenant_id = :tenant AND id = :run AND state IN ('running', 'waiting', 'paused')
""")

_CLOCK = text("SELECT clock_timestamp()")

_PAUSE = text("UPDATE passes SET paused_at = :at WHERE tenant_id = :tenant AND run_id = :run RETURNING kind")


def work_key(place: Place) -> str:
    return f"{place.connection_id}:{place.stream}"


async def lock_stream(session: AsyncSession, place: Place) -> int | None:
    """How many records it holds, with its row locked; None: there is no such stream."""
    return (await session.execute(_LOCK_STREAM, place.params())).scalar()


async def hold_still(session: AsyncSession, place: Place) -> datetime:
    """Nobody writes to the stream until the transaction ends; the database's time at which that began.

    Not the transaction's own time: a writer that began before may still have been under way then.
    """
    await lock_stream(session, place)
    moment: datetime = (await session.execute(_CLOCK)).scalar_one()
    return moment


async def find(session: AsyncSession, place: Place, kind: Kind) -> Any:
    """The pass under way: run_id, checkpoint, failures, handed_back, paused_at, trigger; None without one."""
    return (await session.execute(_FIND, {**place.params(), "kind": kind})).one_or_none()


async def ask(
    session: AsyncSession,
    work: WorkQueue,
    place: Place,
    kind: Kind,
    trigger: Trigger,
    *,
    expected: int | None = None,
) -> UUID | None:
    """The run of a new pass, or of the one under way. None: there is no such stream.

    `expected`: records; as many as are held by default.
    """
    records = await lock_stream(session, place)
    if records is None:
        return None
    held = await find(session, place, kind)
    if held is not None:
        if held.paused_at is None:
            await queue(session, work, place, kind)
        run_id: UUID = held.run_id
        return run_id
    run_id = new_id()
    values = {**place.params(), "run": run_id, "kind": kind}
    given = {"mode": _MODES[kind], "trigger": trigger, "expected": records if expected is None else expected}
    await session.execute(_ADD_RUN, {**values, **given})
    await session.execute(_ADD, values)
    await queue(session, work, place, kind)
    return run_id


async def queue(session: AsyncSession, work: WorkQueue, place: Place, kind: Kind) -> None:
    await work.enqueue(
        session,
        tenant_id=place.tenant_id,
        kind=kind,
        key=work_key(place),
        connection_id=place.connection_id,
        priority=PRIORITY,
    )


async def take_up(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: bytes, *, counts: bool
) -> bool:
    """False: the run has ended. `counts`: as a further attempt."""
    values = {"tenant": place.tenant_id, "run": run_id}
    if (await session.execute(_TAKE_UP, {**values, "counts": counts})).scalar() is None:
        return False
    await session.execute(_TAKEN, {**values, "checkpoint": checkpoint.decode()})
    return True


async def may_read(session: AsyncSession, place: Place) -> bool:
    """Whether the connection and the stream are such that its provider may be asked."""
    return (await session.execute(_MAY_READ, place.params())).scalar() is not None


async def move_backfill(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: bytes, records: int, *, waiting: bool
) -> bool:
    """As `writes.move`, of a pass beside the stream's own: the stream's checkpoint stays what it is."""
    moved = await move_remap(session, place, run_id, checkpoint, records, waiting=waiting)
    return moved and await may_read(session, place)


async def move_remap(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: bytes, records: int, *, waiting: bool
) -> bool:
    del waiting
    if (await session.execute(_RECORDS, {**place.params(), "records": records})).scalar() is None:
        return False
    values = {"tenant": place.tenant_id, "run": run_id, "checkpoint": checkpoint.decode()}
    return (await session.execute(_MOVE, values)).scalar() is not None


async def hand_back(session: AsyncSession, place: Place, run_id: UUID) -> None:
    await session.execute(_HANDED_BACK, {"tenant": place.tenant_id, "run": run_id})


async def begin_anew(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: dict[str, Any] | None
) -> None:
    """From this checkpoint; None: from where it stands."""
    if checkpoint is not None:
        values = {"tenant": place.tenant_id, "run": run_id}
        await session.execute(_ANEW, {**values, "checkpoint": msgspec.json.encode(checkpoint).decode()})


async def note_failure(session: AsyncSession, place: Place, run_id: UUID) -> int:
    """How many failed tries in a row that makes."""
    values = {"tenant": place.tenant_id, "run": run_id}
    return (await session.execute(_FAILED, values)).scalar() or 0


async def rest(session: AsyncSession, place: Place, run_id: UUID, cause: str | None) -> None:
    """It goes on from its checkpoint when what stops it is over."""
    await session.execute(_REST, {"tenant": place.tenant_id, "run": run_id, "cause": cause})


async def pause(session: AsyncSession, place: Place, run_id: UUID, at: datetime | None) -> Kind | None:
    """By a member, or with `at` None no longer. None: the pass has ended."""
    kind: Kind | None = (
        await session.execute(_PAUSE, {"tenant": place.tenant_id, "run": run_id, "at": at})
    ).scalar()
    if kind is not None and at is None:
        await session.execute(_QUEUE, {"tenant": place.tenant_id, "run": run_id})
    return kind


async def end(session: AsyncSession, place: Place, run_id: UUID) -> Kind | None:
    """Its run is ended by `standing.end_run`. None: it was no such pass, or had ended."""
    kind: Kind | None = (await session.execute(_END, {"tenant": place.tenant_id, "run": run_id})).scalar()
    return kind


async def rest_backfill(session: AsyncSession, work: WorkQueue, place: Place) -> None:
    """A full re-read rests with its stream or connection; mapping what is held goes on."""
    held = await find(session, place, BACKFILL)
    if held is not None:
        if held.paused_at is None:
            await rest(session, place, held.run_id, None)
        await work.cancel(session, place.tenant_id, BACKFILL, work_key(place))


async def go_on(session: AsyncSession, work: WorkQueue, place: Place) -> None:
    """What rested with its stream or connection, but not what a member paused."""
    kinds: tuple[Kind, ...] = (BACKFILL, REMAP, RETRY)
    for kind in kinds:
        held = await find(session, place, kind)
        if held is not None and held.paused_at is None:
            await pause(session, place, held.run_id, None)
            await queue(session, work, place, kind)
