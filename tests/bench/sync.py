"""Sync 100,000 contacts through the whole engine, beside dlt, a script written by hand, and the limit.

Each contender reads the same provider (a process of its own, answers made beforehand) into the same PostgreSQL,
in a process of its own: a first load, then everything again with nothing changed. The engine also fetches what
one in a hundred changed. `*_per_s` are records a second; `*_cpu_s` count the process and its children, not
PostgreSQL; `*_mb` is the process' peak. Once, not at each repetition: a million records for the memory, twenty
tenants with one worker and with two, and ten thousand connections at rest.
"""

import asyncio
import contextlib
import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import click
import msgspec

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings

engine = bench._load("kit/engine")
processes = bench._load("kit/processes")

RUNS = 5
OPTIONS = [
    click.Option(["--records"], type=click.IntRange(1000), default=100_000, show_default=True),
    click.Option(["--peers/--no-peers"], default=True, show_default=True, help="Measure the others too."),
    click.Option(
        ["--memory/--no-memory"], default=True, show_default=True, help="Ten times the records, once."
    ),
    click.Option(["--durable"], is_flag=True, help="PostgreSQL waits for the disk, for everybody."),
    click.Option(
        ["--tenants/--no-tenants"], default=True, show_default=True, help="Twenty tenants, and 10,000."
    ),
]
HERE = Path(__file__).parent / "kit"
PEERS = ("dlt", "hand", "limit")
NEEDS = {"dlt": "dlt", "hand": "httpx", "limit": "msgspec"}
TENANTS = 20
IDLE = 10_000
IDLE_SECONDS = 20


class Place:
    """Servers for one repetition, everything new."""

    def __init__(self, folder: Path, servers: EmbeddedServers, provider: str) -> None:
        self.provider = provider
        self.servers = servers
        self.settings = Settings(
            data=folder,
            sandbox_url=provider,
            database_url=servers.database_url,
            valkey_url=servers.valkey_url,
        )

    async def peers_database(self, name: str) -> str:
        own = await asyncpg.connect(self.servers.postgres.url_of("postgres"))
        await own.execute(f"create database {name}")
        await own.close()
        return self.servers.postgres.url_of(name)


def run(say: Say, *, records: int, peers: bool, durable: bool, **_: bool) -> Figures:
    made = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name), unsafe=not durable) as servers,
    ):
        upgrade(servers.database_url)
        with processes.provider(records) as address:
            place = Place(Path(name), servers, address)
            made.figures |= asyncio.run(_engine(place, records, say))
        with processes.provider(records) as address:
            place = Place(Path(name), servers, address)
            for peer in PEERS if peers else ():
                made.figures |= _peer(peer, place, records, say)
    for peer, phase in [
        ("dlt", "first"),
        ("hand", "first"),
        ("limit", "first"),
        ("dlt", "unchanged"),
        ("limit", "unchanged"),
    ]:
        if f"{peer}_{phase}_per_s" in made.figures:
            ours = made.figures[f"{phase}_per_s"]
            made.ratios[f"{phase}_vs_{peer}"] = ours / made.figures[f"{peer}_{phase}_per_s"]
    return made


