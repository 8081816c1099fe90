"""What recipes, reviews and a connection's life mean for its streams."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.clock import now
from trunkline.kernel.errors import NotFoundError
from trunkline.recipes import repository as recipes
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.models import Recipe
from trunkline.runs import asking, passes, repository
from trunkline.runs.asking import CHECK, HOOKS, PUSHED, SYNC, sync_key
from trunkline.runs.schemas import Trigger
from trunkline.runs.standing import end_run
from trunkline.runs.writes import Place
from trunkline.work.queue import WorkQueue

STREAM_GONE: Final = "stream_gone"
"""Cause of a pause: the version of the connector that the connection speaks has no such stream."""

_PACE = text("""
    SELECT paused_at, schedule_seconds FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream FOR UPDATE
""")

# what every record held was read with: known after the first pass, and of the first pass itself
_READ_WITH = text("""
    SELECT coalesce(settled -> 'fields', checkpoint -> 'fields') AS fields, records,
           settled IS NOT NULL AS whole, schedule_seconds = 0 AS pushed
    FROM streams WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
""")

_ENSURE = text("""
    INSERT INTO streams AS s
        (tenant_id, connection_id, stream, schedule_seconds, freshness_seconds, next_due_at)
    VALUES (:tenant, :connection, :stream, :schedule, :freshness,
            CASE WHEN CAST(:schedule AS integer) > 0 THEN now() END)
    ON CONFLICT (tenant_id, connection_id, stream) DO UPDATE SET
        schedule_seconds = excluded.schedule_seconds,
        freshness_seconds = CASE WHEN s.freshness_chosen THEN s.freshness_seconds
                                 ELSE excluded.freshness_seconds END,
        paused_at = CASE WHEN s.cause = 'paused_by_member' THEN s.paused_at END,
        next_due_at = CASE WHEN s.cause = 'paused_by_member' OR excluded.schedule_seconds = 0 THEN NULL
                           ELSE now() END
    RETURNING paused_at
