"""The handlers of work `backfill`, `remap` and `retry`: passes beside a stream's own runs.

A backfill reads everything anew. Its pages hold only as long as nobody else wrote their records since they
were asked for (else they are asked for again), so that an older page never overwrites a newer record. The
others ask no provider, and so also go on while the connection rests.
"""

import functools
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.errors import NotUsableError
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.recipes.mapper import RecipeMapper
from trunkline.runs import passes, setaside, standing, starting
from trunkline.runs.attempt import Attempt, moved_on, parents_of
from trunkline.runs.checkpoint import Checkpoint, Settled, anew
from trunkline.runs.drift import caution
from trunkline.runs.errors import ProviderError, RecipesChangedError, RunStoppedError
from trunkline.runs.fetching import Fetcher, fetching
from trunkline.runs.grants import Grants
from trunkline.runs.pages import PageWriter
from trunkline.runs.provider import ProviderClient, Target
from trunkline.runs.reading import EMPTY_TRIES, map_on, read_on
from trunkline.runs.starting_aside import start_aside
from trunkline.runs.sync import MAX_TRIES, next_try
from trunkline.runs.trouble import understood
from trunkline.runs.watching import FieldWatch
from trunkline.runs.writes import Place
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Done, HandBack, Lease, Outcome, Retry
from trunkline.work.queue import WorkQueue

TURN_SECONDS: Final = 5.0
"""After which it hands back: whatever is more urgent and waits for a slot of this connection goes first."""


