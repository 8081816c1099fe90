"""arq behind a small interface: calls asked for go out through Valkey and come back, while that is there.

A job of arq's names no work: it is a wake-up that runs, in one of this process' slots, what was leased, until
there is no more. Each worker process has a queue of its own: so it is given no kind of work that its version
does not know. arq ends when Valkey dies; it is begun again here, with a fresh queue, as often as it takes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import structlog
from arq.connections import ArqRedis
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from trunkline.resilience.backoff import full_jitter
from trunkline.work.queue import CHANNEL

POLL_SECONDS = 0.5
"""arq looks at its queue so often by itself; whatever this process puts there it is told of."""
JOB_SECONDS = 86_400
"""arq's time limit, meant never to be met: leases govern, and a handler outlives it anyway."""
QUEUE_SECONDS = 3_600
"""Valkey forgets the queue of a process that died after so long."""
JOB_EXPIRY_MS = 600_000

log = structlog.get_logger(__name__)

_VALKEY_AWAY = (RedisError, OSError)


async def _close(client: ArqRedis) -> None:
    """Its errors must not take the place of the cancellation that led here."""
    with contextlib.suppress(*_VALKEY_AWAY):
        await client.aclose(close_connection_pool=True)


class _Prompt(Worker):
    """arq's worker looking at its queue when it is told to, instead of a hundred times a second.

    Its own loop is a poll and a sleep; hence the private method, and a version of arq that is bounded.
    """

    def __init__(self, *args: Any, asked: asyncio.Event, **options: Any) -> None:
        super().__init__(*args, **options)
        self._asked = asked

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        while True:
            self._asked.clear()
            await self._poll_iteration()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._asked.wait()


class ArqLink:
    """Calls `run` as often as it is asked to, and `woken` when a hint says that something may be due."""

    def __init__(
        self,
        url: str,
        *,
        holder: str,
        slots: int,
        run: Callable[[], Awaitable[None]],
        woken: Callable[[], None],
    ) -> None:
        self._url = url
        self._holder = holder
        self._slots = slots
        self._run = run
        self._woken = woken
        self._session = 0
        self._pool: ArqRedis | None = None
        self._queue = ""
        self._jobs = 0
        self._asked = asyncio.Event()

    @property
    def alive(self) -> bool:
        return self._pool is not None

    async def ask(self) -> bool:
        """Have arq make one call; False if it may not have been told."""
        pool = self._pool
        if pool is None:
            return False
        self._jobs += 1
        try:
            await pool.enqueue_job(
                "run_work", _job_id=f"work:{self._holder}:{self._jobs}", _queue_name=self._queue
            )
        except _VALKEY_AWAY:
            return False
        self._asked.set()
        with contextlib.suppress(*_VALKEY_AWAY):
            await pool.expire(self._queue, QUEUE_SECONDS)
        return True

    async def supervise(self) -> None:
        """For ever: arq's worker, begun again with backoff whenever it ends."""
        trial = 0
        while True:
            trial += 1
            began = asyncio.get_running_loop().time()
            try:
                await self._work()
            except _VALKEY_AWAY as error:
                if trial == 1:
                    log.warning("Valkey is away: work goes on without it", error=type(error).__name__)
            except Exception:
                log.exception("arq ended")
            if asyncio.get_running_loop().time() - began > 10:
                trial = 1
            await asyncio.sleep(full_jitter(trial, 0.5, 3.0))

    async def listen(self) -> None:
        """For ever: pass on hints."""
        trial = 0
        while True:
            trial += 1
            client = ArqRedis(self._connections())
            try:
                async with client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    trial = 0
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=30.0):
                            self._woken()
            except _VALKEY_AWAY:
                await asyncio.sleep(full_jitter(trial, 0.5, 3.0))
            except Exception:
                log.exception("listening for hints ended")
                await asyncio.sleep(1.0)
            finally:
                await _close(client)

    def _connections(self) -> ConnectionPool:
        return ConnectionPool.from_url(self._url, socket_timeout=5.0, socket_connect_timeout=2.0)

    async def _work(self) -> None:
        """One life of arq's worker; raises when Valkey dies."""
        self._session += 1
        self._queue = f"trunkline:work:{self._holder}:{self._session}"
        pool = ArqRedis(
            self._connections(),
            job_serializer=msgspec.msgpack.encode,
            job_deserializer=msgspec.msgpack.decode,
            default_queue_name=self._queue,
            expires_extra_ms=JOB_EXPIRY_MS,
        )
        worker: Worker | None = None
        try:
            await pool.ping()
            worker = _Prompt(
                [
                    func(
                        cast("WorkerCoroutine", self._run_work),
                        name="run_work",
                        keep_result=0,
                        timeout=JOB_SECONDS,
                        max_tries=1,
                    )
                ],
                queue_name=self._queue,
                redis_pool=pool,
                handle_signals=False,
                max_jobs=2 * self._slots,  # one that has ended is counted until Valkey knows
                job_timeout=JOB_SECONDS,
                keep_result=0,
                asked=self._asked,
                max_tries=1,
                retry_jobs=False,
                log_results=False,
                job_serializer=msgspec.msgpack.encode,
                job_deserializer=msgspec.msgpack.decode,
                expires_extra_ms=JOB_EXPIRY_MS,
            )
            self._pool = pool
            if self._session > 1:
                log.info("Valkey is back")
            await worker.main()
        finally:
            self._pool = None
            if worker is not None:
                await self._leave(worker, pool)
            await _close(pool)

    async def _leave(self, worker: Worker, pool: ArqRedis) -> None:
        """Not Worker.close, which waits for jobs: ours live on in tasks of their own."""
        for task in worker.tasks.values():
            task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
        with contextlib.suppress(*_VALKEY_AWAY):
            await pool.delete(self._queue, worker.health_check_key)

    async def _run_work(self, _context: dict[Any, Any], *_args: Any, **_options: Any) -> None:
        await self._run()