""")


class Following:
    """Never commits; enqueues within the caller's transaction."""

    def __init__(self, work: WorkQueue) -> None:
        self._work = work

    async def ensure_stream(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        schedule_seconds: int,
        freshness_seconds: int,
    ) -> None:
        """The stream is read from now on. At once if its connection is active and the stream was not being
        read, or is to be read at another pace. With a schedule of 0 it never is: all comes by itself.
        A member's pause stays.
        """
        values = {"tenant": tenant_id, "connection": connection_id, "stream": stream}
        before = (await session.execute(_PACE, values)).one_or_none()
        paused_at = (
            await session.execute(
                _ENSURE, {**values, "schedule": schedule_seconds, "freshness": freshness_seconds}
            )
        ).scalar_one()
        anew = before is None or before.paused_at is not None or before.schedule_seconds != schedule_seconds
        if (
            anew
            and paused_at is None
            and await asking.state_of(session, tenant_id, connection_id) == "active"
        ):
            await asking.ask(session, self._work, tenant_id, connection_id, stream, "recipe")
            await passes.go_on(session, self._work, Place(tenant_id, connection_id, stream))

    async def remap(self, session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> None:
        """A recipe is new or changed: what is held is mapped anew, beside everything else and at once.

        Where it uses fields that were never read, everything is read anew instead: to map what is held would
        empty them.
        """
        found = (
            await session.execute(
                select(Recipe.connection_id, Recipe.stream).where(
                    Recipe.tenant_id == tenant_id, Recipe.id == recipe_id
                )
            )
        ).one_or_none()
        if found is None:
            raise NotFoundError
        place = Place(tenant_id, found.connection_id, found.stream)
        in_force = await recipes.in_force(session, tenant_id, found.connection_id, found.stream)
        used = {name for recipe in in_force for name in RecipeMapper.fields_used(recipe.definition)}
        held = (await session.execute(_READ_WITH, place.params())).one_or_none()
        if held is None or not in_force:
            return
        if held.pushed or (held.fields is not None and used <= set(held.fields)):
            if held.records:
                await passes.ask(session, self._work, place, passes.REMAP, "recipe")
        elif await asking.state_of(session, tenant_id, found.connection_id) == "active":
            # not active: whatever wakes the stream up sees that fields are missing
            if held.whole:
                await passes.ask(session, self._work, place, passes.BACKFILL, "recipe")
            else:
                await asking.ask(session, self._work, tenant_id, found.connection_id, found.stream, "recipe")

    async def go_on(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str) -> None:
        """Something was decided that the stream's next run carries out: due now if it is read at all."""
        views = await repository.streams(session, tenant_id, connection_id)
        found = next((view for view in views if view.stream == stream and view.paused_at is None), None)
        if found is None or await asking.state_of(session, tenant_id, connection_id) != "active":
            return
        if found.schedule_seconds == PUSHED:  # whoever takes in what is sent carries it out
            await self._work.enqueue(
                session, tenant_id=tenant_id, kind=HOOKS, key=str(connection_id), connection_id=connection_id
            )
        else:
            await asking.ask(session, self._work, tenant_id, connection_id, stream, "review")

    async def stop_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        """No recipe reads it any more; what is held stays."""
        if await asking.held_run(session, tenant_id, connection_id, stream):
            await asking.stop(session, self._work, tenant_id, connection_id, stream, None)

    async def begin_anew(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, streams: Collection[str]
    ) -> None:
        """Another version of the connector reads otherwise: what was noted of where reading stands is void,
        and the next pass reads everything. `streams`: that it has; one that was missed goes on.
        """
        for view in await repository.streams(session, tenant_id, connection_id):
            place = Place(tenant_id, connection_id, view.stream)
            await asking.cancel_active(session, tenant_id, connection_id, view.stream)
            held = await passes.find(session, place, passes.BACKFILL)
            if held is not None:
                await passes.end(session, place, held.run_id)
                await end_run(session, tenant_id, held.run_id, "cancelled", None)
                await self._work.cancel(session, tenant_id, passes.BACKFILL, passes.work_key(place))
            void = {"checkpoint": None, "watermark": None, "settled": None, "complete_at": None}
            back = {"paused_at": None, "cause": None, "cause_since": None, "cause_detail": None}
            missed = view.cause == STREAM_GONE and view.stream in streams
            await asking.change(
                session, tenant_id, connection_id, view.stream, **void, **(back if missed else {})
            )

    async def stop_streams(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """The connection stops: runs are cancelled, nothing is due. Checkpoints stay for a resume."""
        for view in await repository.streams(session, tenant_id, connection_id):
            await asking.cancel_active(session, tenant_id, connection_id, view.stream)
            await asking.change(
                session, tenant_id, connection_id, view.stream, next_due_at=None, waiting_until=None
            )
            await self._work.cancel(session, tenant_id, SYNC, sync_key(connection_id, view.stream))
            await passes.rest_backfill(session, self._work, Place(tenant_id, connection_id, view.stream))
        await self._work.cancel(session, tenant_id, CHECK, str(connection_id))

    async def start_streams(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, trigger: Trigger
    ) -> None:
        """The connection works (again): failures are forgotten, streams that are not paused are due now."""
        for view in await repository.streams(session, tenant_id, connection_id):
            if view.paused_at is None:
                await asking.change(
                    session,
                    tenant_id,
                    connection_id,
                    view.stream,
                    failures=0,
                    cause=None,
                    cause_since=None,
                    cause_detail=None,
                    waiting_until=None,
                    next_due_at=None if view.schedule_seconds == PUSHED else now(),
                )
                await asking.ask(session, self._work, tenant_id, connection_id, view.stream, trigger)
                await passes.go_on(session, self._work, Place(tenant_id, connection_id, view.stream))
        await self.ensure_check(session, tenant_id, connection_id)

    async def ensure_check(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        await self._work.enqueue(
            session, tenant_id=tenant_id, kind=CHECK, key=str(connection_id), connection_id=connection_id
        )