class AsideHandler:
    """One per process and kind; call it with a lease of that kind."""

    def __init__(
        self,
        kind: passes.Kind,
        *,
        db: Database,
        vault: Vault,
        connectors: Connectors,
        connections: Grants,
        mapper: RecipeMapper,
        provider: ProviderClient,
        work: WorkQueue,
    ) -> None:
        self._kind = kind
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._connections = connections
        self._mapper = mapper
        self._provider = provider
        self._work = work

    async def __call__(self, lease: Lease) -> Outcome:
        connection, _, stream = lease.key.partition(":")
        place = Place(lease.tenant_id, UUID(connection), stream)
        begun: Attempt | None = None
        try:
            async with self._db.tenant(place.tenant_id) as session:
                begun = await start_aside(session, lease, place, self._kind, self._connectors)
                if begun is None:
                    await lease.finish(session, Done())
                    return Done()
            checkpoint = await self._turn(lease, begun)
            if checkpoint is None:
                return await self._handed_back(lease, begun)
            return await self._succeeded(lease, begun, checkpoint)
        except LeaseLostError:
            raise
        except RecipesChangedError:
            assert begun is not None
            return await self._handed_back(lease, begun)
        except (RunStoppedError, NotUsableError):
            return await self._stopped(lease, place, begun)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a row of the failure table
            return await self._failed(lease, place, understood(error, place))

    async def _turn(self, lease: Lease, run: Attempt) -> Checkpoint | None:
        """The checkpoint at the end of the pass; None: the turn ended first."""
        place = run.place
        writer = PageWriter(
            db=self._db,
            mapper=self._mapper,
            vault=self._vault,
            lease=lease,
            place=place,
            run_id=run.run_id,
            recipes=run.recipes,
            move=passes.move_backfill if self._kind == passes.BACKFILL else passes.move_remap,
            work=self._work,
            spec=run.spec,
            children=run.children,
        )
        if self._kind != passes.BACKFILL:
            writer.caution = caution(run.known_fields or {}, run.drift, [recipe for recipe, _ in run.recipes])
            return await map_on(lease, run, writer, seconds=TURN_SECONDS)
        target = Target(place.tenant_id, place.connection_id, run.manifest)
        on_wait = functools.partial(self._on_wait, lease, run)
        parents = parents_of(self._db, run)
        fetcher = Fetcher(self._provider, target, run.spec, lease.now, on_wait, parents)
        async with fetching(fetcher):
            watch = FieldWatch(self._db, self._provider, run, lease.now)
            return await read_on(lease, run, writer, fetcher, watch, seconds=TURN_SECONDS)

    async def _on_wait(self, lease: Lease, run: Attempt, until: datetime, cause: str) -> None:
        async with self._db.tenant(run.place.tenant_id) as session:
            await standing.wait_run(session, run.place.tenant_id, run.run_id, until, cause, retry=False)
            await lease.fence(session)

    async def _handed_back(self, lease: Lease, run: Attempt) -> Outcome:
        async with self._db.tenant(run.place.tenant_id) as session:
            await passes.hand_back(session, run.place, run.run_id)
            await lease.finish(session, HandBack())
        return HandBack()

    async def _succeeded(self, lease: Lease, run: Attempt, checkpoint: Checkpoint) -> Outcome:
        place = run.place
        async with self._db.tenant(place.tenant_id) as session:
            await passes.lock_stream(session, place)
            await passes.end(session, place, run.run_id)
            await standing.end_run(session, place.tenant_id, run.run_id, "succeeded", None)
            if self._kind == passes.BACKFILL:
                await self._settle(session, run, checkpoint, lease.now())
            elif self._kind == passes.RETRY:
                await setaside.forget(session, place)
            elif await moved_on(session, run):
                # a recipe came or changed after the pass had begun
                await passes.ask(session, self._work, place, passes.REMAP, "recipe")
            await lease.finish(session, Done())
        return Done()

    async def _settle(
        self, session: AsyncSession, run: Attempt, checkpoint: Checkpoint, moment: datetime
    ) -> None:
        """Every record was read with these fields; by recipes that changed meanwhile they are mapped anew."""
        settled = Settled(
            fields=sorted({*checkpoint.fields} & {*run.fields}),
            recipes=checkpoint.recipes,
            bookmark=await standing.bookmark_of(session, run.place),
        )
        complete = starting.complete_at(checkpoint, run.spec, moment)
        await standing.change_stream(session, run.place, settled=msgspec.to_builtins(settled), **complete)
        if checkpoint.map_all and await moved_on(session, run):
            await passes.ask(session, self._work, run.place, passes.REMAP, "recipe")

    # -- when it does not go well -----------------------------------------------------------

    async def _stopped(self, lease: Lease, place: Place, run: Attempt | None) -> Outcome:
        """Paused, cancelled, or its connection or stream rests; it is taken up again by whoever ends that."""
        async with self._db.tenant(place.tenant_id) as session:
            await passes.lock_stream(session, place)
            if run is not None:
                await passes.rest(session, place, run.run_id, None)
            await lease.finish(session, Done())
        return Done()

    async def _failed(self, lease: Lease, place: Place, error: ProviderError) -> Outcome:
        found, moment = error.failure, lease.now()
        async with self._db.tenant(place.tenant_id) as session:
            await standing.of(session, place)
            held = await passes.find(session, place, self._kind)
            if held is None:
                await lease.finish(session, Done())
                return Done()
            counts = found.action != "wait"
            tries = await passes.note_failure(session, place, held.run_id) if counts else held.failures
            outcome: Outcome = Done()
            if found.action == "wait" or (found.action == "retry" and tries < MAX_TRIES):
                at = next_try(found.action, tries, lease.tries, moment, error.retry_at)
                await standing.wait_run(session, place.tenant_id, held.run_id, at, found.code, retry=counts)
                outcome = Retry(found.code, at) if counts else Done(again_at=at)
                if found.code == "empty_page" and tries == EMPTY_TRIES:
                    await passes.begin_anew(session, place, held.run_id, anew(held.checkpoint, new_id()))
            elif found.action == "pause":
                # the stream's own run meets the same at once, and stops the stream with its reason
                await passes.rest(session, place, held.run_id, found.code)
                await self._work.enqueue(
                    session,
                    tenant_id=place.tenant_id,
                    kind="sync",
                    key=passes.work_key(place),
                    connection_id=place.connection_id,
                )
            elif found.action in {"reconnect", "refresh"}:
                await passes.rest(session, place, held.run_id, found.code)
                await self._connections.require_reconnect(
                    session, place.tenant_id, place.connection_id, found.code
                )
            else:
                await passes.end(session, place, held.run_id)
                await standing.end_run(session, place.tenant_id, held.run_id, "failed", found.code)
                if self._kind == passes.BACKFILL:  # the next one is not due at once
                    await standing.change_stream(session, place, complete_at=moment)
            await lease.finish(session, outcome)
        return outcome
