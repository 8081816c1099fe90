"""What doctor says about a database that is right, and about ones that are not."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from trunkline.cli.doctor import examine, report
from trunkline.cli.failures import Failure
from trunkline.cli.probes import connect_database, valkey_version
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.settings import Settings


@pytest.fixture
def settings(database_url: str, valkey_url: str, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", database_url=database_url, valkey_url=valkey_url)


async def wrong(settings: Settings) -> dict[str, str]:
    findings = await asyncio.to_thread(examine, settings)
    return {finding.topic: finding.sentence for finding in findings if finding.state == "wrong"}


async def test_a_sound_installation_has_nothing_wrong(settings: Settings) -> None:
    findings = await asyncio.to_thread(examine, settings)
    assert not [finding for finding in findings if finding.state == "wrong"]
    assert {"database", "schema", "roles", "Valkey", "disk", "port"} <= {
        finding.topic for finding in findings
    }
    text = report(findings)
    assert "Nothing is wrong." in text
    assert settings.database_url.split("@")[0].rpartition(":")[2] not in text


async def test_an_old_schema_and_a_bare_database(settings: Settings, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("update alembic_version set version_num = 'older'")
    assert "trunkline migrate" in (await wrong(settings))["schema"]
    await connection.execute("drop table alembic_version")
    assert "not migrated" in (await wrong(settings))["schema"]
    await connection.close()


async def test_a_role_that_owns_tables(settings: Settings, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("create table stray (id int); alter table stray owner to trunkline_app")
    found = await wrong(settings)
    await connection.close()
    assert "trunkline_app owns 1 tables" in found["roles"]


async def test_keys_that_others_can_read(settings: Settings) -> None:
    settings.data.mkdir()
    settings.wrapping_key_file.write_bytes(b"k" * 32)
    settings.wrapping_key_file.chmod(0o644)
    assert "chmod 600" in (await wrong(settings))["wrapping key"]
    settings.wrapping_key_file.chmod(0o600)
    assert await wrong(settings) == {}


async def test_a_misspelt_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_VALKY_URL", "x")
    assert "TRUNKLINE_VALKY_URL" in (await wrong(settings))["settings"]


async def test_unreachable_servers_are_named_without_their_passwords(servers: EmbeddedServers) -> None:
    with pytest.raises(Failure) as caught:
        await connect_database("postgresql://app:hush@127.0.0.1:1/main")
    assert "127.0.0.1:1/main cannot be reached (connection refused)" in caught.value.message
    assert "hush" not in caught.value.message
    with pytest.raises(Failure, match="refuses the login"):
        await connect_database(servers.database_url.replace("trunkline:", "trunkline:x"))
    with pytest.raises(Failure, match="does not exist"):
        await connect_database(servers.postgres.url_of("missing"))
    with pytest.raises(Failure, match="TRUNKLINE_VALKEY_URL"):
        await valkey_version("redis://:hush@127.0.0.1:1/0")
