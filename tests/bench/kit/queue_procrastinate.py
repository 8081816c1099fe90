"""procrastinate on PostgreSQL: jobs that do nothing, waiting when the worker begins. Arguments: database, Valkey
(unused), items."""

import asyncio
import sys
import time

import procrastinate
from measured import psycopg_url


async def main(url: str, items: int) -> float:
    count, began = 0, 0.0
    done = asyncio.Event()
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=psycopg_url(url)))

    @app.task(name="noop")
    async def noop() -> None:
        nonlocal count, began
        began = began or time.monotonic()
        count += 1
        if count == items:
            done.set()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, items, 1000):
            await noop.batch_defer_async(*({} for _ in range(start, min(start + 1000, items))))
        running = asyncio.create_task(
            app.run_worker_async(concurrency=20, delete_jobs="always", install_signal_handlers=False)
        )
        await done.wait()
        seconds = time.monotonic() - began
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return seconds


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(main(sys.argv[1], int(sys.argv[3])))}\n")
