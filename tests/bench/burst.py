"""A burst of webhooks of one tenant: for half a minute a hundred times what each of three others goes on sending.

One web process and one worker process, both as shipped, PostgreSQL and Valkey, a provider whose contacts have
changed each time they are read: events are thin, so that each batch of them is fetched, mapped and written. What was
acknowledged is looked up in the tables afterwards: each event once, with one attempt. The others' time is from
an event's arrival to the transaction that applied it, once before the burst and once during it.
"""

import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import click

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.service import EndpointService

engine = bench._load("kit/engine")
intake = bench._load("intake")
processes = bench._load("kit/processes")

KIT = Path(__file__).parent / "kit"
CONTACTS = 5000
ACCOUNT, OTHERS = "1000", ("1001", "1002", "1003")
CONNECTIONS, TRICKLE, TIMES = 256, 20, 100
"""The burst's; an ordinary tenant's events a second; how many times that the burst is."""
BEFORE = 10**9
"""The first number of the others' events before the burst; during it they begin at 0."""
PATIENCE = 900.0
OPTIONS = [
    click.Option(["--seconds"], type=click.FloatRange(2, 300), default=30.0, show_default=True),
    click.Option(
        ["--times"], type=click.IntRange(0), default=TIMES, show_default=True,
        help="Of an ordinary tenant's events; 0: as many as 256 connections can send.",
    ),
]  # fmt: skip


def run(say: Say, *, seconds: float, times: int) -> Figures:
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-"))
        servers = stack.enter_context(EmbeddedServers(Path(name)))
        upgrade(servers.database_url)
        settings = Settings(
            data=Path(name),
            database_url=servers.database_url,
            valkey_url=servers.valkey_url,
            port=intake._free_port(),
            sandbox_url=stack.enter_context(processes.provider(CONTACTS)),
        )
        worker = stack.enter_context(processes.running(engine.SCRIPT, env=engine.environment(settings)))
        processes.said(worker, "ready")
        path, tenants = asyncio.run(_world(settings))
        server = stack.enter_context(intake._server(settings, "woken"))
        lull = max(2.0, seconds / 3)
        before = _sent(settings, path, [(one, 1, TRICKLE, BEFORE) for one in OTHERS], lull)
        asyncio.run(_caught_up(settings.database_url))
        memory = _memory(server, worker)
        for process in (server, worker):
            processes.forget_peak(process.pid)
        loads = [(ACCOUNT, CONNECTIONS, TRICKLE * times, 0), *((one, 1, TRICKLE, 0) for one in OTHERS)]
        burst, *beside = _sent(settings, path, loads, seconds)
        ended = time.monotonic()
        asyncio.run(_caught_up(settings.database_url))
        caught_up = time.monotonic() - ended
        peak = _memory(server, worker)
        acked = sum(one["answered"] for one in [*before, burst, *beside])
        table = asyncio.run(_looked_up(settings.database_url, tenants[0]))
    say(f"{burst['answered']:,} acknowledged, {burst['refused']:,} refused, p99 {burst['p99_ms']:.0f} ms")
    say(
        f"caught up after {caught_up:.1f} s; the others {table['rest_p99_ms']:.0f} -> {table['other_p99_ms']:.0f} ms"
    )
    return Figures(
        figures={
            "acked": burst["answered"],
            "acked_per_s": burst["answered"] / burst["seconds"],
            "acked_lost": max(0, acked - table["kept"]),
            "not_once": table["not_once"],
            "refused": burst["refused"],
            "ack_p50_ms": burst["p50_ms"],
            "ack_p99_ms": burst["p99_ms"],
            "ack_worst_ms": burst["worst_ms"],
            "beside_ack_p99_ms": max(one["p99_ms"] for one in beside),
            "beside_refused": sum(one["refused"] for one in beside),
            "caught_up_s": caught_up,
            "rest_p50_ms": table["rest_p50_ms"],
            "rest_p99_ms": table["rest_p99_ms"],
            "other_p50_ms": table["other_p50_ms"],
            "other_p99_ms": table["other_p99_ms"],
            "web_before_mb": memory[0],
            "web_peak_mb": peak[0],
            "worker_before_mb": memory[1],
            "worker_peak_mb": peak[1],
            "peak_mb": sum(peak),
        },
        ratios={"other_vs_rest": table["other_p99_ms"] / table["rest_p99_ms"]},
    )


