"""After a shredding nothing of the tenant opens, from restored backups either."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import OPERATOR
from trunkline.vault.errors import TenantShreddedError
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.vault.shredding import Shredder


async def _left(database_url, tenant):
    """Tables that still hold a row of the tenant."""
    owner = await asyncpg.connect(database_url)
    tables = await owner.fetch(
        """SELECT table_name::text AS name FROM information_schema.columns
           WHERE table_schema = 'public' AND column_name = 'tenant_id'"""
    )
    found = {
        row["name"]
        for row in tables
        if await owner.fetchval(f"SELECT count(*) FROM {row['name']} WHERE tenant_id = $1", tenant)
    }
    await owner.close()
    return found


async def _nothing(tenant, connection):
    pass


async def test_nothing_opens_any_more_restored_backups_included(db, vault, secrets, database_url, tmp_path):
    globex, initech = await secrets(30), await secrets(slug="initech")
    owner = await asyncpg.connect(database_url)
    backup = {
        table: await owner.fetch(f"SELECT * FROM {table} WHERE tenant_id = $1", globex.id)
        for table in ("data_keys", "connections", "credentials", "records")
    }
    ended = []

    async def disconnect(tenant, connection):
        assert await globex.token() == b"token"  # the keys are still there to revoke with
        ended.append(connection)

    removed = await Shredder(db, vault, disconnect, lambda line: None).shred(globex.id, "globex")
    assert ended == [globex.connection]
    assert removed["records"] == 30
    assert removed["tenants"] == 1
    assert await _left(database_url, globex.id) == {"shreddings"}
    with pytest.raises(TenantShreddedError):
        await secrets_of(globex)

    for table, rows in backup.items():
        for row in rows:
            marks = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await owner.execute(
                f"INSERT INTO {table} ({', '.join(row.keys())}) VALUES ({marks})", *row.values()
            )
    await owner.close()
    for keeper in (vault, Vault(LocalKeyFile(tmp_path / "wrapping.key"))):
        globex.vault = keeper
        for read in (globex.token, globex.documents):
            with pytest.raises(TenantShreddedError):
                await read()
    assert await initech.token() == b"token"
    assert len(await initech.documents()) == 3
    async with db.tenant(OPERATOR) as session:
        actions = (
            await session.execute(text("SELECT action FROM audit_entries ORDER BY sequence"))
        ).scalars()
        assert actions.all() == ["tenant.shred_begun", "tenant.shredded"]


async def secrets_of(tenant):
    async with tenant.db.tenant(tenant.id) as session:
        await tenant.vault.box(session, tenant.id)


async def test_a_process_that_holds_the_key_opens_nothing_new(db, secrets, vault, tmp_path):
    globex = await secrets()
    other = Vault(LocalKeyFile(tmp_path / "wrapping.key"))
    globex.vault = other
    assert await globex.token() == b"token"
    await Shredder(db, vault, _nothing, lambda line: None)._destroy(globex.id)
    with pytest.raises(TenantShreddedError):
        await globex.token()


@pytest.mark.parametrize("stage", ["_revoke", "_destroy", "_remove"])
async def test_a_killed_shredding_goes_on(db, vault, secrets, database_url, monkeypatch, stage):
    globex = await secrets()
    shredder = Shredder(db, vault, _nothing, lambda line: None)

    async def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shredder, stage, killed)
        with pytest.raises(KeyboardInterrupt):
            await shredder.shred(globex.id, "globex")
    assert (await shredder.shred(globex.id, "globex"))["records"] == 3
    assert await _left(database_url, globex.id) == {"shreddings"}


KILLED = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from trunkline.kernel.db import Database
from trunkline.vault import shredding
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault

shredding.BATCH = 10
batch = shredding.Shredder._batch

async def slow(self, tenant_id, table):
    number = await batch(self, tenant_id, table)
    if table == "records":
        print("half", flush=True)
        await asyncio.sleep(60)
    return number

async def nothing(tenant, connection):
    pass

shredding.Shredder._batch = slow
url, key, tenant = sys.argv[1:]
vault = Vault(LocalKeyFile(Path(key)))
shredder = shredding.Shredder(Database(url, pool_size=2), vault, nothing, lambda line: None)
asyncio.run(shredder.shred(UUID(tenant), "globex"))
"""


async def test_a_shredding_whose_process_was_killed_among_the_rows_goes_on(
    db, vault, secrets, database_url, tmp_path
):
    globex, said = await secrets(30), []
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, database_url, str(tmp_path / "wrapping.key"), str(globex.id)),
        stdout=PIPE,
    )
    assert await child.stdout.readline() == b"half\n"
    child.kill()
    await child.wait()
    assert "records" in await _left(database_url, globex.id)
    with pytest.raises(TenantShreddedError):
        await secrets_of(globex)
    removed = await Shredder(db, vault, _nothing, said.append).shred(globex.id, "globex")
    assert removed["records"] == 30
    assert "records: 20 removed" in said
    assert not any("keys destroyed" in line for line in said), "what was done is not done again"
    assert await _left(database_url, globex.id) == {"shreddings"}


async def test_a_provider_that_fails_does_not_save_the_tenant(db, vault, secrets, database_url):
    globex, said = await secrets(), []

    async def disconnect(tenant, connection):
        raise RuntimeError("down")

    await Shredder(db, vault, disconnect, said.append).shred(globex.id, "globex")
    assert "Remove the grant there by hand" in said[0]
    assert await _left(database_url, globex.id) == {"shreddings"}


async def test_the_role_that_removes_reaches_no_tenant_that_is_not_being_shredded(db, secrets):
    globex = await secrets()
    async with db.tenant(globex.id) as session:
        await session.execute(text("SET LOCAL ROLE trunkline_shred"))
        found = await session.execute(text("DELETE FROM records RETURNING 1"))
        assert found.all() == []
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text("DELETE FROM audit_entries"))


async def _command(database_url, tmp_path, *words, answer=b""):
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunkline.main", "tenants", "shred", *words),
        env={
            **os.environ,
            "TRUNKLINE_DATABASE_URL": database_url,
            "TRUNKLINE_KEY_FILE": str(tmp_path / "wrapping.key"),
        },
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await child.communicate(answer)
    return child.returncode, (out + err).decode()


async def test_the_command_wants_the_slug_again(secrets, database_url, tmp_path):
    globex = await secrets()
    code, words = await _command(database_url, tmp_path, "globex", answer=b"globx\n")
    assert (code, "nothing was done" in words) == (1, True)
    assert await globex.token() == b"token"
    code, words = await _command(database_url, tmp_path, "globex", "--yes", "globex")
    assert code == 0, words
    assert "is shredded: its keys are destroyed" in words
    code, words = await _command(database_url, tmp_path, "globex", "--yes", "globex")
    assert "was shredded on" in words
