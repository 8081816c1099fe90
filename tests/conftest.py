"""Real PostgreSQL and Valkey for every test that asks: one pair per pytest process, so per xdist worker."""

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade

TEMPLATE = "migrated"
JOURNEYS = Path(__file__).parent / "journeys"
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All journeys in one process (`--dist loadgroup`): they share one demo and one browser."""
    for item in items:
        if JOURNEYS in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("journeys"))


@pytest.fixture(scope="session")
def servers() -> Iterator[EmbeddedServers]:
    """Emptied of TRUNKLINE_ variables too: a developer's own settings must not reach a test's children."""
    for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
    try:
        with EmbeddedServers(folder, unsafe=True) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated(servers: EmbeddedServers) -> str:
    """Name of the template database: migrated once, copied for each test."""

    async def create() -> None:
        connection = await asyncpg.connect(servers.postgres.url_of("postgres"))
        await connection.execute(f"create database {TEMPLATE}")
        await connection.close()

    with ThreadPoolExecutor(1) as thread:  # its own event loop, away from pytest-asyncio's
        thread.submit(asyncio.run, create()).result()
        thread.submit(upgrade, servers.postgres.url_of(TEMPLATE)).result()
    return TEMPLATE


@pytest.fixture
async def database_url(servers: EmbeddedServers, migrated: str) -> AsyncIterator[str]:
    """A migrated, otherwise empty database of the test's own; owner login."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(servers.postgres.url_of("postgres"))
    try:
        await admin.execute(f"create database {name} template {migrated}")
        yield servers.postgres.url_of(name)
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


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
