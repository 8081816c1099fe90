"""How long a small tenant waits while another has 100,000 items due, beside an idle machine.

The worker is as shipped, with its caps and ten slots; an item takes 5 ms. `small_tenant_p99_s` is from due (the
commit that asked) to start, over three small tenants; `vs_idle` compares it with the same before the flood.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings

backlog = bench._load("kit/backlog")
engine = bench._load("kit/engine")
processes = bench._load("kit/processes")

HERE = Path(__file__).parent / "kit"
OPTIONS = [click.Option(["--items"], type=click.IntRange(100), default=100_000, show_default=True)]
SAMPLES = 400
PAUSE = 0.05
ITEM_MS = 5


def run(say: Say, *, items: int, **_: Any) -> Figures:
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name), unsafe=True) as servers,
    ):
        upgrade(servers.database_url)
        settings = Settings(data=Path(name), database_url=servers.database_url, valkey_url=servers.valkey_url)
        env = engine.environment(settings)
        with processes.running(HERE / "noop.py", str(ITEM_MS), "0", env=env) as worker:
            processes.said(worker, "ready")
            return asyncio.run(_measure(settings, worker, items, say))


async def _measure(settings: Settings, worker: Any, items: int, say: Say) -> Figures:
    await backlog.starts(settings, worker, 20, pause=0.05)  # connections are open, statements prepared
    idle = await backlog.starts(settings, worker, SAMPLES, pause=PAUSE, tenants=3)
    say(f"idle: p50 {backlog.quantile(idle, 0.5):.1f} ms, p99 {backlog.quantile(idle, 0.99):.1f} ms")
    await backlog.fill(settings.database_url, [uuid4()], items)
    flooded = await backlog.starts(settings, worker, SAMPLES, pause=PAUSE, tenants=3)
    say(f"flooded: p50 {backlog.quantile(flooded, 0.5):.1f} ms, p99 {backlog.quantile(flooded, 0.99):.1f} ms")
    p99, before = backlog.quantile(flooded, 0.99), backlog.quantile(idle, 0.99)
    return Figures(
        figures={
            "small_tenant_p99_s": p99 / 1000,
            "small_tenant_p50_ms": backlog.quantile(flooded, 0.5),
            "idle_p99_s": before / 1000,
            "idle_p50_ms": backlog.quantile(idle, 0.5),
        },
        ratios={"vs_idle": p99 / before},
    )
