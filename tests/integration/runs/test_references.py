"""What records and entities refer to is there, of the same tenant, and takes them along: whoever writes them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

_RECORD = text("""
    INSERT INTO records (tenant_id, connection_id, stream, external_id, fingerprint, document, key_version, run_id)
    VALUES (:tenant, :connection, 'contacts', :id, '', '', :version, :connection)
""")
_ENTITY = text("""
    INSERT INTO entities (tenant_id, recipe_id, external_id, id, model, connection_id, stream, data, fingerprint,
        recipe_version, run_id, revision)
    VALUES (:tenant, :recipe, :id, :recipe, 'contact', :connection, 'contacts', '{}', '', 1, :connection, 1)
""")


@pytest.fixture
async def two(sandboxes: Any, make_rig: Any) -> AsyncIterator[Any]:
    """Two tenants' connections, each with one recipe and what it made."""
    sandbox = sandboxes()
    sandbox.unlimited()
    rig = make_rig(sandbox)
    made = [await rig.connect(sandbox, "48120002") for _ in range(2)]
    for one in made:
        one.recipe_id = await one.recipe()
        await one.work()
    yield made
    await rig.close()


async def put(one: Any, **more: Any) -> None:
    values = {"tenant": one.tenant_id, "connection": one.connection_id, "id": uuid4().hex, "version": 1}
    async with one.rig.db.tenant(one.tenant_id) as session:
        await session.execute(_RECORD, values | more)


async def count(one: Any, table: str) -> int:
    found = await one.one(f"SELECT count(*) AS n FROM {table} WHERE tenant_id = :tenant")
    return int(found.n)


async def test_a_record_needs_its_connection_and_its_key(two: Any) -> None:
    mine, other = two
    await put(mine)
    for wrong, name in (
        ({"connection": uuid4()}, "fk_records_connections"),
        ({"connection": other.connection_id}, "fk_records_connections"),
        ({"version": 99}, "fk_records_data_keys"),
    ):
        with pytest.raises(IntegrityError, match=name):
            await put(mine, **wrong)
    with pytest.raises(IntegrityError, match="fk_records_data_keys"):
        await mine.rows("UPDATE records SET key_version = 99 WHERE tenant_id = :tenant RETURNING 1")
    with pytest.raises(IntegrityError, match="fk_records_data_keys"):
        await mine.rows("DELETE FROM data_keys WHERE tenant_id = :tenant RETURNING 1")


async def test_an_entity_needs_its_recipe(two: Any) -> None:
    mine, other = two

    async def make(recipe: UUID) -> None:
        async with mine.rig.db.tenant(mine.tenant_id) as session:
            values = {"tenant": mine.tenant_id, "recipe": recipe, "connection": mine.connection_id}
            await session.execute(_ENTITY, {**values, "id": "x"})

    for recipe in (uuid4(), other.recipe_id):
        with pytest.raises(IntegrityError, match="fk_entities_recipes"):
            await make(recipe)


async def test_what_goes_takes_them_along_and_waits_for_whoever_writes(two: Any) -> None:
    mine, other = two
    held = [await count(other, table) for table in ("records", "entities")]
    assert min(held) > 0
    assert min([await count(mine, table) for table in ("records", "entities")]) > 0

    async def remove(connection: UUID) -> None:
        async with mine.rig.db.tenant(mine.tenant_id) as session:
            await session.execute(
                text("DELETE FROM connections WHERE tenant_id = :tenant AND id = :id"),
                {"tenant": mine.tenant_id, "id": connection},
            )

    async with mine.rig.db.tenant(mine.tenant_id) as session:
        values = {"tenant": mine.tenant_id, "connection": mine.connection_id, "id": "late", "version": 1}
        await session.execute(_RECORD, values)
        removing = asyncio.create_task(remove(mine.connection_id))
        done, _ = await asyncio.wait({removing}, timeout=0.3)
        assert not done
    await removing
    for table in ("records", "entities", "recipes", "streams"):
        assert await count(mine, table) == 0
    assert [await count(other, table) for table in ("records", "entities")] == held
