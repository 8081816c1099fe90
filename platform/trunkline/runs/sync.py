"""The handler of work `sync`: one run over one stream of a connection, page by page."""

import functools
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.errors import NotUsableError
from trunkline.health.issues import open_issue, resolve_issues
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.recipes.mapper import RecipeMapper
from trunkline.resilience.backoff import full_jitter
from trunkline.runs import passes, setaside, standing, starting, untold, writes
from trunkline.runs.attempt import Attempt, parents_of
from trunkline.runs.checkpoint import Checkpoint, Settled, anew, watermark_of
from trunkline.runs.errors import ProviderError, RecipesChangedError, RunStoppedError
from trunkline.runs.fetching import Fetcher, fetching
from trunkline.runs.grants import Grants
from trunkline.runs.pages import PageWriter
from trunkline.runs.parents import wake
from trunkline.runs.provider import ProviderClient, Target
from trunkline.runs.reading import EMPTY_TRIES, carry_out, read_on
from trunkline.runs.trouble import understood
from trunkline.runs.watching import FieldWatch
from trunkline.runs.writes import Place
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Done, HandBack, Lease, Outcome, Retry
from trunkline.work.queue import WorkQueue

MAX_TRIES: Final = 8
"""Failed tries in a row, after which the run fails and an issue is opened; the schedule goes on."""
RETRY_BASE: Final = 2.0
RETRY_CAP: Final = 300.0
WAIT_CAP: Final = 900.0


