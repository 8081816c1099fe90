import asyncio
import sys
from asyncio.subprocess import PIPE
from uuid import uuid4

import pytest
from sqlalchemy import text

from trunkline.vault.errors import OpenError, WrappingKeyError
from trunkline.vault.provider import LocalKeyFile
from trunkline.vault.service import Vault

PROCESS = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from trunkline.kernel.db import Database
from trunkline.vault.provider import LocalKeyFile
from trunkline.vault.service import Vault

async def main():
    url, key, tenant = sys.argv[1:]
    db = Database(url, pool_size=2)
    vault = Vault(LocalKeyFile(Path(key)))
    sys.stdin.readline()
    async with db.tenant(UUID(tenant)) as session:
        box = await vault.box(session, UUID(tenant))
        print(box.seal(b"same secret", "x").hex(), flush=True)
    await db.dispose()

asyncio.run(main())
"""


@pytest.fixture
def vault(tmp_path):
    return Vault(LocalKeyFile(tmp_path / "wrapping.key"))


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
        assert box.open(bytes.fromhex(out.decode().strip()), 1, "x") == b"same secret"


async def test_many_tasks_that_make_the_first_key_at_once_end_with_one(db, tmp_path):
    tenant = uuid4()
    key = tmp_path / "wrapping.key"

    async def seal(vault):
        async with db.tenant(tenant) as session:
            return (await vault.box(session, tenant)).seal(b"s", "x")

    blobs = await asyncio.gather(*(seal(Vault(LocalKeyFile(key))) for _ in range(8)))
    async with db.tenant(tenant) as session:
        box = await Vault(LocalKeyFile(key)).box(session, tenant)
    assert [box.open(blob, 1, "x") for blob in blobs] == [b"s"] * 8


async def test_a_key_that_was_rolled_back_is_not_used_again(db, vault):
    tenant = uuid4()

    async def fail():
        async with db.tenant(tenant) as session:
            await vault.box(session, tenant)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with db.tenant(tenant) as session:
        blob = (await vault.box(session, tenant)).seal(b"kept", "x")
    async with db.tenant(tenant) as session:
        assert (await vault.box(session, tenant)).open(blob, 1, "x") == b"kept"


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
        blob = old.seal(b"old", "x")
        wrapped = await LocalKeyFile(tmp_path / "wrapping.key").wrap(
            b"n" * 32, b"data_keys|" + tenant.bytes + (2).to_bytes(4, "big")
        )
        await session.execute(
            text("insert into data_keys values (:t, 2, :w, 'local-file', :k)"),
            {"t": tenant, "w": wrapped.blob, "k": wrapped.key_id},
        )
    async with db.tenant(tenant) as session:
        box = await vault.box(session, tenant)
    assert box.version == 2
    assert box.open(blob, 1, "x") == b"old"
    assert box.fingerprint(b"d") == old.fingerprint(b"d")
    with pytest.raises(OpenError):
        old.open(box.seal(b"new", "x"), 2, "x")
