"""Real PostgreSQL and Valkey for every test that asks: one pair per pytest process, so per xdist worker."""

import asyncio
import itertools
import os
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy.engine import make_url
from xdist.scheduler import LoadScopeScheduling

from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade

TEMPLATE = "migrated"
TOGETHER = ("tests/journeys/", "tests/chaos/", "tests/integration/isolation/")
"""Journeys share one demo and one browser; the chaos rig needs the machine once; attacks share a world."""
BY_FILE = (
    "tests/unit/",
    "tests/integration/api/",
    "tests/integration/web/",
    "tests/journeys/test_gallery.py",
)
"""What a file makes for all its tests is worth more than an even load. The gallery needs no demo."""
MEMORY_BYTES = 2 * 1024**3
"""Free at least: a process's servers take some 300 MB of it."""
PORTS = range(16_000, 30_000)
"""Below those that systems hand out by themselves, to whoever listens at 0 or calls somebody."""
_numbers = itertools.count(1)


class Together(LoadScopeScheduling):
    """Tests go to whoever is free, but some by folder and some by file; the fullest first."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BY_FILE):
            return nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


@pytest.fixture(scope="session")
def servers() -> Iterator[EmbeddedServers]:
    """Emptied of TRUNKLINE_ variables too: a developer's own settings must not reach a test's children."""
    for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="trunkline-test-", dir=_roomy_memory()))
    try:
        with EmbeddedServers(folder, unsafe=True) as running:
            _apart(_tuned(running))
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _apart(work: Coroutine[Any, Any, None]) -> None:
    """In an event loop of its own, away from pytest-asyncio's."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _roomy_memory() -> str | None:
    """A file system in memory, where a copy of 500 files costs a third; None where there is none, or little."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES else None


async def _tuned(servers: EmbeddedServers) -> None:
    """The same password, hashed once instead of 4,096 times, since each test opens several connections; and a
    short log, since it may lie in memory."""
    url = servers.postgres.url_of("postgres")
    owner = await asyncpg.connect(url)
    await owner.execute("set scram_iterations = 1")
    await owner.execute(f"alter role {make_url(url).username} password '{make_url(url).password}'")
    await owner.execute("alter system set max_wal_size = '192MB'")
    await owner.execute("select pg_reload_conf()")
    await owner.close()


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(PORTS, len(PORTS)):
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise AssertionError(f"no {count} free ports in {PORTS}")


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """So many, for processes that a test starts. Nobody is given them by chance until those listen there."""
    return _free_ports


class Copies:
    """Databases made from others; file by file, some three times as fast here as through the log."""

    def __init__(self, servers: EmbeddedServers) -> None:
        self._servers = servers
        self._admin: asyncpg.Connection | None = None
        self._how: list[str] = ["clone", "copy"]

    async def _connection(self) -> asyncpg.Connection:
        """Kept, for as long as the tests' event loop."""
        if self._admin is None or self._admin.is_closed():
            self._admin = await asyncpg.connect(self._servers.postgres.url_of("postgres"))
        return self._admin

    async def make(self, name: str, template: str) -> str:
        """Its address. Inside the kernel (`clone`) where the system can."""
        admin = await self._connection()
        while True:
            try:
                await admin.execute(f"set file_copy_method = {self._how[0]}")
                await admin.execute(f"create database {name} template {template} strategy file_copy")
                return self._servers.postgres.url_of(name)
            except asyncpg.PostgresError:
                if len(self._how) == 1:
                    raise
                del self._how[0]

    async def drop(self, name: str) -> None:
        await (await self._connection()).execute(f"drop database if exists {name} with (force)")

    async def close(self) -> None:
        if self._admin is not None:
            await self._admin.close()


@pytest.fixture(scope="session")
async def copies(servers: EmbeddedServers) -> AsyncIterator[Copies]:
    made = Copies(servers)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def migrated(servers: EmbeddedServers) -> str:
    """Name of a template database: migrated once, copied for each test."""

    async def create() -> None:
        connection = await asyncpg.connect(servers.postgres.url_of("postgres"))
        await connection.execute(f"create database {TEMPLATE}")
        await connection.close()
        await asyncio.to_thread(upgrade, servers.postgres.url_of(TEMPLATE))

    _apart(create())
    return TEMPLATE


@pytest.fixture(scope="session")
def template(migrated: str) -> str:
    """What a test's own database is a copy of; a folder may bring another."""
    return migrated


@pytest.fixture
async def database_url(copies: Copies, template: str) -> AsyncIterator[str]:
    """A migrated, otherwise empty database of the test's own; owner login."""
    name = f"test_{next(_numbers)}"
    yield await copies.make(name, template)
    await copies.drop(name)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=5, application="test")
    yield database
    await database.dispose()


@pytest.fixture
async def valkey_url(servers: EmbeddedServers) -> str:
    """A logical database of the test's own, emptied; 1 to 63, so 0 stays free for whoever ignores this."""
    number = next(_numbers) % 63 + 1
    url = f"unix://{servers.valkey.socket}?db={number}"
    client = Redis.from_url(url)
    await client.flushdb()
    await client.aclose()
    return url
