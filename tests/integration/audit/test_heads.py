"""Signed heads, kept outside of the database; and what `trunkline audit` says of it all."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from click.testing import CliRunner, Result

from trunkline.audit.heads import HeadFileError, export, keep, lines, read, sign_heads
from trunkline.audit.housekeeping import export_regularly
from trunkline.audit.service import history
from trunkline.audit.signing import PublicKey, Signer
from trunkline.audit.verification import verify
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.kernel.migrate import _config, upgrade
from trunkline.kernel.settings import Settings
from trunkline.main import cli
from trunkline.vault.errors import KeyFileError


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "audit.key")


async def test_signed_heads_are_read_back_with_the_public_key_alone(
    log: Any, signer: Signer, tmp_path: Path
) -> None:
    file, pem = tmp_path / "heads.jsonl", tmp_path / "key.pem"
    pem.write_text(signer.public.pem)
    keep(file, await sign_heads(log.db, signer))
    await log.write(1)
    keep(file, await sign_heads(log.db, signer, only=log.tenant))
    signed = read([file], [PublicKey.read(pem)])
    assert sorted(signed[log.tenant]) == [12, 13]
    assert await log.faults(signed[log.tenant]) == []
    assert await sign_heads(log.db, signer, only=new_id()) == []


async def test_a_head_that_was_changed_or_signed_by_a_stranger_is_refused(
    log: Any, signer: Signer, tmp_path: Path
) -> None:
    file, good = tmp_path / "heads.jsonl", lines(await sign_heads(log.db, signer))
    for old, new in (
        ('"sequence":12', '"sequence":11'),
        (str(log.tenant), str(new_id())),
        ('"hash":"', '"hash":"00'),
        ('"at":"20', '"at":"19'),
    ):
        assert old in good
        file.write_text(good + good.replace(old, new))
        with pytest.raises(HeadFileError, match="line 2: its signature does not fit"):
            read([file], [signer.public])
    file.write_text(good[:40])
    with pytest.raises(HeadFileError, match="not a signed head"):
        read([file], [signer.public])
    file.write_text(good)
    with pytest.raises(HeadFileError, match="Give its public key"):
        read([file], [Signer(tmp_path / "another.key").public])


async def test_only_what_moved_is_exported_again(log: Any, signer: Signer, tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"
    assert await export(log.db, signer, file) == 1
    os.utime(file, (later := file.stat().st_mtime + 3600, later))
    assert await export(log.db, signer, file) == 0
    os.utime(file, (later - 3700, later - 3700))
    assert await export(log.db, signer, file) == 1
    assert len(file.read_text().splitlines()) == 2


async def test_a_worker_exports_by_itself(log: Any, database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=database_url, data=tmp_path / "new")
    task = asyncio.create_task(export_regularly(settings, log.db))
    async with asyncio.timeout(30):
        while not settings.audit_head_file.exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
    task.cancel()
    assert list(read([settings.audit_head_file], [Signer(settings.audit_key_file).public])) == [log.tenant]


def test_the_signing_key_is_private_and_stays(tmp_path: Path, signer: Signer) -> None:
    file = tmp_path / "audit.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Signer(file).public.name == signer.public.name
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="others"):
        Signer(file)
    (tmp_path / "broken.key").write_text("x")
    (tmp_path / "broken.key").chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold a key"):
        Signer(tmp_path / "broken.key")
    with pytest.raises(KeyFileError, match="not a public key"):
        PublicKey.read(tmp_path / "broken.key")


async def test_the_command_finds_where_and_says_so_by_its_exit_code(
    log: Any, database_url: str, tmp_path: Path
) -> None:
    env = {"TRUNKLINE_DATABASE_URL": database_url, "TRUNKLINE_DATA": str(tmp_path / "data")}
    (tmp_path / "data").mkdir()
    heads, pem = tmp_path / "heads.jsonl", tmp_path / "key.pem"
    await log.owner.execute(
        "INSERT INTO tenants (id, slug, name) VALUES ($1, 'globex', 'Globex')", log.tenant
    )

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, ["audit", *words], env=env)

    assert "1 signed heads were appended" in (await run("head", "--out", str(heads))).output
    pem.write_text((await run("key")).output)
    good = await run("verify", "--head", str(heads), "--key", str(pem))
    assert (good.exit_code, "12 entries in 1 logs" in good.output) == (0, True)
    await log.owner.execute("UPDATE audit_entries SET actor = 'Mallory' WHERE sequence = 4")
    edited = await run("verify", "--tenant", "globex")
    assert edited.exit_code == 1
    assert "globex: entry 4 (" in edited.output
    assert "was changed after it was written" in edited.output
    await log.owner.execute("DELETE FROM audit_entries; DELETE FROM audit_heads")
    gone = await run("verify", "--head", str(heads))
    assert gone.exit_code == 1
    assert "globex: entries 1 to 12 are missing at the end" in gone.output
    assert (await run("verify")).exit_code == 0  # nobody can tell without the signed head
    unknown = await run("verify", "--tenant", "nobody")
    assert (unknown.exit_code, "There is no tenant" in unknown.output) == (1, True)


async def test_entries_from_before_the_chain_are_chained_as_they_are_found(
    servers: Any, tmp_path: Path
) -> None:
    url, tenant = servers.postgres.url_of("chained"), new_id()
    admin = await asyncpg.connect(servers.postgres.url_of("postgres"))
    await admin.execute("CREATE DATABASE chained")
    with ThreadPoolExecutor(1) as thread:  # alembic has an event loop of its own
        await asyncio.wrap_future(thread.submit(command.upgrade, _config(url), "0001"))
        old = await asyncpg.connect(url)
        for number, reason in enumerate(("first – Ä", None)):
            await old.execute(
                "INSERT INTO audit_entries (tenant_id, at, actor_kind, actor_id, actor, action, target_kind,"
                " target_id, detail, reason) VALUES ($1, now() - $2 * interval '1 day', 'member', '1', 'Zoë',"
                """ 'recipe.saved', 'recipe', '1', '{"version": 1,  "a": [1.50, null, "é"]}', $3)""",
                tenant,
                9 - number,
                reason,
            )
        await old.close()
        await asyncio.wrap_future(thread.submit(upgrade, url))
    db = Database(url, pool_size=2)
    result = await verify(db, tenant, {})
    async with db.tenant(tenant) as session:
        newest, *others = await history(session, tenant)
    assert (result.entries, result.faults) == (3, [])
    assert (newest.action, newest.detail) == ("log.chained", {"entries": 2})
    assert [one.reason for one in others] == [None, "first – Ä"]
    await db.dispose()
    await admin.execute("DROP DATABASE chained WITH (FORCE)")
    await admin.close()
