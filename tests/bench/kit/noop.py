"""A worker as shipped whose work does nothing, or sleeps; tells when each marked item began. A script.

Arguments: milliseconds that an item takes, and how many items there are before it says so and ends (0: never).
Lines: `ready`; `<key> <monotonic>` for keys that begin with `!`; `done <seconds of work>`.
"""

import asyncio
import signal
import sys
import time

import structlog
import uvloop

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.work.lease import Done, Lease, Outcome
from trunkline.work.worker import run_worker


async def main(milliseconds: float, number: int) -> None:
    settings = Settings.load()
    db = Database(settings.database_url, application="bench")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    began, count = 0.0, 0

    async def handle(lease: Lease) -> Outcome:
        nonlocal began, count
        if lease.key.startswith("!"):
            say(f"{lease.key} {time.monotonic()}")
        began = began or time.monotonic()
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)
        count += 1
        if count == number:
            say(f"done {time.monotonic() - began}")
        return Done()

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    say("ready")
    await run_worker(settings, db, {"bench": handle}, stop=stop)
    await db.dispose()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