async def _engine(place: Place, records: int, say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with engine.Tenants(place.settings) as tenants:
        with processes.running(engine.SCRIPT, env=engine.environment(place.settings)) as worker:
            processes.said(worker, "ready")
            tenant_id, connection_id = await tenants.add()
            figures |= await _phase("first", worker.pid, tenants, [tenant_id], say)
            if figures["first_records"] != records:
                raise RuntimeError("the first load is not whole")
            del figures["first_records"]
            await tenants.ask(tenant_id, connection_id, "full")
            figures |= await _phase("unchanged", worker.pid, tenants, [tenant_id], say)
            del figures["unchanged_records"]
            await asyncio.to_thread(processes.touch, place.provider)
            await tenants.ask(tenant_id, connection_id)
            figures |= await _phase("changed", worker.pid, tenants, [tenant_id], say)
            figures["peak_mb"] = processes.cost(worker.pid).peak_mb
            figures["evaluator_peak_mb"] = processes.cost(worker.pid).children_mb
    return figures


async def _phase(name: str, pid: int, tenants: Any, ids: list[Any], say: Say) -> dict[str, float]:
    before = processes.cost(pid)
    began, ended, counts = await tenants.finished(ids)
    after = processes.cost(pid)
    seconds = (ended - began).total_seconds()
    say(f"{name}: {counts['fetched']:,} records in {seconds:.2f} s ({counts})")
    return {
        f"{name}_per_s": counts["fetched"] / seconds,
        f"{name}_s": seconds,
        f"{name}_cpu_s": after.cpu - before.cpu,
        f"{name}_records": counts["fetched"],
    }


def _peer(peer: str, place: Place, records: int, say: Say) -> dict[str, float]:
    if importlib.util.find_spec(NEEDS[peer]) is None:
        say(f"{peer} is not installed, so it is not measured: run `make bench` once.")
        return {}
    url = asyncio.run(place.peers_database(f"peer_{peer}"))
    figures: dict[str, float] = {}
    for phase in ("first", "unchanged"):
        with processes.running(
            HERE / f"peer_{peer}.py", place.provider, url, str(place.settings.data)
        ) as process:
            out, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{peer} failed; its error stands above")
        found = msgspec.json.decode(out.splitlines()[-1])
        if found["records"] != records:
            raise RuntimeError(f"{peer} holds {found['records']} records, not {records}")
        say(f"{peer}, {phase}: {records:,} records in {found['seconds']:.2f} s")
        figures |= {
            f"{peer}_{phase}_per_s": records / found["seconds"],
            f"{peer}_{phase}_cpu_s": found["cpu"],
            f"{peer}_{phase}_peak_mb": found["peak_mb"],
        }
    return figures


def once(say: Say, whole: Figures, *, records: int, memory: bool, tenants: bool, **_: Any) -> Figures:
    """What takes long."""
    made = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name), unsafe=True) as servers,
    ):
        upgrade(servers.database_url)
        if memory:
            with processes.provider(records * 10) as address:
                place = Place(Path(name), servers, address)
                peak = asyncio.run(_large(place, records * 10, say))
            made.figures[f"peak_mb_{records * 10}"] = peak
            made.ratios["memory_1m_vs_100k"] = peak / whole.figures["peak_mb"]
        if tenants:
            with processes.provider(max(1000, records // TENANTS)) as address:
                place = Place(Path(name), servers, address)
                for workers in (1, 2):
                    made.figures[f"tenants_{workers}_workers_per_s"] = asyncio.run(_many(place, workers, say))
                made.figures["idle_share_of_a_core"] = asyncio.run(_idle(place, say))
            one, two = made.figures["tenants_1_workers_per_s"], made.figures["tenants_2_workers_per_s"]
            made.ratios["two_workers_vs_one"] = two / one
    return made


async def _large(place: Place, records: int, say: Say) -> float:
    """The peak of a worker that reads so many, in MB."""
    async with engine.Tenants(place.settings) as tenants:
        with processes.running(engine.SCRIPT, env=engine.environment(place.settings)) as worker:
            processes.said(worker, "ready")
            tenant_id, _ = await tenants.add()
            found = await _phase("large", worker.pid, tenants, [tenant_id], say)
            if found["large_records"] != records:
                raise RuntimeError("the large load is not whole")
            peak: float = processes.cost(worker.pid).peak_mb
            return peak


async def _many(place: Place, workers: int, say: Say) -> float:
    """Records a second of twenty tenants' first loads, with so many workers."""
    async with engine.Tenants(place.settings) as tenants:
        ids = [(await tenants.add())[0] for _ in range(TENANTS)]
        with contextlib.ExitStack() as stack:
            env = engine.environment(place.settings)
            for worker in [
                stack.enter_context(processes.running(engine.SCRIPT, env=env)) for _ in range(workers)
            ]:
                processes.said(worker, "ready")
            began, ended, counts = await tenants.finished(ids)
    rate: float = counts["fetched"] / (ended - began).total_seconds()
    say(f"{TENANTS} tenants, {workers} workers: {rate:,.0f} records a second")
    return rate


async def _idle(place: Place, say: Say) -> float:
    """CPU seconds a second of a worker and its evaluator, while ten thousand connections wait for their hour."""
    async with engine.Tenants(place.settings) as tenants:
        await tenants.sleepers(IDLE)
        with processes.running(engine.SCRIPT, env=engine.environment(place.settings)) as worker:
            processes.said(worker, "ready")
            await asyncio.sleep(5)
            before, began = processes.cost(worker.pid).cpu, time.monotonic()
            await asyncio.sleep(IDLE_SECONDS)
            share: float = (processes.cost(worker.pid).cpu - before) / (time.monotonic() - began)
    say(f"{IDLE:,} connections at rest: {share:.1%} of a core")
    return share
