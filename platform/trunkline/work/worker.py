"""One worker process: dispatcher, executor, heartbeats and arq side by side."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence

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
"""What has not begun by then was forgotten by Valkey, and is begun without it; or all slots are busy for
longer than it seemed, and others may have it."""
AHEAD_SECONDS = 0.05
"""Beyond its free slots a process leases what it begins within so long, at its pace of late: work that takes
milliseconds is leased by the dozen, a sync one by one."""
MOST_AHEAD = 100
TOGETHER_SECONDS = 0.005
"""What ends within so long is made up for in one round of leasing, unless all has ended."""
UNKNOWN_SECONDS = 60.0
LEAVE_SECONDS = 1.0
CANCEL_ROUNDS = 5
GARBAGE = (50_000, 20, 50)
"""Python's thresholds of collection. A page of records is thousands of objects, none of them in a cycle; the
usual 700 would look them through again and again, for a quarter of a page's CPU time."""

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
    slots: int | None = None,
    known: Sequence[str] = (),
) -> None:
    """Work until SIGTERM or SIGINT (or `stop`, if given: then signals are left alone), hand back, return.

    `handlers`: by kind of work; only these kinds are leased. `valkey_url` defaults to the setting's. While
    Valkey is away, work is begun in this process without arq. `slots`: how many at a time, by default the
    setting's; `known`: kinds that another lane of this process sees to.
    """
    logging.getLogger("arq").setLevel(logging.CRITICAL)  # what matters of a job is logged by the executor
    gc.set_threshold(*GARBAGE)
    process = _Process(
        settings,
        db,
        handlers,
        valkey_url or settings.valkey_url,
        caps or Caps(),
        slots or settings.worker_jobs,
        known,
    )
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


class _Pace:
    """How much may be leased beyond the free slots."""

    def __init__(self) -> None:
        self.ended = 0
        self.ahead = 0
        self._since = time.monotonic()

    def measure(self) -> None:
        elapsed = time.monotonic() - self._since
        if elapsed >= AHEAD_SECONDS:
            self.ahead = min(MOST_AHEAD, int(self.ended * AHEAD_SECONDS / elapsed))
            self.ended, self._since = 0, time.monotonic()


class _Process:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        handlers: Mapping[str, Handler],
        valkey_url: str,
        caps: Caps,
        slots: int,
        known: Sequence[str],
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._known = known
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._wake = asyncio.Event()
        self._more = False
        self._ending = False
        self._soon: asyncio.TimerHandle | None = None
        self._handed: deque[tuple[HandOut, float]] = deque()
        self._drains: set[asyncio.Task[None]] = set()
        self._pace = _Pace()
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
            await _end([dispatching, *others, *self._drains])
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
        unstarted = [work for work, _ in self._handed]
        self._handed.clear()
        await self._take_back(unstarted)
        await self._executor.drain(self._settings.shutdown_seconds)

    async def _take_back(self, unstarted: Sequence[HandOut]) -> None:
        if unstarted:
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._dispatcher.take_back(unstarted)
            except DATABASE_AWAY as error:
                log.warning("work left to its lease", count=len(unstarted), error=type(error).__name__)

    async def _dispatch(self) -> None:
        trial = 0
        while not self._ending:
            self._wake.clear()
            await self._see_to_late()
            self._pace.measure()
            free = self._room()
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

    def _room(self) -> int:
        return self._slots + self._pace.ahead - self._executor.busy - len(self._handed)

    async def _hand(self, batch: Sequence[HandOut]) -> None:
        now = time.monotonic()
        self._handed.extend((work, now) for work in batch)
        if batch and len(self._drains) < self._slots and not await self._link.ask():
            self._begin()

    async def _arrived(self) -> None:
        """From arq: the slots begin. Whatever becomes of arq's job, the work goes on."""
        begun = self._begin()
        if begun:
            await asyncio.shield(asyncio.gather(*begun))

    def _begin(self) -> "list[asyncio.Task[None]]":
        """As many slots as there is work for."""
        begun = [
            asyncio.create_task(self._drain(), name="slot")
            for _ in range(min(len(self._handed), self._slots - len(self._drains)))
        ]
        for task in begun:
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)
        return begun

    async def _drain(self) -> None:
        """What was handed out, one after the other, until there is no more."""
        while self._handed and not self._ending:
            await self._executor.run(self._handed.popleft()[0])
        if (mine := asyncio.current_task()) is not None:
            self._drains.discard(mine)  # at once: what is handed out from now on needs another

    async def _see_to_late(self) -> None:
        late = time.monotonic() - FORGOTTEN_SECONDS
        if not self._handed or self._handed[0][1] > late:
            return
        self._begin()
        await asyncio.sleep(0)  # they take theirs
        unstarted = []
        while self._handed and self._handed[0][1] <= late:
            unstarted.append(self._handed.popleft()[0])
        await self._take_back(unstarted)

    def _freed(self) -> None:
        self._pace.ended += 1
        if not self._more or self._room() <= self._pace.ahead // 2 or self._soon is not None:
            return
        if self._executor.busy or self._handed:
            self._soon = asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._refill)
        else:
            self._refill()

    def _refill(self) -> None:
        self._soon = None
        self._wake.set()

    async def _report_unknown(self) -> None:
        while True:
            await asyncio.sleep(UNKNOWN_SECONDS)
            try:
                for kind, count in (await self._dispatcher.overdue_unknown(self._known)).items():
                    log.warning("work of a kind that no running version knows", kind=kind, count=count)
            except DATABASE_AWAY as error:
                log.debug("backlog not looked at", error=type(error).__name__)
