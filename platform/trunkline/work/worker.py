"""One worker process: dispatcher, executor, heartbeats and arq side by side."""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.resilience.backoff import full_jitter
from trunkline.work.arq_link import ArqLink
from trunkline.work.backlog import HandOut
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.errors import DATABASE_AWAY
from trunkline.work.executor import Executor
from trunkline.work.fairness import Caps
from trunkline.work.lease import Handler

IDLE_SECONDS = 0.25
"""How often the backlog is looked at when nothing hints at work."""
FORGOTTEN_SECONDS = 1.0
"""What arq has not begun by then was forgotten by Valkey: it is begun without it."""
UNKNOWN_SECONDS = 60.0
LEAVE_SECONDS = 1.0
CANCEL_ROUNDS = 5

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_random = random.SystemRandom()
log = structlog.get_logger(__name__)


async def run_worker(
    settings: Settings,
    db: Database,
    handlers: Mapping[str, Handler],
    *,
    valkey_url: str | None = None,
    stop: asyncio.Event | None = None,
    caps: Caps | None = None,
) -> None:
    """Work until SIGTERM or SIGINT (or `stop`, if given: then signals are left alone), hand back, return.

    `handlers`: by kind of work; only these kinds are leased. `valkey_url` defaults to the setting's. While
    Valkey is away, work is begun in this process without arq.
    """
    logging.getLogger("arq").setLevel(logging.CRITICAL)  # what matters of a job is logged by the executor
    process = _Process(settings, db, handlers, valkey_url or settings.valkey_url, caps or Caps())
    if stop is not None:
        await process.run(stop)
        return
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        await process.run(stop)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _end(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Cancel until they have ended: a library may swallow a cancellation that meets its own time-out."""
    for _ in range(CANCEL_ROUNDS):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.3)
    log.warning("tasks left behind", tasks=[task.get_name() for task in tasks if not task.done()])


class _Process:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        handlers: Mapping[str, Handler],
        valkey_url: str,
        caps: Caps,
    ) -> None:
        self._settings = settings
        self._slots = settings.worker_jobs
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._wake = asyncio.Event()
        self._more = False
        self._ending = False
        self._handed: dict[tuple[UUID, int], tuple[HandOut, float]] = {}
        self._dispatcher = Dispatcher(db, list(handlers), lease_seconds=settings.lease_seconds, caps=caps)
        self._executor = Executor(
            db,
            handlers,
            holder=self._holder,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            ended=self._freed,
        )
        self._link = ArqLink(
            valkey_url, holder=self._holder, slots=self._slots, run=self._arrived, woken=self._wake.set
        )

    async def run(self, stop: asyncio.Event) -> None:
        log.info("worker started", holder=self._holder, slots=self._slots)
        dispatching = asyncio.create_task(self._dispatch(), name="dispatch")
        others = [
            asyncio.create_task(self._link.supervise(), name="arq"),
            asyncio.create_task(self._link.listen(), name="hints"),
            asyncio.create_task(self._executor.heartbeats(), name="heartbeats"),
            asyncio.create_task(self._report_unknown(), name="unknown kinds"),
        ]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopped, dispatching, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._leave(dispatching)
            await _end([dispatching, *others])
        for task in (dispatching, *others):
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error  # a defect: none of these ends by itself
        log.info("worker stopped", holder=self._holder)

    async def _leave(self, dispatching: "asyncio.Task[None]") -> None:
        """Lease nothing more, take back what nobody has begun, let handlers hand back."""
        self._ending = True
        self._wake.set()
        await asyncio.wait({dispatching}, timeout=LEAVE_SECONDS)
        dispatching.cancel()
        unstarted = [work for work, _ in self._handed.values()]
        self._handed.clear()
        if unstarted:
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._dispatcher.take_back(unstarted)
            except DATABASE_AWAY as error:
                log.warning("work left to its lease", count=len(unstarted), error=type(error).__name__)
        await self._executor.drain(self._settings.shutdown_seconds)

    async def _dispatch(self) -> None:
        trial = 0
        while not self._ending:
            self._wake.clear()
            self._begin_forgotten()
            free = self._slots - self._executor.busy - len(self._handed)
            self._more = free <= 0
            if free > 0:
                try:
                    batch = await self._dispatcher.lease(free)
                    trial = 0
                except DATABASE_AWAY as error:
                    trial += 1
                    log.warning("no work leased", error=type(error).__name__)
                    await asyncio.sleep(full_jitter(trial, IDLE_SECONDS, 2.0))
                    continue
                if batch is None:  # somebody else dispatches; it takes milliseconds
                    await asyncio.sleep(_random.uniform(0.002, 0.010))
                    continue
                self._more = batch.more
                await self._hand(batch.handed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()

    async def _hand(self, batch: Sequence[HandOut]) -> None:
        if not batch:
            return
        now = time.monotonic()
        if self._link.alive:
            self._handed.update({(work.work_id, work.attempt): (work, now) for work in batch})
        for work in await self._link.hand(batch):
            self._begin(work)

    async def _arrived(self, work: HandOut) -> None:
        """From arq. Whatever becomes of arq's job, the work goes on."""
        if self._handed.pop((work.work_id, work.attempt), None) is not None and not self._ending:
            await asyncio.shield(self._executor.start(work))

    def _begin(self, work: HandOut) -> None:
        self._handed.pop((work.work_id, work.attempt), None)
        self._executor.start(work)

    def _begin_forgotten(self) -> None:
        late = time.monotonic() - FORGOTTEN_SECONDS
        for work, at in list(self._handed.values()):
            if at < late:
                self._begin(work)

    def _freed(self) -> None:
        if self._more:
            self._wake.set()

    async def _report_unknown(self) -> None:
        while True:
            await asyncio.sleep(UNKNOWN_SECONDS)
            try:
                for kind, count in (await self._dispatcher.overdue_unknown()).items():
                    log.warning("work of a kind that no running version knows", kind=kind, count=count)
            except DATABASE_AWAY as error:
                log.debug("backlog not looked at", error=type(error).__name__)
