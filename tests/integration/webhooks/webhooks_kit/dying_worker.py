"""A worker as main.py makes it, of inbound events alone; killed (-9) with a batch written and not committed. A script.

Arguments: `dies` or `lives`. Settings come from the environment; ends on SIGTERM.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import structlog

from trunkline.kernel.settings import Settings
from trunkline.main import connectors
from trunkline.runs import changelog
from trunkline.services import build_services
from trunkline.webhooks.repository import PROCESS
from trunkline.work.worker import run_worker


async def main(mode: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = Settings.load()
    services = build_services(settings, connectors(), application="worker")
    if mode == "dies":
        put = changelog.put

        async def last(*given: Any, **named: Any) -> bool:
            await put(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        changelog.put = last  # type: ignore[assignment]
    await services.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        await run_worker(settings, services.db, {PROCESS: services.handlers()[PROCESS]})
    finally:
        await services.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
