"""Running leased work: claim, handler, outcome, heartbeats. Knows nothing of how work reaches it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from trunkline.kernel.db import Database
from trunkline.resilience.backoff import full_jitter
from trunkline.resilience.failures import classify
from trunkline.work import repository
from trunkline.work.backlog import HandOut
from trunkline.work.errors import DATABASE_AWAY, LeaseLostError
from trunkline.work.lease import Done, HandBack, Handler, Lease, Outcome, Retry
from trunkline.work.together import Together

RETRY_BASE_SECONDS = 2.0
RETRY_CAP_SECONDS = 300.0
OUTCOME_TRIES = 5
"""How often an outcome is offered to a database that refuses; then the lease lapses and the work repeats."""
CANCEL_SECONDS = 1.0
"""What cancelled handlers get to roll back and hand back."""

log = structlog.get_logger(__name__)


class _Running(msgspec.Struct):
    lease: Lease
    handler: "asyncio.Task[Outcome]"
    proven_at: float
    """Monotonic time at which the row was last known to be ours."""


class Executor:
    """The work that this process has in hand.

    `holder` names the process on every row that it claims; `ended` is called whenever a piece has ended.
    """

    def __init__(
        self,
        db: Database,
        handlers: Mapping[str, Handler],
        *,
        holder: str,
        lease_seconds: float,
        heartbeat_seconds: float,
        ended: Callable[[], None],
    ) -> None:
        self._db = db
        self._handlers = handlers
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._tasks: dict[tuple[UUID, int], asyncio.Task[None]] = {}
        self._running: dict[tuple[UUID, int], _Running] = {}
        self._over: dict[tuple[UUID, int], asyncio.Event] = {}
        self._stopping = False
        self._on_end = ended
        self._together = Together(db, holder=holder, seconds=lease_seconds)

    @property
    def busy(self) -> int:
        return len(self._tasks)

    def start(self, work: HandOut) -> "asyncio.Task[None]":
        """Begin it. A second copy of the same hand-out joins the first, or finds it claimed elsewhere."""
        name = (work.work_id, work.attempt)
        task = self._tasks.get(name)
        if task is None:
            self._over[name] = over = asyncio.Event()
            task = asyncio.create_task(self._run(work, over), name=f"work:{work.work_id}:{work.attempt}")
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._ended(name))
        return task

    async def run(self, work: HandOut) -> None:
        """Begin it; returns when its handler has ended: its outcome is written beside what is begun next."""
        self.start(work)
        await self._over[work.work_id, work.attempt].wait()

    async def heartbeats(self) -> None:
        """For ever: renew what is held, and stop handlers whose row is no longer ours."""
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            await self._beat()

    async def drain(self, seconds: float) -> None:
        """Let handlers hand back, at most so long; then cancel what is left and hand it back."""
        self._stopping = True
        for running in self._running.values():
            running.lease.stopping.set()
        await self._settle(seconds)
        for running in list(self._running.values()):
            running.handler.cancel()
        await self._settle(CANCEL_SECONDS)

    async def _settle(self, seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)

    def _ended(self, name: tuple[UUID, int]) -> None:
        self._over.pop(name).set()
        del self._tasks[name]
        self._on_end()

    async def _run(self, work: HandOut, over: asyncio.Event) -> None:
        """A database that blinks is asked again, until the hand-out has lapsed and is made anew."""
        until, trial = time.monotonic() + self._lease_seconds, 0
        while True:
            try:
                lease = await self._claim(work, again=trial > 0)
            except DATABASE_AWAY as error:
                trial += 1
                wait = full_jitter(trial, 0.1, 1.0)
                if self._stopping or time.monotonic() + wait > until:
                    log.warning("work not begun", work_id=str(work.work_id), error=type(error).__name__)
                    return
                await asyncio.sleep(wait)
            else:
                break
        if lease is not None:
            await self._handle(lease, over)

    async def _claim(self, work: HandOut, *, again: bool) -> Lease | None:
        claimed = await self._together.claim(work, again=again)
        if claimed is None:
            return None
        return Lease(claimed, holder=self._holder, lease_seconds=self._lease_seconds)

    async def _handle(self, lease: Lease, over: asyncio.Event) -> None:
        """Heartbeats go on until the outcome is written."""
        name = (lease.work_id, lease.attempt)
        handler = asyncio.create_task(self._outcome(lease), name=f"handler:{lease.kind}:{lease.work_id}")
        self._running[name] = _Running(lease, handler, time.monotonic())
        if self._stopping:
            lease.stopping.set()
        try:
            outcome = await handler
            over.set()
            if lease.lost.is_set():
                log.info("lease lost", **_named(lease))
            else:
                await self._write(lease, outcome)
        finally:
            del self._running[name]

    async def _outcome(self, lease: Lease) -> Outcome:
        """What the handler answers, or what its error comes to."""
        try:
            return await self._handlers[lease.kind](lease)
        except LeaseLostError:
            lease.lost.set()
            return HandBack()
        except asyncio.CancelledError:  # by this class only: the lease is lost, or the process ends
            return HandBack()
        except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes a retry
            return _failed(lease, error)

    async def _write(self, lease: Lease, outcome: Outcome) -> None:
        for trial in range(1, OUTCOME_TRIES + 1):
            try:
                if outcome == Done() and await self._together.done(lease):
                    lease.finished = True
                    return
                async with self._db.tenant(lease.tenant_id) as session:
                    await lease.finish(session, outcome)
            except LeaseLostError:  # taken over, cancelled, or finished by the handler itself
                return
            except DATABASE_AWAY as error:
                log.warning("outcome not written", error=type(error).__name__, **_named(lease))
                if self._stopping:
                    return
                await asyncio.sleep(full_jitter(trial, 0.2, 2.0))
            else:
                return

    async def _beat(self) -> None:
        held = list(self._running.values())
        if not held:
            return
        began = time.monotonic()
        mine: set[UUID] | None = None
        try:
            async with asyncio.timeout(self._heartbeat_seconds), self._db.system() as session:
                mine = await repository.heartbeat(
                    session,
                    [running.lease for running in held],
                    holder=self._holder,
                    seconds=self._lease_seconds,
                )
        except DATABASE_AWAY as error:
            log.warning("heartbeat failed", leases=len(held), error=type(error).__name__)
        for running in held:
            if mine is None:
                gone = time.monotonic() - running.proven_at > self._lease_seconds
            else:
                gone = running.lease.work_id not in mine
            if not gone:
                running.proven_at = began if mine is not None else running.proven_at
            elif not running.handler.done() and not running.lease.finished:
                running.lease.lost.set()
                running.handler.cancel()


def _failed(lease: Lease, error: Exception) -> Retry:
    failure = classify(None, error=error)
    at = getattr(error, "retry_at", None)
    if not isinstance(at, datetime):
        wait = full_jitter(lease.tries + 1, RETRY_BASE_SECONDS, RETRY_CAP_SECONDS)
        at = lease.now() + timedelta(seconds=wait)
    # the message of a foreign error may quote data: only our own errors show it, in the traceback
    unexpected = failure.code == "internal_error"
    log.warning(
        "work failed",
        cause=failure.code,
        error=type(error).__name__,
        again_at=at.isoformat(),
        exc_info=error if unexpected else None,
        **_named(lease),
    )
    return Retry(failure.code, at)


def _named(lease: Lease) -> dict[str, Any]:
    return {
        "kind": lease.kind,
        "tenant_id": str(lease.tenant_id),
        "work_id": str(lease.work_id),
        "attempt": lease.attempt,
        "tries": lease.tries,
    }
