"""A worker process for tests: `python worker_process.py`. Each handler writes a line of what it does."""

import asyncio
import os
from pathlib import Path

from trunkline.kernel.db import Database
from trunkline.kernel.logs import configure
from trunkline.kernel.settings import Settings
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Done, HandBack, Lease, Outcome
from trunkline.work.worker import run_worker

JOURNAL = Path(os.environ["TEST_JOURNAL"])


def tell(word: str, lease: Lease) -> None:
    with JOURNAL.open("a") as journal:
        journal.write(f"{word} {lease.work_id} {lease.attempt} {os.getpid()}\n")


async def note(lease: Lease) -> Outcome:
    tell("begin", lease)
    await asyncio.sleep(float(lease.args.get("seconds", 0)))
    tell("end", lease)
    return Done()


async def main() -> None:
    settings = Settings.load()
    configure(settings, "worker")
    db = Database(settings.database_url, pool_size=12)

    async def pages(lease: Lease) -> Outcome:
        """Ten pages, each fenced; only what is committed is told as a page."""
        for _ in range(int(lease.args.get("pages", 10)) - 0):
            if lease.stopping.is_set():
                tell("handback", lease)
                return HandBack()
            try:
                async with db.tenant(lease.tenant_id) as session:
                    await lease.fence(session)
            except LeaseLostError:
                tell("refused", lease)
                raise
            tell("page", lease)
            await asyncio.sleep(0.1)
        tell("end", lease)
        return Done()

    async def stubborn(lease: Lease) -> Outcome:
        tell("begin", lease)
        await asyncio.Event().wait()
        return Done()

    await run_worker(settings, db, {"note": note, "pages": pages, "stubborn": stubborn})
    await db.dispose()


if __name__ == "__main__":
    asyncio.run(main())