class SyncHandler:
    """One per process; call it with a lease of work `sync`."""

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        connectors: Connectors,
        connections: Grants,
        mapper: RecipeMapper,
        provider: ProviderClient,
        work: WorkQueue,
    ) -> None:
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
                found = await starting.start(session, lease, place, self._connectors, self._work)
                if isinstance(found, starting.Idle):
                    outcome = Done()
                    await lease.finish(session, outcome)
                    return outcome
            begun = found
            writer = PageWriter(
                db=self._db,
                mapper=self._mapper,
                vault=self._vault,
                lease=lease,
                place=place,
                run_id=begun.run_id,
                recipes=begun.recipes,
                move=writes.move,
                work=self._work,
                spec=begun.spec,
                children=begun.children,
            )
            target = Target(place.tenant_id, place.connection_id, begun.manifest)
            if not await carry_out(lease, begun, writer):
                return HandBack()
            on_wait = functools.partial(self._on_wait, lease, begun)
            parents = parents_of(self._db, begun)
            async with fetching(
                Fetcher(self._provider, target, begun.spec, lease.now, on_wait, parents)
            ) as fetcher:
                watch = FieldWatch(self._db, self._provider, begun, lease.now)
                checkpoint = await read_on(lease, begun, writer, fetcher, watch)
            return HandBack() if checkpoint is None else await self._succeeded(lease, begun, checkpoint)
        except LeaseLostError:
            raise
        except RecipesChangedError:
            return HandBack()
        except (RunStoppedError, NotUsableError):
            return await self._stopped(lease, place)
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a row of the failure table
            return await self._failed(lease, place, begun, understood(error, place))

    async def _on_wait(self, lease: Lease, run: Attempt, until: datetime, cause: str) -> None:
        place = run.place
        async with self._db.tenant(place.tenant_id) as session:
            await standing.change_stream(session, place, waiting_until=until)
            await standing.wait_run(session, place.tenant_id, run.run_id, until, cause, retry=False)
            await lease.fence(session)

    async def _succeeded(self, lease: Lease, run: Attempt, checkpoint: Checkpoint) -> Outcome:
        place = run.place
        moment = lease.now()
        due = moment + timedelta(seconds=run.schedule_seconds)
        outcome = Done(again_at=due)
        settled: dict[str, Any] = {}
        if checkpoint.mode != "incremental":  # which asks nothing of what did not change
            whole = Settled(fields=checkpoint.fields, recipes=checkpoint.recipes)
            settled = {"settled": msgspec.to_builtins(whole)}
        async with self._db.tenant(place.tenant_id) as session:
            await standing.change_stream(
                session,
                place,
                run_id=None,
                checkpoint=None,
                **settled,
                **starting.complete_at(checkpoint, run.spec, moment),
                watermark=watermark_of(checkpoint, run.watermark),
                last_success_at=moment,
                next_due_at=due,
                waiting_until=None,
                failures=0,
                cause=None,
                cause_since=None,
                cause_detail=None,
            )
            if checkpoint.mode == "incremental" and checkpoint.bookmark is not None:
                await standing.keep_bookmark(session, place, checkpoint.bookmark)
            await standing.end_run(session, place.tenant_id, run.run_id, "succeeded", None)
            await resolve_issues(session, place.tenant_id, place.connection_id, stream=place.stream)
            if run.told_since is not None:
                await untold.settle(session, place)
            await wake(session, self._work, place, run.manifest.children(place.stream))
            passing = await setaside.ask_passing(session, place)
            if passing:
                await passes.ask(session, self._work, place, passes.RETRY, "schedule", expected=passing)
            await lease.finish(session, outcome)
        return outcome

    # -- when it does not go well -----------------------------------------------------------

    async def _stopped(self, lease: Lease, place: Place) -> Outcome:
        """Cancelled, paused or disconnected between two pages: whoever did that has put things in order.

        Where a call found the grant gone while pages before it were written, that is how the run ends.
        """
        async with self._db.tenant(place.tenant_id) as session:
            row = await standing.of(session, place)
            outcome = Done()
            if row is not None and row.state == "active" and row.paused_at is None:
                outcome = Done(again_at=lease.now() + timedelta(seconds=row.schedule_seconds))
                await standing.change_stream(session, place, next_due_at=outcome.again_at)
            elif row is not None and row.state == "reconnect_required" and row.run_id is not None:
                cause = row.lost or "grant_revoked"
                await standing.end_run(session, place.tenant_id, row.run_id, "failed", cause)
                await standing.change_stream(
                    session, place, run_id=None, waiting_until=None, next_due_at=None
                )
            await lease.finish(session, outcome)
        return outcome

    async def _failed(self, lease: Lease, place: Place, run: Attempt | None, error: ProviderError) -> Outcome:
        found, moment = error.failure, lease.now()
        code = found.code
        async with self._db.tenant(place.tenant_id) as session:
            row = await standing.of(session, place)
            if row is None:
                outcome: Outcome = Done()
                await lease.finish(session, outcome)
                return outcome
            run_id = run.run_id if run is not None else row.run_id
            tries = await standing.note_failure(
                session, place, code, error.detail, counts=found.action != "wait"
            )
            if found.action == "wait":
                at = next_try(found.action, tries, lease.tries, moment, error.retry_at)
                await self._wait(session, place, run_id, at, code, retry=False)
                outcome = Done(again_at=at)
            elif found.action == "retry" and tries < MAX_TRIES:
                at = next_try(found.action, tries, lease.tries, moment, error.retry_at)
                await self._wait(session, place, run_id, at, code, retry=True)
                if (
                    code == "empty_page"
                    and tries == EMPTY_TRIES
                    and (again := anew(row.checkpoint, new_id()))
                ):
                    await standing.change_stream(session, place, checkpoint=again)
                outcome = Retry(code, at)
            else:
                outcome = await self._given_up(
                    session, place, run_id, error, row.schedule_seconds, tries, moment
                )
            await lease.finish(session, outcome)
        return outcome

    @staticmethod
    async def _wait(
        session: AsyncSession, place: Place, run_id: UUID | None, at: datetime, code: str, *, retry: bool
    ) -> None:
        if run_id is not None:
            await standing.wait_run(session, place.tenant_id, run_id, at, code, retry=retry)
        await standing.change_stream(session, place, waiting_until=at, next_due_at=at)

    async def _given_up(
        self,
        session: AsyncSession,
        place: Place,
        run_id: UUID | None,
        error: ProviderError,
        schedule_seconds: int,
        tries: int,
        moment: datetime,
    ) -> Outcome:
        """The run has failed. The checkpoint stays, but for one that the provider refuses for good."""
        action, code = error.failure.action, error.failure.code
        if run_id is not None:
            await standing.end_run(session, place.tenant_id, run_id, "failed", code)
        await standing.change_stream(session, place, run_id=None, waiting_until=None, next_due_at=None)
        if action in {"reconnect", "refresh"}:
            await self._connections.require_reconnect(session, place.tenant_id, place.connection_id, code)
            return Done()
        await open_issue(
            session, place.tenant_id, place.connection_id, code, stream=place.stream, detail=error.detail
        )
        if action == "pause":
            await standing.change_stream(session, place, paused_at=moment)
            return Done()
        if action != "retry":
            await standing.change_stream(session, place, checkpoint=None)
        due = next_run(tries, moment, schedule_seconds)
        await standing.change_stream(session, place, next_due_at=due)
        return Done(again_at=due)


def next_try(action: str, failures: int, waits: int, moment: datetime, asked: datetime | None) -> datetime:
    """When a run that waits or retries goes on: not before `asked`, and the later the more has failed.

    `failures`: tries in a row that failed, this one too; `waits`: how often its work was put off.
    """
    if action == "wait":
        patience = 0.0 if asked else full_jitter(max(waits, 4), RETRY_BASE, WAIT_CAP)
        at = moment + timedelta(seconds=1.0 + patience)
    else:
        at = moment + timedelta(seconds=full_jitter(failures, RETRY_BASE, RETRY_CAP))
    return max(at, asked or at)


def next_run(failures: int, moment: datetime, schedule_seconds: int) -> datetime:
    """When a stream is read again whose run has failed: by schedule, and seldomer the longer it goes on."""
    slower = full_jitter(failures, RETRY_BASE, WAIT_CAP) if failures > MAX_TRIES else 0.0
    return moment + timedelta(seconds=max(schedule_seconds, slower))
