"""From a change at each of five simulated providers to the record here, at rest: webhooks, in milliseconds.

Everything is real but the provider: its signed delivery over TCP, the intake's commit, the worker's wake-up, the
call that fetches the record, the page's transaction. The record is looked for every 10 ms.
"""

import asyncio
import logging
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from trunkline.cli.bench import Figures, Say
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "connectors"))

CHANGES = 20
"""Of each provider's, one after the other."""


def run(say: Say) -> Figures:
    from journey_kit.told import CASES

    logging.disable(logging.INFO)
    made = Figures()
    for name in CASES:
        with (
            tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder,
            EmbeddedServers(Path(folder)) as servers,
        ):
            upgrade(servers.database_url)
            took = sorted(asyncio.run(_took(name, servers, Path(folder))))
        made.figures[f"{name}_p50_ms"] = statistics.median(took) * 1000
        made.figures[f"{name}_worst_ms"] = took[-1] * 1000
        say(
            f"{name}: median {statistics.median(took) * 1000:,.0f} ms, worst {took[-1] * 1000:,.0f} ms of {len(took)}"
        )
    return made


async def _took(name: str, servers: EmbeddedServers, folder: Path) -> list[float]:
    from journey_kit.serving import running
    from journey_kit.told import delays, telling

    with ExitStack() as stack:
        async with telling(
            name,
            database_url=servers.database_url,
            valkey_url=servers.valkey_url,
            folder=folder,
            serve=lambda *simulators, senders=(): stack.enter_context(running(simulators, senders)),
        ) as told:
            return await delays(told, CHANGES)
