import asyncio
import sys
from asyncio.subprocess import PIPE
from uuid import uuid4

import pytest
from sqlalchemy import text

from trunkline.vault import service
from trunkline.vault.box import MOST_UNCOUNTED
from trunkline.vault.errors import OpenError, WrappingKeyError
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.sealed import SEALED, place
from trunkline.vault.service import COUNT_EVERY, SEALS_PER_VERSION, Vault

PROCESS = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from trunkline.kernel.db import Database
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault

async def main():
    url, key, tenant = sys.argv[1:]
    db = Database(url, pool_size=2)
    vault = Vault(LocalKeyFile(Path(key)))
    sys.stdin.readline()
    async with db.tenant(UUID(tenant)) as session:
        box = await vault.box(session, UUID(tenant))
        print(box.seal(b"same secret", "credentials/7/access_token").hex(), flush=True)
    await db.dispose()

asyncio.run(main())
"""


TOKEN = place("credentials", 7, field="access_token")


async def test_two_processes_that_make_the_first_key_at_once_end_with_one(db, database_url, tmp_path):
    key, tenant = tmp_path / "wrapping.key", uuid4()
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROCESS, database_url, str(key), str(tenant)), stdin=PIPE, stdout=PIPE
        )
        for _ in range(2)
    ]
    outputs = await asyncio.gather(*(child.communicate(b"\n") for child in children))
    async with db.tenant(tenant) as session:
        box = await Vault(LocalKeyFile(key)).box(session, tenant)
        count = (await session.execute(text("select count(*) from data_keys"))).scalar()
    assert count == 1
    for out, _ in outputs:
        assert box.open(bytes.fromhex(out.decode().strip()), 1, TOKEN) == b"same secret"


async def test_many_tasks_that_make_the_first_key_at_once_end_with_one(db, tmp_path):
    tenant = uuid4()
    key = tmp_path / "wrapping.key"

    async def seal(vault):
        async with db.tenant(tenant) as session:
            return (await vault.box(session, tenant)).seal(b"s", TOKEN)

    blobs = await asyncio.gather(*(seal(Vault(LocalKeyFile(key))) for _ in range(8)))
    async with db.tenant(tenant) as session:
        box = await Vault(LocalKeyFile(key)).box(session, tenant)
    assert [box.open(blob, 1, TOKEN) for blob in blobs] == [b"s"] * 8


async def test_a_key_that_was_rolled_back_is_not_used_again(db, vault):
    tenant = uuid4()

    async def fail():
        async with db.tenant(tenant) as session:
            await vault.box(session, tenant)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with db.tenant(tenant) as session:
        blob = (await vault.box(session, tenant)).seal(b"kept", TOKEN)
    async with db.tenant(tenant) as session:
        assert (await vault.box(session, tenant)).open(blob, 1, TOKEN) == b"kept"


async def test_another_wrapping_key_is_named(db, vault, tmp_path):
    tenant = uuid4()
    async with db.tenant(tenant) as session:
        await vault.box(session, tenant)
    other = Vault(LocalKeyFile(tmp_path / "other.key"))
    async with db.tenant(tenant) as session:
        with pytest.raises(WrappingKeyError, match="TRUNKLINE_KEY_FILE"):
            await other.box(session, tenant)


async def test_a_data_key_copied_to_another_tenant_does_not_unwrap(db, vault, database_url):
    import asyncpg

    one, two = uuid4(), uuid4()
    for tenant in (one, two):
        async with db.tenant(tenant) as session:
            await vault.box(session, tenant)
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "update data_keys set wrapped = (select wrapped from data_keys where tenant_id = $1) where tenant_id = $2",
        one,
        two,
    )
    await owner.close()
    async with db.tenant(two) as session:
        with pytest.raises(WrappingKeyError):
            await vault.box(session, two)


async def test_a_rotation_counts_at_once_and_old_values_open(db, vault, tmp_path):
    tenant = uuid4()
    async with db.tenant(tenant) as session:
        old = await vault.box(session, tenant)
        blob = old.seal(b"old", TOKEN)
    other = Vault(LocalKeyFile(tmp_path / "wrapping.key"))
    async with db.tenant(tenant) as session:
        assert await other.next_version(session, tenant) == 2
    async with db.tenant(tenant) as session:
        box = await vault.box(session, tenant)
    assert box.version == 2
    assert box.open(blob, 1, TOKEN) == b"old"
    assert box.fingerprint(b"d") == old.fingerprint(b"d")
    with pytest.raises(OpenError):
        old.open(box.seal(b"new", TOKEN), 2, TOKEN)


async def _seals(db, tenant):
    async with db.tenant(tenant) as session:
        return {
            row.version: row.seals
            for row in await session.execute(text("SELECT version, seals FROM data_keys"))
        }


async def test_seals_are_counted_in_batches_by_whoever_commits(db, vault):
    tenant = uuid4()

    async def work(seals, fail=False):
        async with db.tenant(tenant) as session:
            box = await vault.box(session, tenant)
            await session.flush()
            for _ in range(seals):
                box.seal(b"s", TOKEN)
            if fail:
                raise RuntimeError

    await work(COUNT_EVERY + 5)
    assert await _seals(db, tenant) == {1: 0}
    with pytest.raises(RuntimeError):  # what is rolled back was not counted, and is counted by the next
        await work(1, fail=True)
    await work(COUNT_EVERY - 1)
    assert await _seals(db, tenant) == {1: COUNT_EVERY + 6}
    await work(1)
    await work(0)
    assert await _seals(db, tenant) == {1: 2 * COUNT_EVERY + 6}


async def test_counting_waits_for_nobody(db, vault):
    tenant = uuid4()
    async with db.tenant(tenant) as session:
        box = await vault.box(session, tenant)
        for _ in range(COUNT_EVERY):
            box.seal(b"s", TOKEN)
    async with db.tenant(tenant) as holder:
        await holder.execute(text("UPDATE data_keys SET seals = seals"))
        async with asyncio.timeout(5), db.tenant(tenant) as session:
            await vault.box(session, tenant)
    async with db.tenant(tenant) as session:
        await vault.box(session, tenant)
    assert await _seals(db, tenant) == {1: COUNT_EVERY}


async def test_a_key_is_renewed_long_before_its_nonces_could_meet(db, vault):
    tenant = uuid4()
    async with db.tenant(tenant) as session:
        old = (await vault.box(session, tenant)).seal(b"old", TOKEN)
        await session.execute(text("UPDATE data_keys SET seals = :most"), {"most": SEALS_PER_VERSION})
    async with db.tenant(tenant) as session:
        box = await vault.box(session, tenant)
    assert box.version == 2
    assert box.open(old, 1, TOKEN) == b"old"
    assert await _seals(db, tenant) == {1: SEALS_PER_VERSION, 2: 0}
    assert SEALS_PER_VERSION + 1000 * MOST_UNCOUNTED < 2**32


@pytest.mark.parametrize("limit", ["CACHE_SECONDS", "CACHE_USES"])
async def test_an_unwrapped_key_is_kept_for_a_while_and_a_number_of_uses_only(db, vault, monkeypatch, limit):
    tenant, asked = uuid4(), []
    unwrap = vault.provider.unwrap

    async def counted(*args):
        asked.append(args)
        return await unwrap(*args)

    monkeypatch.setattr(vault.provider, "unwrap", counted)

    async def boxes(number):
        for _ in range(number):
            async with db.tenant(tenant) as session:
                await vault.box(session, tenant)
        return len(asked)

    assert await boxes(5) == 1
    monkeypatch.setattr(service, limit, 0)
    assert await boxes(3) == 4


async def test_a_sealed_row_keeps_its_key_and_none_comes_without(db, vault, database_url):
    import asyncpg

    owner = await asyncpg.connect(database_url)
    rows = await owner.fetch(
        """SELECT c.conrelid::regclass::text AS name FROM pg_constraint c
           WHERE c.contype = 'f' AND c.confrelid = 'data_keys'::regclass"""
    )
    watched = await owner.fetch(  # of records once a statement: tests/integration/runs/test_references.py
        """SELECT tgrelid::regclass::text AS name FROM pg_trigger
           WHERE tgname IN ('trunkline_records_refer_insert', 'trunkline_records_refer_update')"""
    )
    held = await owner.fetch(
        """SELECT table_name::text AS name FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'key_version'"""
    )
    await owner.close()
    keyed = {row["name"] for row in (*rows, *watched)}
    assert keyed == {row["name"] for row in held} == {one.table for one in SEALED}
    assert len(watched) == 2
