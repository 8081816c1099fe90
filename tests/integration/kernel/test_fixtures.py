"""What every other integration test stands on."""

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.kernel.migrate import head


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_migrated_database_of_its_own(db: Database, turn: int) -> None:
    async with db.system() as session:
        names = (await session.execute(text("select current_database(), current_user"))).one()
    assert names[0].startswith("test_")
    assert names[1] == "trunkline_system"


async def test_the_template_is_at_the_newest_revision(servers, database_url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("select version_num from alembic_version") == head()
    assert await connection.fetchval("select count(*) from pg_database where datname like 'test_%'") == 1
    await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_an_empty_valkey(valkey_url: str, turn: int) -> None:
    client = Redis.from_url(valkey_url)
    assert await client.dbsize() == 0
    await client.set("left", "behind")
    await client.aclose()
