"""A burst of webhooks at one web process: as many as 256 connections can send for half a minute, a hundred times and
more what a connection sends in a day's ordinary minute. What was acknowledged is counted again in the database; beside
it another tenant's few events, one connection, as they fare meanwhile. Processing is not part of it: no worker runs.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import click

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings

intake = bench._load("intake")
processes = bench._load("kit/processes")

KIT = Path(__file__).parent / "kit"
BURST, BESIDE = 256, 1
WARMING, OTHERS = 10**8, 10**9
"""First numbers of the events of the warming-up, and of the other tenant's; the burst's begin at 0."""
OPTIONS = [
    click.Option(["--seconds"], type=click.FloatRange(2, 300), default=30.0, show_default=True),
]


def run(say: Say, *, seconds: float) -> Figures:
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name)) as servers,
    ):
        upgrade(servers.database_url)
        settings = Settings(
            data=Path(name),
            database_url=servers.database_url,
            valkey_url=servers.valkey_url,
            port=intake._free_port(),
        )
        path = asyncio.run(intake._world(settings, (intake.ACCOUNT, intake.ANOTHER)))
        with intake._server(settings, "batched") as server:
            _load(settings, path, intake.ACCOUNT, 8, 1.0, WARMING)
            processes.forget_peak(server.pid)
            said = _both(settings, path, seconds)
            peak = processes.cost(server.pid).peak_mb
        burst, beside = said
        kept = asyncio.run(_kept(settings.database_url))
        lost = max(0, burst["answered"] + beside["answered"] - kept)
    say(f"{burst['answered']:,} acknowledged, {burst['refused']:,} refused, p99 {burst['p99_ms']:.0f} ms")
    say(f"beside it p99 {beside['p99_ms']:.0f} ms; {lost} lost; {peak:.0f} MB at the most")
    return Figures(
        figures={
            "acked": burst["answered"],
            "acked_per_s": burst["answered"] / burst["seconds"],
            "acked_lost": lost,
            "refused": burst["refused"],
            "ack_p50_ms": burst["p50_ms"],
            "ack_p99_ms": burst["p99_ms"],
            "ack_worst_ms": burst["worst_ms"],
            "beside_p99_ms": beside["p99_ms"],
            "beside_refused": beside["refused"],
            "peak_mb": peak,
        }
    )


async def _kept(url: str) -> int:
    """Events that are there, without the warming-up's."""
    connection = await asyncpg.connect(url)
    try:
        number: int = await connection.fetchval(
            "SELECT count(*) FROM inbound_events WHERE NOT (event_id::bigint >= $1 AND event_id::bigint < $2)",
            WARMING,
            OTHERS,
        )
        return number
    finally:
        await connection.close()


def _both(settings: Settings, path: str, seconds: float) -> list[dict[str, float]]:
    with (
        processes.running(
            KIT / "load.py", *_arguments(settings, path, intake.ACCOUNT, BURST, seconds, 0)
        ) as one,
        processes.running(
            KIT / "load.py", *_arguments(settings, path, intake.ANOTHER, BESIDE, seconds, OTHERS)
        ) as other,
    ):
        return [_ended(driver) for driver in (_begun(one), _begun(other))]


def _load(settings: Settings, path: str, account: str, number: int, seconds: float, first: int) -> None:
    arguments = _arguments(settings, path, account, number, seconds, first)
    with processes.running(KIT / "load.py", *arguments) as driver:
        _ended(_begun(driver))


def _arguments(
    settings: Settings, path: str, account: str, number: int, seconds: float, first: int
) -> tuple[str, ...]:
    return (
        settings.host, str(settings.port), path, settings.origin, intake.SECRET, account,
        str(number), str(seconds), str(first),
    )  # fmt: skip


def _begun(driver: Any) -> Any:
    processes.said(driver, "ready")
    driver.stdin.write("go\n")
    driver.stdin.flush()
    return driver


def _ended(driver: Any) -> dict[str, float]:
    found: dict[str, float] = json.loads(processes.said(driver, "{"))
    return found
