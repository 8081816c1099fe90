"""From commit to start at rest, items a second beside arq, saq and procrastinate, and what dispatching costs.

`start_p50_ms`: from the commit that asks for work to its beginning, in a worker with nothing else to do.
`*_per_s`: no-op items that wait when the worker begins, ours spread over fifty tenants. Ours and procrastinate's
are rows of PostgreSQL, arq's and saq's live in Valkey; procrastinate, the slowest by far, is given a tenth of the
items. `lease_ms_N`: one round of the dispatcher with a slot to
fill, with a hundred items due of each of fifty tenants, and N tenants at rest, whose two items sleep.
`lease_due_ms_N`: the same with two items due of each of N tenants, and nobody at rest.
"""  # noqa: A005 - the name of the command; nobody imports it

import asyncio
import importlib.util
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import click

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps

backlog = bench._load("kit/backlog")
engine = bench._load("kit/engine")
processes = bench._load("kit/processes")

HERE = Path(__file__).parent / "kit"
OPTIONS = [
    click.Option(["--items"], type=click.IntRange(100), default=10_000, show_default=True),
    click.Option(["--peers/--no-peers"], default=True, show_default=True, help="Measure the others too."),
]
PEERS = ("arq", "saq", "procrastinate")
FEWER = {"procrastinate": 10}
"""A tenth of the items: its query slows down with the length of its queue, so this is its better side."""
SAMPLES = 200
TENANTS = 50
SIZES = (100, 1_000, 10_000)
"""Of tenants, at rest or with work due."""
DUE = 50
ROUNDS = 30


def run(say: Say, *, items: int, peers: bool) -> Figures:
    made = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name), unsafe=True) as servers,
    ):
        upgrade(servers.database_url)
        settings = Settings(data=Path(name), database_url=servers.database_url, valkey_url=servers.valkey_url)
        env = engine.environment(settings)
        with processes.running(HERE / "noop.py", "0", "0", env=env) as worker:
            processes.said(worker, "ready")
            made.figures |= asyncio.run(_start(settings, worker, say))
        asyncio.run(backlog.fill(settings.database_url, [uuid4() for _ in range(TENANTS)], items // TENANTS))
        with processes.running(HERE / "noop.py", "0", str(items // TENANTS * TENANTS), env=env) as worker:
            processes.said(worker, "ready")
            seconds = float(processes.said(worker, "done").split()[1])
        made.figures["items_per_s"] = items / seconds
        say(f"{items:,} items in {seconds:.2f} s")
        made.figures |= asyncio.run(_dispatching(settings, say))
        for peer in PEERS if peers else ():
            found = _peer(peer, servers, items, say)
            if found is not None:
                made.figures[f"{peer}_per_s"] = found
                made.ratios[f"items_vs_{peer}"] = made.figures["items_per_s"] / found
    return made


async def _start(settings: Settings, worker: Any, say: Say) -> dict[str, float]:
    await backlog.starts(settings, worker, 20, pause=0.05)  # connections are open, statements prepared
    found = await backlog.starts(settings, worker, SAMPLES, pause=0.05)
    p50, p99 = backlog.quantile(found, 0.5), backlog.quantile(found, 0.99)
    say(f"from commit to start: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return {"start_p50_ms": p50, "start_p99_ms": p99}


async def _dispatching(settings: Settings, say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    db = Database(settings.database_url, application="bench")
    try:
        await backlog.fill(settings.database_url, [uuid4() for _ in range(DUE)], 100)
        async for number in _more(settings, due_in=3600):
            figures[f"lease_ms_{number}"] = took = await _round(db)
            say(f"a round of dispatching beside {number:,} tenants at rest: {took:.2f} ms")
        await backlog.clear(settings.database_url)
        async for number in _more(settings, due_in=0):
            figures[f"lease_due_ms_{number}"] = took = await _round(db)
            say(f"a round of dispatching with work due of {number:,} tenants: {took:.2f} ms")
    finally:
        await db.dispose()
    return figures


async def _more(settings: Settings, *, due_in: float) -> AsyncIterator[int]:
    """Tenants with two items each, more and more of them."""
    there = 0
    for number in SIZES:
        await backlog.fill(settings.database_url, [uuid4() for _ in range(number - there)], 2, due_in=due_in)
        there = number
        yield number


async def _round(db: Database) -> float:
    dispatcher = Dispatcher(db, ["bench"], lease_seconds=15, caps=Caps())
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await dispatcher.lease(1)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def _peer(peer: str, servers: EmbeddedServers, items: int, say: Say) -> float | None:
    if importlib.util.find_spec(peer) is None:
        say(f"{peer} is not installed, so it is not measured: run `make bench` once.")
        return None
    asyncio.run(_database(servers, f"peer_{peer}"))
    items //= FEWER.get(peer, 1)
    valkey = f"unix://{servers.valkey.socket}?db={PEERS.index(peer) + 1}"
    url = servers.postgres.url_of(f"peer_{peer}")
    with processes.running(HERE / f"queue_{peer}.py", url, valkey, str(items)) as process:
        out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{peer} failed; its error stands above")
    seconds = float(out.splitlines()[-1])
    fewer = f" (a {FEWER[peer]}th of what the others are given)" if peer in FEWER else ""
    say(f"{peer}: {items:,} items in {seconds:.2f} s{fewer}")
    return items / seconds


async def _database(servers: EmbeddedServers, name: str) -> None:
    owner = await asyncpg.connect(servers.postgres.url_of("postgres"))
    await owner.execute(f"create database {name}")
    await owner.close()
