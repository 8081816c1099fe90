"""saq on Valkey: jobs that do nothing, waiting when the worker begins. Arguments: database (unused), Valkey, items."""

import asyncio
import sys
import time
from typing import Any

import uvloop
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue


async def main(valkey: str, items: int) -> float:
    count, began = 0, 0.0
    done = asyncio.Event()

    async def noop(_context: Any) -> None:
        nonlocal count, began
        began = began or time.monotonic()
        count += 1
        if count == items:
            done.set()

    queue = RedisQueue(Redis.from_url(valkey))
    await queue.connect()
    for _ in range(items):
        await queue.enqueue("noop", ttl=-1)
    worker = Worker(queue, functions=[("noop", noop)], concurrency=100)
    running = asyncio.create_task(worker.start())
    await done.wait()
    seconds = time.monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds


if __name__ == "__main__":
    sys.stdout.write(f"{uvloop.run(main(sys.argv[2], int(sys.argv[3])))}\n")
