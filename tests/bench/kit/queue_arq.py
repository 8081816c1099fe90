"""Plain arq: jobs that do nothing, waiting when the worker begins. Arguments: database (unused), Valkey, items."""

import asyncio
import sys
import time
from typing import Any

import uvloop
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool


async def main(valkey: str, items: int) -> float:
    count, began = 0, 0.0
    done = asyncio.Event()

    async def noop(_context: dict[Any, Any]) -> None:
        nonlocal count, began
        began = began or time.monotonic()
        count += 1
        if count == items:
            done.set()

    pool = ArqRedis(ConnectionPool.from_url(valkey))
    for _ in range(items):
        await pool.enqueue_job("noop")
    worker = Worker(
        [func(noop, name="noop", keep_result=0)],
        redis_pool=pool, handle_signals=False, max_jobs=100, poll_delay=0.01, keep_result=0, log_results=False,
    )  # fmt: skip
    running = asyncio.create_task(worker.main())
    await done.wait()
    seconds = time.monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds


if __name__ == "__main__":
    sys.stdout.write(f"{uvloop.run(main(sys.argv[2], int(sys.argv[3])))}\n")