async def _world(settings: Settings) -> tuple[str, list[UUID]]:
    """Each tenant with its contacts read; the path of the app's address, and the tenants, the burst's first."""
    async with engine.Tenants(settings) as made:
        tenants = [(await made.add(account=one))[0] for one in (ACCOUNT, *OTHERS)]
        await made.finished(tenants)
        here = made._services
        service = EndpointService(settings, here.vault, Connectors([engine.manifest()]))
        async with here.db.tenant(OPERATOR) as session:
            view = await service.of_client(session, OPERATOR, "hubspot")
    return view.url.removeprefix(settings.origin), tenants


def _sent(
    settings: Settings, path: str, loads: list[tuple[str, int, int, int]], seconds: float
) -> list[dict[str, float]]:
    """What became of (account, connections, events a second, first number), all at once."""
    with ExitStack() as stack:
        drivers = []
        for account, connections, rate, first in loads:
            arguments = (
                settings.host, str(settings.port), path, settings.origin, engine.SECRET, account,
                str(connections), str(seconds), str(first), str(rate),
            )  # fmt: skip
            drivers.append(stack.enter_context(processes.running(KIT / "load.py", *arguments)))
        for driver in drivers:
            processes.said(driver, "ready")
        for driver in drivers:
            assert driver.stdin is not None
            driver.stdin.write("go\n")
            driver.stdin.flush()
        return [json.loads(processes.said(driver, "{")) for driver in drivers]


def _memory(server: Any, worker: Any) -> tuple[float, float]:
    """The most so far of the web process, and of the worker with its children, in MB."""
    worked = processes.cost(worker.pid)
    return processes.cost(server.pid).peak_mb, worked.peak_mb + worked.children_mb


async def _caught_up(url: str) -> None:
    connection = await asyncpg.connect(url)
    queued = "SELECT EXISTS (SELECT FROM inbound_events WHERE state = 'queued')"
    try:
        async with asyncio.timeout(PATIENCE):
            while await connection.fetchval(queued):  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def _looked_up(url: str, bursting: UUID) -> dict[str, Any]:
    """Events that are there; those not applied by exactly one attempt; how long the other tenants' took."""
    connection = await asyncpg.connect(url)
    try:
        counts = await connection.fetchrow(
            """SELECT count(*) AS kept, count(*) FILTER (
                      WHERE e.state NOT IN ('applied', 'unchanged') OR e.attempts <> 1 OR a.number IS DISTINCT FROM 1
                   ) AS not_once
               FROM inbound_events e LEFT JOIN (
                   SELECT tenant_id, event_id, count(*) AS number FROM inbound_attempts
                   GROUP BY tenant_id, event_id) a ON a.tenant_id = e.tenant_id AND a.event_id = e.id"""
        )
        assert counts is not None
        found: dict[str, Any] = dict(counts)
        for name, after in (("rest", True), ("other", False)):
            took = await connection.fetchrow(
                """SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
                          percentile_cont(0.99) WITHIN GROUP (ORDER BY took) AS p99
                   FROM (SELECT 1000 * extract(epoch FROM done_at - received_at)::float AS took
                         FROM inbound_events WHERE tenant_id <> $1 AND (event_id::bigint >= $2) = $3) x""",
                bursting, BEFORE, after,
            )  # fmt: skip
            assert took is not None
            found |= {f"{name}_p50_ms": took["p50"], f"{name}_p99_ms": took["p99"]}
        return found
    finally:
        await connection.close()
