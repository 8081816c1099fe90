"""The embedded servers themselves: each test has a data folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from trunkline.kernel.embedded import EmbeddedError, EmbeddedServers

SCRIPT = """
import pathlib, sys, time
from trunkline.kernel.embedded import EmbeddedServers
servers = EmbeddedServers(pathlib.Path(sys.argv[1]), unsafe=True)
servers.start()
print(*servers.pids.values(), flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    """Zombies count as dead: in a container without an init nobody reaps an orphan."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")


async def write(url: str, row: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists kept (id int)")
    await connection.execute("insert into kept values ($1)", row)
    await connection.close()


async def rows(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    found = [row["id"] for row in await connection.fetch("select id from kept order by id")]
    await connection.close()
    return found


async def test_start_is_idempotent_and_stop_leaves_nothing(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path / "data")
    servers.start()
    pids = servers.pids
    assert set(pids) == {"postgres", "valkey"}
    servers.start()
    assert servers.pids == pids
    await write(servers.database_url, 1)
    client = Redis.from_url(servers.valkey_url)
    assert await client.ping()
    await client.aclose()
    servers.stop()
    servers.stop()
    assert not any(alive(pid) for pid in pids.values())
    assert not (tmp_path / "data" / "run").exists()
    with EmbeddedServers(tmp_path / "data") as again:
        assert await rows(again.database_url) == [1]


async def test_a_second_copy_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, unsafe=True) as servers:
        with pytest.raises(EmbeddedError) as caught:
            EmbeddedServers(tmp_path).start()
        assert f"process {os.getpid()}" in str(caught.value)
        assert "\n" not in str(caught.value)
        await write(servers.database_url, 1)  # the first is unharmed


async def test_killed_servers_are_revived_with_their_rows(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path) as servers:
        await write(servers.database_url, 1)
        for pid in servers.pids.values():
            os.kill(pid, signal.SIGKILL)
        assert until(lambda: not servers.pids)
        assert servers.revive() == ["postgres", "valkey"]
        await write(servers.database_url, 2)
        assert await rows(servers.database_url) == [1, 2]
        assert servers.revive() == []


def test_servers_die_with_their_supervisor_and_start_again(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert supervisor.stdout is not None
    pids = [int(word) for word in supervisor.stdout.readline().split()]
    assert len(pids) == 2
    supervisor.kill()
    supervisor.communicate()
    with EmbeddedServers(tmp_path, unsafe=True) as servers:  # at once, while the old ones may be ending
        assert set(servers.pids) == {"postgres", "valkey"}
    assert until(lambda: not any(alive(pid) for pid in pids))


async def test_a_stale_pid_file_naming_a_living_process_does_not_stop_a_start(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, unsafe=True):
        pass
    stale = [
        str(os.getpid()),
        str(tmp_path / "postgres"),
        "1",
        "5432",
        str(tmp_path / "run"),
        "",
        "0 0",
        "ready",
    ]
    (tmp_path / "postgres" / "postmaster.pid").write_text("\n".join(stale) + "\n")
    with EmbeddedServers(tmp_path, unsafe=True) as servers:
        await write(servers.database_url, 1)


async def test_a_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    (tmp_path / "postgres.password").write_text("of an aborted start\n")
    with EmbeddedServers(tmp_path, unsafe=True) as servers:
        await write(servers.database_url, 1)


async def test_passwords_are_asked_for(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, unsafe=True, with_valkey=False) as servers:
        assert set(servers.pids) == {"postgres"}
        assert (tmp_path / "postgres.password").stat().st_mode & 0o077 == 0
        password = (tmp_path / "postgres.password").read_text().strip()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(servers.database_url.replace(password, "guess"))


def test_data_of_another_version_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="written by PostgreSQL 16, and this is PostgreSQL 18"):
        EmbeddedServers(tmp_path).start()
    assert (tmp_path / "postgres" / "PG_VERSION").exists()


async def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30)
    with EmbeddedServers(data, unsafe=True) as servers:
        await write(servers.database_url, 1)
        assert str(data) not in servers.database_url
