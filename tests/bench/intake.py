"""Webhooks taken in a second: proven, deduplicated, routed, sealed and durably committed, over 64 connections.

Beside it, on the same PostgreSQL with `synchronous_commit` on: one INSERT and commit a request in the same server;
pgbench's single-row inserts of as many bytes with 64 clients; the same route that answers once the signature holds,
without a database. One web process, one process that drives it, PostgreSQL: all of them share this machine.
"""

import asyncio
import json
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import click

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.connections.clients import OAuthClients
from trunkline.connections.models import Connection
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.embedded.binaries import postgres_binary
from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import key_provider
from trunkline.vault.service import Vault
from trunkline.webhooks import repository
from trunkline.webhooks.service import EndpointService
from trunkline_connectors.catalogue import manifests

engine = bench._load("kit/engine")
processes = bench._load("kit/processes")

KIT = Path(__file__).parent / "kit"
RUNS = 5
CONNECTIONS = 64
SECRET = "an-app-secret-of-this-measurement"
ACCOUNT = "62515"
OPTIONS = [
    click.Option(
        ["--seconds"], type=click.FloatRange(1, 60), default=5.0, show_default=True, help="Of each."
    ),
]
PGBENCH = (
    "INSERT INTO bench_single (id, body) VALUES (gen_random_uuid(), decode(repeat('ab', 600), 'hex'));\n"
)


def run(say: Say, *, seconds: float) -> Figures:
    made = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name,
        EmbeddedServers(Path(name)) as servers,
    ):
        upgrade(servers.database_url)
        settings = Settings(
            data=Path(name),
            database_url=servers.database_url,
            valkey_url=servers.valkey_url,
            port=_free_port(),
        )
        path = asyncio.run(_world(settings))
        figures: dict[str, Any] = {}
        for number, mode in enumerate(("none", "single", "batched")):
            figures[mode] = _driven(settings, mode, path, seconds, number)
            one = figures[mode]
            say(
                f"{mode}: {one['per_s']:,.0f} a second, p50 {one['p50_ms']:.1f} ms, p99 {one['p99_ms']:.1f} ms, "
                f"{one['refused']} refused"
            )
        kept = asyncio.run(_kept(settings.database_url))
        expected = figures["single"]["answered"] + figures["batched"]["answered"]
        if kept < expected:
            raise RuntimeError(f"{expected} were acknowledged and {kept} are there")
        single_row = _pgbench(servers, seconds)
        say(f"pgbench, 64 clients: {single_row:,.0f} a second")
    ours = figures["batched"]
    made.figures = {
        "taken_per_s": ours["per_s"],
        "p50_ms": ours["p50_ms"],
        "p99_ms": ours["p99_ms"],
        "worst_ms": ours["worst_ms"],
        "refused": ours["refused"],
        "single_insert_per_s": figures["single"]["per_s"],
        "pgbench_per_s": single_row,
        "no_database_per_s": figures["none"]["per_s"],
    }
    made.ratios = {
        "vs_single_insert": ours["per_s"] / figures["single"]["per_s"],
        "vs_pgbench": ours["per_s"] / single_row,
        "vs_no_database": ours["per_s"] / figures["none"]["per_s"],
    }
    return made


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def _world(settings: Settings) -> str:
    """The operator's app and a tenant's connection to its account; the app's path."""
    db = Database(settings.database_url, application="bench")
    vault, connectors = Vault(key_provider(settings)), Connectors(manifests())
    clients = OAuthClients(db, vault, connectors)
    service = EndpointService(settings, vault, connectors)
    try:
        async with db.tenant(OPERATOR) as session:
            await clients.register(session, OPERATOR, "hubspot", client_id="app", secret=SECRET)
            view = await service.of_client(session, OPERATOR, "hubspot")
            endpoint = await repository.endpoint_of_client(session, OPERATOR, "hubspot")
        tenant = uuid4()
        async with db.tenant(tenant) as session:
            await vault.box(session, tenant)
            session.add(_connection(tenant, ACCOUNT, endpoint.oauth_client_id if endpoint else None))
    finally:
        await db.dispose()
    return view.url.removeprefix(settings.origin)


def _connection(tenant: UUID, account: str, client: UUID | None) -> Connection:
    return Connection(
        tenant_id=tenant,
        id=uuid4(),
        connector="hubspot",
        name="HubSpot",
        state="active",
        account_id=account,
        oauth_client_tenant=OPERATOR,
        oauth_client_id=client,
        scopes=[],
        via="portal",
        created_by="bench",
    )


@contextmanager
def _server(settings: Settings, mode: str) -> Iterator[Any]:
    env = engine.environment(settings) | {"TRUNKLINE_PORT": str(settings.port)}
    with processes.running(KIT / "intake_server.py", mode, env=env) as process:
        processes.said(process, "http")
        yield process


def _driven(settings: Settings, mode: str, path: str, seconds: float, number: int) -> dict[str, float]:
    """Figures of one mode, after a second of warming up."""
    with _server(settings, mode):
        for first, length in ((number * 10**7, 1.0), (number * 10**7 + 10**6, seconds)):
            arguments = (
                settings.host, str(settings.port), path, settings.origin, SECRET, ACCOUNT,
                str(CONNECTIONS), str(length), str(first),
            )  # fmt: skip
            with processes.running(KIT / "load.py", *arguments) as driver:
                processes.said(driver, "ready")
                assert driver.stdin is not None
                driver.stdin.write("go\n")
                driver.stdin.flush()
                said: dict[str, float] = json.loads(processes.said(driver, "{"))
    return {**said, "per_s": said["answered"] / said["seconds"]}


async def _kept(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        number: int = await connection.fetchval("SELECT count(*) FROM inbound_events")
        return number
    finally:
        await connection.close()


def _pgbench(servers: EmbeddedServers, seconds: float) -> float:
    url = servers.database_url
    asyncio.run(_table(url))
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH)
        script.flush()
        done = subprocess.run(
            [
                str(postgres_binary("pgbench")), "-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "2",
                "-T", str(max(1, round(seconds))), "-f", script.name, url,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise RuntimeError(f"pgbench failed: {done.stderr[-500:]}")
    return float(found[1])


async def _table(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.execute("CREATE TABLE IF NOT EXISTS bench_single (id uuid PRIMARY KEY, body bytea)")
    finally:
        await connection.close()
