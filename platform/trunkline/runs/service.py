"""The rules of streams and runs. What a run does is in `sync`."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.recipes.models import Recipe
from trunkline.runs import repository
from trunkline.runs.models import Run, Stream
from trunkline.runs.schemas import (
    Counts,
    Mode,
    RecordDetail,
    RunView,
    StreamView,
    Trigger,
)
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

SYNC = "sync"
"""Kind of work: one run over one stream; key `{connection_id}:{stream}`."""
CHECK = "check"
"""Kind of work: proves that a connection's grant still holds; key is the connection's id."""

BY_MEMBER = "paused_by_member"
_ACTIVE = ("queued", "running", "waiting")

_WORDS = {
    "pending": "The connection is not confirmed yet.",
    "setup": "The connection still needs a choice before it can sync.",
    "paused": "The connection is paused; resume it first.",
    "reconnect_required": "The account must be connected again first.",
    "disconnected": "The connection was disconnected.",
}

_ENSURE = text("""
    INSERT INTO streams AS s
        (tenant_id, connection_id, stream, schedule_seconds, freshness_seconds, next_due_at)
    VALUES (:tenant, :connection, :stream, :schedule, :freshness, now())
    ON CONFLICT (tenant_id, connection_id, stream) DO UPDATE SET
        schedule_seconds = excluded.schedule_seconds,
        freshness_seconds = excluded.freshness_seconds,
        paused_at = CASE WHEN s.cause = 'paused_by_member' THEN s.paused_at END,
        next_due_at = CASE WHEN s.cause = 'paused_by_member' THEN NULL ELSE now() END
    RETURNING paused_at
