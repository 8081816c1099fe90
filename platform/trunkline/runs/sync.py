"""The handler of work `sync`: one run over one stream of a connection, page by page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.errors import NotUsableError
from trunkline.health.issues import open_issue, resolve_issues
from trunkline.kernel.db import Database
from trunkline.recipes.mapper import RecipeMapper
from trunkline.resilience.backoff import full_jitter
from trunkline.resilience.failures import classify, failure
from trunkline.runs import attempt
from trunkline.runs.attempt import Attempt, Idle
from trunkline.runs.checkpoint import Checkpoint, Settled, advance, after_remap, reader, watermark_of
from trunkline.runs.errors import ProviderError, RunStoppedError
from trunkline.runs.pages import PageWriter, Prepared
from trunkline.runs.provider import Page, ProviderClient, Target
from trunkline.runs.writes import Place
from trunkline.sdk.manifest import Deletions
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Done, HandBack, Lease, Outcome, Retry

MAX_TRIES: Final = 8
"""Failed tries in a row, after which the run fails and an issue is opened; the schedule goes on."""
RETRY_BASE: Final = 2.0
RETRY_CAP: Final = 300.0
WAIT_CAP: Final = 900.0

log = structlog.get_logger(__name__)


class Grants(Protocol):
    """`trunkline.connections`."""

    async def require_reconnect(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str
    ) -> None: ...


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
    ) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._connections = connections
        self._mapper = mapper
        self._provider = provider

    async def __call__(self, lease: Lease) -> Outcome:
        connection, _, stream = lease.key.partition(":")
        place = Place(lease.tenant_id, UUID(connection), stream)
        begun: Attempt | None = None
        try:
            async with self._db.tenant(place.tenant_id) as session:
                found = await attempt.start(session, lease, place, self._connectors)
                if isinstance(found, Idle):
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
            )
            return await self._pass(lease, begun, writer)
        except LeaseLostError:
            raise
        except (RunStoppedError, NotUsableError):
            return await self._stopped(lease, place)
        except ProviderError as error:
            return await self._failed(lease, place, begun, error)
        except Exception as error:
            found_failure = classify(None, error=error)
            if found_failure.code == "lease_lost":
                raise
            # only what we raise ourselves is safe to show: a foreign message may quote a record
            log.warning(
                "run failed",
                cause=found_failure.code,
                error=type(error).__name__,
                exc_info=found_failure.code == "internal_error",
                tenant_id=str(place.tenant_id),
                connection_id=str(place.connection_id),
                stream=place.stream,
            )
            detail = {"error": type(error).__name__}
            return await self._failed(lease, place, begun, ProviderError(found_failure, detail=detail))

    # -- the pass ---------------------------------------------------------------------------

    async def _pass(self, lease: Lease, run: Attempt, writer: PageWriter) -> Outcome:
        checkpoint = run.checkpoint
        async with self._fetching(lease, run) as fetcher:
            while checkpoint.phase != "end":
                if lease.lost.is_set():
                    raise LeaseLostError
                if lease.stopping.is_set():
                    return HandBack()
                if checkpoint.phase == "remap":
                    prepared, last = await writer.held(checkpoint.cursor)
                    after = after_remap(checkpoint, last)
                else:
                    page = await fetcher.take(checkpoint)
                    after = _after(run, checkpoint, page)
                    fetcher.ahead(after)
                    prepared = await self._prepare(run, writer, checkpoint, page)
                await writer.commit(prepared, after, waiting=fetcher.waiting)
                checkpoint = after
        return await self._succeeded(lease, run, checkpoint)

    @asynccontextmanager
    async def _fetching(self, lease: Lease, run: Attempt) -> AsyncIterator["_Fetcher"]:
        fetcher = _Fetcher(self._provider, self._db, lease, run)
        try:
            yield fetcher
        finally:
            await fetcher.close()

    @staticmethod
    async def _prepare(run: Attempt, writer: PageWriter, checkpoint: Checkpoint, page: Page) -> Prepared:
        read = reader(checkpoint, run.spec)
        if checkpoint.phase == "deletions" and isinstance(read, Deletions):
            return await writer.archived(page.items, read)
        prepared = await writer.listed(page.items, map_all=checkpoint.map_all)
        prepared.expected = page.total
        return prepared

    async def _succeeded(self, lease: Lease, run: Attempt, checkpoint: Checkpoint) -> Outcome:
        place = run.place
        moment = lease.now()
        due = moment + timedelta(seconds=run.schedule_seconds)
        outcome = Done(again_at=due)
        settled = Settled(fields=checkpoint.fields, recipes=checkpoint.recipes)
        async with self._db.tenant(place.tenant_id) as session:
            await attempt.change_stream(
                session,
                place,
                run_id=None,
                checkpoint=None,
                settled=msgspec.to_builtins(settled),
                watermark=watermark_of(checkpoint, run.watermark),
                last_success_at=moment,
                next_due_at=due,
                waiting_until=None,
                failures=0,
                cause=None,
                cause_since=None,
                cause_detail=None,
            )
            await attempt.end_run(session, place.tenant_id, run.run_id, "succeeded", None)
            await resolve_issues(session, place.tenant_id, place.connection_id, stream=place.stream)
            await lease.finish(session, outcome)
        return outcome

    # -- when it does not go well -----------------------------------------------------------

    async def _stopped(self, lease: Lease, place: Place) -> Outcome:
        """Cancelled, paused or disconnected between two pages: whoever did that has put things in order."""
        async with self._db.tenant(place.tenant_id) as session:
            row = await attempt.standing(session, place)
            outcome = Done()
            if row is not None and row.state == "active" and row.paused_at is None:
                outcome = Done(again_at=lease.now() + timedelta(seconds=row.schedule_seconds))
                await attempt.change_stream(session, place, next_due_at=outcome.again_at)
            await lease.finish(session, outcome)
        return outcome

    async def _failed(self, lease: Lease, place: Place, run: Attempt | None, error: ProviderError) -> Outcome:
        found, moment = error.failure, lease.now()
        code = found.code
        async with self._db.tenant(place.tenant_id) as session:
            row = await attempt.standing(session, place)
            if row is None:
                outcome: Outcome = Done()
                await lease.finish(session, outcome)
                return outcome
            run_id = run.run_id if run is not None else row.run_id
            tries = await attempt.note_failure(
                session, place, code, error.detail, counts=found.action != "wait"
            )
            if found.action == "wait":
                at = max(error.retry_at or moment, moment + timedelta(seconds=1))
                if error.retry_at is None:
                    at += timedelta(seconds=full_jitter(max(lease.tries, 4), RETRY_BASE, WAIT_CAP))
                await self._wait(session, place, run_id, at, code, retry=False)
                outcome = Done(again_at=at)
            elif found.action == "retry" and tries < MAX_TRIES:
                at = moment + timedelta(seconds=full_jitter(tries, RETRY_BASE, RETRY_CAP))
                at = max(at, error.retry_at or at)
                await self._wait(session, place, run_id, at, code, retry=True)
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
            await attempt.wait_run(session, place.tenant_id, run_id, at, code, retry=retry)
        await attempt.change_stream(session, place, waiting_until=at, next_due_at=at)

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
            await attempt.end_run(session, place.tenant_id, run_id, "failed", code)
        await attempt.change_stream(session, place, run_id=None, waiting_until=None, next_due_at=None)
        if action in {"reconnect", "refresh"}:
            await self._connections.require_reconnect(session, place.tenant_id, place.connection_id, code)
            return Done()
        await open_issue(
            session, place.tenant_id, place.connection_id, code, stream=place.stream, detail=error.detail
        )
        if action == "pause":
            await attempt.change_stream(session, place, paused_at=moment)
            return Done()
        if action != "retry":
            await attempt.change_stream(session, place, checkpoint=None)
        slower = full_jitter(tries, RETRY_BASE, WAIT_CAP) if tries > MAX_TRIES else 0.0
        due = moment + timedelta(seconds=max(schedule_seconds, slower))
        await attempt.change_stream(session, place, next_due_at=due)
        return Done(again_at=due)


def _after(run: Attempt, checkpoint: Checkpoint, page: Page) -> Checkpoint:
    try:
        return advance(checkpoint, run.spec, page)
    except ValueError as error:
        raise ProviderError(failure("malformed_answer"), detail={"error": str(error)}) from error


class _Fetcher:
    """Fetches the page after the one that is being written."""

    def __init__(self, provider: ProviderClient, db: Database, lease: Lease, run: Attempt) -> None:
        self._provider = provider
        self._db = db
        self._lease = lease
        self._run = run
        self._target = Target(run.place.tenant_id, run.place.connection_id, run.manifest)
        self._next: tuple[Checkpoint, asyncio.Task[Page]] | None = None
        self.waiting = False
        """The page after this one waits for a limit."""

    async def take(self, checkpoint: Checkpoint) -> Page:
        self.ahead(checkpoint)
        assert self._next is not None
        task = self._next[1]
        try:
            return await task
        finally:
            self._next = None

    def ahead(self, checkpoint: Checkpoint) -> None:
        if self._next is not None and self._next[0] is checkpoint:
            return
        if checkpoint.phase in {"list", "incremental", "deletions"}:
            self._next = checkpoint, asyncio.create_task(self._fetch(checkpoint))

    async def close(self) -> None:
        if self._next is not None:
            task = self._next[1]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _fetch(self, checkpoint: Checkpoint) -> Page:
        try:
            return await self._provider.page(
                self._target,
                self._run.spec,
                reader(checkpoint, self._run.spec),
                checkpoint.values(),
                on_wait=self._on_wait,
            )
        finally:
            self.waiting = False

    async def _on_wait(self, until: datetime, cause: str) -> None:
        self.waiting = True
        place = self._run.place
        async with self._db.tenant(place.tenant_id) as session:
            await attempt.change_stream(session, place, waiting_until=until)
            await attempt.wait_run(session, place.tenant_id, self._run.run_id, until, cause, retry=False)
            await self._lease.fence(session)
