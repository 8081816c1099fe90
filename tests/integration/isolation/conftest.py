"""The parts of this folder that tests and `trunkline bench isolation` share are in `isolation_kit`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from trunkline.kernel.embedded import EmbeddedServers

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
async def schema(servers: EmbeddedServers, migrated: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner in a migrated database for tests that roll back what they do."""
    admin = await asyncpg.connect(servers.postgres.url_of("postgres"))
    await admin.execute(f"create database catalogue template {migrated}")
    owner = await asyncpg.connect(servers.postgres.url_of("catalogue"))
    yield owner
    await owner.close()
    await admin.execute("drop database catalogue with (force)")
    await admin.close()


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """An event loop of their own, beside the one of other tests: one world for all of them."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner.run


@pytest.fixture(scope="session")
def world(
    run: Run, servers: EmbeddedServers, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    async def admin(statement: str) -> None:
        connection = await asyncpg.connect(servers.postgres.url_of("postgres"))
        await connection.execute(statement)
        await connection.close()

    run(admin(f"create database attacked template {migrated}"))
    folder: Path = tmp_path_factory.mktemp("attacked")
    from isolation_kit.world import World

    made = run(
        World.create(servers.postgres.url_of("attacked"), f"unix://{servers.valkey.socket}?db=0", folder)
    )
    yield made
    run(made.close())
    run(admin("drop database attacked with (force)"))
