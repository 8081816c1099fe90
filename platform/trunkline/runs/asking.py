"""A stream's row, and asking for its next run. Within the caller's transaction."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel.clock import now
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.runs import passes
from trunkline.runs.models import Run, Stream
from trunkline.runs.schemas import Mode, Trigger
from trunkline.runs.writes import Place
from trunkline.work.queue import WorkQueue

SYNC = "sync"
"""Kind of work: one run over one stream; key `{connection_id}:{stream}`."""
CHECK = "check"
"""Kind of work: proves that a connection's grant still holds; key is the connection's id."""

HOOKS = "hooks"
"""Kind of work: what a connection was sent; key is the connection's id."""

PUSHED = 0
"""Schedule of a stream that is never read: a customer's own system sends all there is."""

_ACTIVE = ("queued", "running", "waiting")


def sync_key(connection_id: UUID, stream: str) -> str:
    return f"{connection_id}:{stream}"


async def ask(
    session: AsyncSession,
    work: WorkQueue,
    tenant_id: UUID,
    connection_id: UUID,
    stream: str,
    trigger: Trigger,
    mode: Mode | None = None,
) -> UUID | None:
    """A queued run, due now; or the one under way, brought forward. None: there is no such stream, or nothing
    can be read of it, since all there is comes by itself.
    """
    held = await held_run(session, tenant_id, connection_id, stream)
    if not held or held[1] == PUSHED:
        return None
    run_id: UUID | None = held[0]
    if run_id is None:
        run_id = new_id()
        await session.execute(
            insert(Run).values(
                tenant_id=tenant_id,
                id=run_id,
                connection_id=connection_id,
                stream=stream,
                mode=mode or "incremental",
                trigger=trigger,
                state="queued",
            )
        )
        await change(session, tenant_id, connection_id, stream, run_id=run_id)
    await work.enqueue(
        session,
        tenant_id=tenant_id,
        kind=SYNC,
        key=sync_key(connection_id, stream),
        connection_id=connection_id,
    )
    return run_id


async def stop(
    session: AsyncSession,
    work: WorkQueue,
    tenant_id: UUID,
    connection_id: UUID,
    stream: str,
    cause: str | None,
) -> None:
    await cancel_active(session, tenant_id, connection_id, stream)
    moment = now()
    done = await change(
        session,
        tenant_id,
        connection_id,
        stream,
        paused_at=moment,
        cause=cause,
        cause_since=moment if cause else None,
        cause_detail=None,
        next_due_at=None,
        waiting_until=None,
    )
    if not done:
        raise NotFoundError
    await work.cancel(session, tenant_id, SYNC, sync_key(connection_id, stream))
    await passes.rest_backfill(session, work, Place(tenant_id, connection_id, stream))


async def cancel_active(session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str) -> None:
    held = await held_run(session, tenant_id, connection_id, stream)
    if not held or held[0] is None:
        return
    await session.execute(
        update(Run)
        .where(Run.tenant_id == tenant_id, Run.id == held[0], Run.state.in_(_ACTIVE))
        .values(state="cancelled", finished_at=now(), waiting_until=None)
    )
    await change(session, tenant_id, connection_id, stream, run_id=None, waiting_until=None)


async def held_run(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
) -> tuple[UUID | None, int] | None:
    """Its run under way and its schedule, with the row locked; None: there is no such stream."""
    row = (
        await session.execute(
            select(Stream.run_id, Stream.schedule_seconds)
            .where(
                Stream.tenant_id == tenant_id,
                Stream.connection_id == connection_id,
                Stream.stream == stream,
            )
            .with_for_update()
        )
    ).one_or_none()
    return None if row is None else (row.run_id, row.schedule_seconds)


async def change(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, **values: Any
) -> bool:
    done = await session.execute(
        update(Stream)
        .where(Stream.tenant_id == tenant_id, Stream.connection_id == connection_id, Stream.stream == stream)
        .values(**values)
        .returning(Stream.stream)
    )
    return done.scalar() is not None


async def state_of(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> str | None:
    query = select(Connection.state).where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
    return (await session.execute(query)).scalar()