""")


def sync_key(connection_id: UUID, stream: str) -> str:
    return f"{connection_id}:{stream}"


class RunService:
    """Never commits; enqueues within the caller's transaction."""

    def __init__(self, work: WorkQueue, vault: Vault) -> None:
        self._work = work
        self._vault = vault

    # -- streams ----------------------------------------------------------------------------

    async def ensure_stream(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        schedule_seconds: int,
        freshness_seconds: int,
    ) -> None:
        """The stream is read from now on; at once if its connection is active. A member's pause stays."""
        values = {"tenant": tenant_id, "connection": connection_id, "stream": stream}
        paused_at = (
            await session.execute(
                _ENSURE, {**values, "schedule": schedule_seconds, "freshness": freshness_seconds}
            )
        ).scalar_one()
        if paused_at is None and await self._state(session, tenant_id, connection_id) == "active":
            await self._ask(session, tenant_id, connection_id, stream, "recipe")

    async def remap(self, session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> None:
        """A recipe is new or changed: its stream's next run, due now, maps what is already held."""
        found = (
            await session.execute(
                select(Recipe.connection_id, Recipe.stream).where(
                    Recipe.tenant_id == tenant_id, Recipe.id == recipe_id
                )
            )
        ).one_or_none()
        if found is None:
            raise NotFoundError
        if await self._state(session, tenant_id, found.connection_id) == "active":
            await self._ask(session, tenant_id, found.connection_id, found.stream, "recipe")

    async def sync_now(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str | None = None,
        mode: Mode | None = None,
    ) -> list[RunView]:
        """The runs asked for, of one stream or all; a run already under way is given instead of a second.

        A stream that a failure paused is tried again. Raises NotFoundError, and ConflictError where the
        connection is not active.
        """
        state = await self._state(session, tenant_id, connection_id)
        if state is None:
            raise NotFoundError
        if state != "active":
            raise ConflictError(_WORDS.get(state, "The connection is not active."))
        views = await repository.streams(session, tenant_id, connection_id)
        chosen = [view for view in views if stream in (None, view.stream)]
        if stream is not None and not chosen:
            raise NotFoundError("This connection does not read a stream of this name.", field="stream")
        found: list[RunView] = []
        for view in chosen:
            if view.paused_at is not None:
                if view.cause in {None, BY_MEMBER}:
                    if stream is not None:
                        why = "is paused; resume it first" if view.cause else "is read by no recipe"
                        raise ConflictError(f"This stream {why}.")
                    continue
                await self.resume_stream(session, tenant_id, connection_id, view.stream)
            run_id = await self._ask(session, tenant_id, connection_id, view.stream, "manual", mode)
            run = await repository.run(session, tenant_id, run_id) if run_id else None
            if run is not None:
                found.append(run)
        return found

    async def pause_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        await self._stop(session, tenant_id, connection_id, stream, BY_MEMBER)

    async def resume_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        """Goes on from the checkpoint, at once if the connection is active. Raises NotFoundError."""
        done = await self._update_stream(
            session,
            tenant_id,
            connection_id,
            stream,
            paused_at=None,
            cause=None,
            cause_since=None,
            cause_detail=None,
            failures=0,
            next_due_at=now(),
        )
        if not done:
            raise NotFoundError
        if await self._state(session, tenant_id, connection_id) == "active":
            await self._ask(session, tenant_id, connection_id, stream, "manual")

    async def stop_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        """No recipe reads it any more; what is held stays."""
        if await self._held_stream(session, tenant_id, connection_id, stream):
            await self._stop(session, tenant_id, connection_id, stream, None)

    async def stop_streams(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """The connection stops: runs are cancelled, nothing is due. Checkpoints stay for a resume."""
        for view in await repository.streams(session, tenant_id, connection_id):
            await self._cancel_active(session, tenant_id, connection_id, view.stream)
            await self._update_stream(
                session, tenant_id, connection_id, view.stream, next_due_at=None, waiting_until=None
            )
            await self._work.cancel(session, tenant_id, SYNC, sync_key(connection_id, view.stream))
        await self._work.cancel(session, tenant_id, CHECK, str(connection_id))

    async def start_streams(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, trigger: Trigger
    ) -> None:
        """The connection works (again): failures are forgotten, streams that are not paused are due now."""
        for view in await repository.streams(session, tenant_id, connection_id):
            if view.paused_at is None:
                await self._update_stream(
                    session,
                    tenant_id,
                    connection_id,
                    view.stream,
                    failures=0,
                    cause=None,
                    cause_since=None,
                    cause_detail=None,
                    waiting_until=None,
                    next_due_at=now(),
                )
                await self._ask(session, tenant_id, connection_id, view.stream, trigger)
        await self.ensure_check(session, tenant_id, connection_id)

    async def ensure_check(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        await self._work.enqueue(
            session, tenant_id=tenant_id, kind=CHECK, key=str(connection_id), connection_id=connection_id
        )

    async def cancel_run(self, session: AsyncSession, tenant_id: UUID, run_id: UUID) -> None:
        """Its next page is not committed; the stream goes on by schedule from where this run stood.

        Raises NotFoundError, and ConflictError for a run that has ended.
        """
        run = await repository.run(session, tenant_id, run_id)
        if run is None:
            raise NotFoundError
        if not run.active:
            raise ConflictError("This run has already ended.")
        await self._cancel_active(session, tenant_id, run.connection_id, run.stream)

    async def must_exist(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """Raises NotFoundError."""
        if await self._state(session, tenant_id, connection_id) is None:
            raise NotFoundError

    # -- views ------------------------------------------------------------------------------

    async def run(self, session: AsyncSession, tenant_id: UUID, run_id: UUID) -> RunView:
        found = await repository.run(session, tenant_id, run_id)
        if found is None:
            raise NotFoundError
        return found

    async def streams(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[StreamView]:
        return await repository.streams(session, tenant_id, connection_id)

    async def counts(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Counts:
        return await repository.counts(session, tenant_id, connection_id)

    async def record(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_id: str
    ) -> RecordDetail:
        """With the source document opened. Raises NotFoundError."""
        found = await repository.sealed_record(session, tenant_id, connection_id, stream, external_id)
        if found is None:
            raise NotFoundError
        row, sealed, version = found
        box = await self._vault.box(session, tenant_id)
        key = (session, tenant_id, connection_id, stream, external_id)
        return RecordDetail(
            record=row,
            document=strictjson.decode(box.open(sealed, version, document_context(*key[2:]))),
            entities=await repository.entities_of_record(*key),
            quarantine=await repository.quarantine_of_record(*key),
        )

    # -- inside -----------------------------------------------------------------------------

    async def _ask(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        trigger: Trigger,
        mode: Mode | None = None,
    ) -> UUID | None:
        """A queued run, due now; or the one under way, brought forward. None: there is no such stream."""
        held = await self._held_stream(session, tenant_id, connection_id, stream)
        if not held:
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
            await self._update_stream(session, tenant_id, connection_id, stream, run_id=run_id)
        await self._work.enqueue(
            session,
            tenant_id=tenant_id,
            kind=SYNC,
            key=sync_key(connection_id, stream),
            connection_id=connection_id,
        )
        return run_id

    async def _stop(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, cause: str | None
    ) -> None:
        await self._cancel_active(session, tenant_id, connection_id, stream)
        moment = now()
        done = await self._update_stream(
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
        await self._work.cancel(session, tenant_id, SYNC, sync_key(connection_id, stream))

    async def _cancel_active(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        held = await self._held_stream(session, tenant_id, connection_id, stream)
        if not held or held[0] is None:
            return
        await session.execute(
            update(Run)
            .where(Run.tenant_id == tenant_id, Run.id == held[0], Run.state.in_(_ACTIVE))
            .values(state="cancelled", finished_at=now(), waiting_until=None)
        )
        await self._update_stream(session, tenant_id, connection_id, stream, run_id=None, waiting_until=None)

    async def _held_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> tuple[UUID | None] | None:
        """Its run under way, in a tuple, with the row locked; None: there is no such stream."""
        row = (
            await session.execute(
                select(Stream.run_id)
                .where(
                    Stream.tenant_id == tenant_id,
                    Stream.connection_id == connection_id,
                    Stream.stream == stream,
                )
                .with_for_update()
            )
        ).one_or_none()
        return None if row is None else (row.run_id,)

    async def _update_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, **values: Any
    ) -> bool:
        done = await session.execute(
            update(Stream)
            .where(
                Stream.tenant_id == tenant_id, Stream.connection_id == connection_id, Stream.stream == stream
            )
            .values(**values)
            .returning(Stream.stream)
        )
        return done.scalar() is not None

    async def _state(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> str | None:
        query = select(Connection.state).where(
            Connection.tenant_id == tenant_id, Connection.id == connection_id
        )
        return (await session.execute(query)).scalar()


def document_context(connection_id: UUID, stream: str, external_id: str) -> str:
    """What a sealed document is bound to."""
    return place("records", connection_id, stream, external_id, field="document")
