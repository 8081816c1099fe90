"""The parts of this folder that tests and `trunkline bench isolation` share are in `isolation_kit`."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

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
