"""Keys renewed under load: no read fails, a kill costs nothing, and what was replaced is gone."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from trunkline.vault import resealing, rotation
from trunkline.vault.errors import WrappingKeyError
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.rotation import Rotation, Tenant
from trunkline.vault.service import Vault


@pytest.fixture
def rotate(db, vault):
    said = []
    found = Rotation(db, vault, said.append, grace=0)
    found.said = said
    return found


async def _while_reading(work, *readers):
    """Reads that failed, and how many did not, while `work` ran."""
    failed, done, count = [], asyncio.Event(), 0

    async def read(reader):
        nonlocal count
        while not done.is_set():
            try:
                await reader()
                count += 1
            except Exception as error:  # noqa: BLE001 - any is a failed read
                failed.append(error)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(read(reader)) for reader in readers]
    try:
        result = await work
    finally:
        done.set()
        await asyncio.gather(*tasks)
    return result, failed, count


async def test_everything_is_sealed_anew_while_it_is_read_and_written(secrets, rotate, monkeypatch):
    monkeypatch.setattr(resealing, "BATCH", 20)
    globex = await secrets(200)
    numbers = iter(range(200, 10_000))

    async def write():
        await globex.put_records([next(numbers)])

    result, failed, count = await _while_reading(
        rotate.data_keys([Tenant(globex.id, "globex")]), globex.token, globex.documents, write
    )
    assert failed == []
    assert count > 3
    assert result.secrets >= 201
    assert result.removed == 1
    assert await globex.versions() == [2]
    assert b"document 0" in await globex.documents()


async def test_other_tenants_keep_their_keys(secrets, rotate):
    globex, initech = await secrets(), await secrets(slug="initech")
    await rotate.data_keys([Tenant(globex.id, "globex")])
    assert (await globex.versions(), await initech.versions()) == ([2], [1])
    assert await initech.token() == b"token"


async def test_a_reader_that_holds_an_old_row_keeps_the_old_key(db, vault, secrets, rotate):
    """It read the row before, and asks for the key after everything was sealed anew."""
    globex = await secrets()
    async with db.tenant(globex.id) as session:
        row = (await session.execute(text("SELECT external_id, document, key_version FROM records"))).first()
        task = asyncio.create_task(rotate.data_keys([Tenant(globex.id, "globex")]))
        while "sealed anew" not in " ".join(rotate.said):  # noqa: ASYNC110 - a text, not an event
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        box = await vault.box(session, globex.id)
        assert box.open(row.document, row.key_version, globex.record(row.external_id)) == b"document 0"
        assert row.key_version == 1
        assert not task.done()
    await task
    assert await globex.versions() == [2]


async def test_a_late_writer_with_the_old_key_is_refused_or_waited_for(db, vault, secrets, rotate):
    globex = await secrets()
    async with db.tenant(globex.id) as session:
        old = await vault.box(session, globex.id)
    await rotate.data_keys([Tenant(globex.id, "globex")])
    with pytest.raises(IntegrityError, match="fk_records_data_keys"):
        await globex.put_records([77], box=old)


async def test_a_row_that_is_written_between_sweep_and_removal_is_swept_too(
    db, vault, secrets, rotate, monkeypatch
):
    globex = await secrets()
    async with db.tenant(globex.id) as session:
        old = await vault.box(session, globex.id)
    late = [88]

    async def settled(_db):
        if late:
            await globex.put_records([late.pop()], box=old)
        return True

    monkeypatch.setattr(rotation, "settled", settled)
    await rotate.data_keys([Tenant(globex.id, "globex")])
    assert await globex.versions() == [2]
    assert b"document 88" in await globex.documents()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from uuid import UUID
from trunkline.kernel.db import Database
from trunkline.vault import resealing
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.rotation import Rotation, Tenant
from trunkline.vault.service import Vault

resealing.BATCH = 10
step = resealing.Sweep.step

async def slow(self):
    if self.done >= 30:
        print("half", flush=True)
        await asyncio.sleep(60)
    return await step(self)

resealing.Sweep.step = slow
url, key, tenant = sys.argv[1:]
rotation = Rotation(Database(url, pool_size=2), Vault(LocalKeyFile(Path(key))), lambda line: None, grace=0)
asyncio.run(rotation.data_keys([Tenant(UUID(tenant), "globex")]))
"""


async def test_a_killed_rotation_goes_on(secrets, rotate, database_url, tmp_path):
    globex = await secrets(100)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, database_url, str(tmp_path / "wrapping.key"), str(globex.id)),
        stdout=PIPE,
    )
    assert await child.stdout.readline() == b"half\n"
    child.kill()
    await child.wait()
    assert await globex.versions() == [1, 2]
    assert len(await globex.documents()) == 100
    result = await rotate.data_keys([Tenant(globex.id, "globex")])
    assert "going on to version 2" in " ".join(rotate.said)
    assert 0 < result.secrets < 101
    assert await globex.versions() == [2]
    assert len(await globex.documents()) == 100


async def test_a_new_wrapping_key_wraps_everything_and_every_process_reads_on(db, secrets, rotate, tmp_path):
    path = tmp_path / "wrapping.key"
    before = path.read_bytes()
    globex = await secrets()
    elsewhere = await secrets(slug="initech", with_vault=Vault(LocalKeyFile(path)))
    elsewhere.vault._cache.clear()
    work = rotate.wrapping(await rotate.tenants())
    done, failed, count = await _while_reading(work, globex.documents, elsewhere.documents)
    assert (done, failed) == (2, [])
    assert count > 3
    current, old = await rotate._vault.provider.held()
    async with db.tenant(globex.id) as session:
        assert (await session.execute(text("SELECT wrapping_key FROM data_keys"))).scalars().all() == [
            current
        ]
    assert "Still held for backups" in rotate.said[-1]

    await rotate.wrapping(await rotate.tenants(), forget=True)
    assert len(await rotate._vault.provider.held()) == 1
    assert await Vault(LocalKeyFile(path)).provider.current() != current != old
    assert await globex.token() == b"token"
    path.write_bytes(before)
    globex.vault = Vault(LocalKeyFile(path))
    with pytest.raises(WrappingKeyError):
        await globex.token()


async def test_a_wrapping_rotation_that_was_killed_goes_on_with_its_key(secrets, rotate):
    await secrets()
    begun = await rotate._vault.provider.rotate()
    assert await rotate.wrapping(await rotate.tenants()) == 1
    assert rotate.said[0] == f"Going on with the wrapping key {begun}."
    assert await rotate._vault.provider.current() == begun


@pytest.mark.parametrize(
    "command", [["keys", "list"], ["keys", "rotate", "--tenant", "globex", "--grace", "0"]]
)
async def test_the_commands(secrets, database_url, tmp_path, command):
    await secrets()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunkline.main", *command),
        env={
            **os.environ,
            "TRUNKLINE_DATABASE_URL": database_url,
            "TRUNKLINE_KEY_FILE": str(tmp_path / "wrapping.key"),
        },
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err
    expected = (
        b"New data keys are wrapped by local-file"
        if "list" in command
        else b"4 rows of 1 tenants are sealed anew"
    )
    assert expected in out
