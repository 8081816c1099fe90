"""Servers that break while events come in and are made into records: what was acknowledged is there, once.

PostgreSQL is one of the test's own here, durable, and is stopped at once (SIGQUIT, as `pg_ctl -m immediate`).
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from webhooks_kit.flow import Flow
from webhooks_kit.hooks import Hooks, event

from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.runs import changelog

SIZE = 160 * 1024**2
"""Bytes of the disk that becomes full."""
AT_ONCE = 8
_numbers = itertools.count(1)


class Own:
    """A PostgreSQL to be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = EmbeddedServers(folder, with_valkey=False)

    def stop_at_once(self) -> None:
        child = self.servers.postgres.child
        assert child is not None
        child.signal(signal.SIGQUIT)
        assert child.wait(20)

    def revive(self) -> None:
        self.servers.start()


def mounted(folder: Path) -> str:
    """Why there is no tmpfs; empty: there is one."""
    if os.geteuid() != 0:
        return "only root can mount a tmpfs"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    return "" if done.returncode == 0 else "this machine allows no mount"


@pytest.fixture(scope="module")
def disk() -> Iterator[tuple[Path, str]]:
    """Where the server's files lie, and why that cannot become full."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-outage-"))
    folder.chmod(0o755)
    why_not = mounted(folder)
    yield folder, why_not
    if not why_not:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own(disk: tuple[Path, str]) -> Iterator[Own]:
    made = Own(disk[0])
    made.servers.start()
    upgrade(made.servers.database_url)
    yield made
    made.servers.stop()


@pytest.fixture
async def database_url(own: Own) -> str:
    """Each test's own, a copy of the migrated one."""
    name = f"outage_{next(_numbers)}"
    owner = await asyncpg.connect(own.servers.postgres.url_of("postgres"))
    await owner.execute(f"create database {name} template trunkline")
    await owner.close()
    return own.servers.postgres.url_of(name)


class Sender:
    """Somebody who delivers without a pause, and notes what was answered 2xx."""

    def __init__(self, hooks: Hooks, account: str, first: int) -> None:
        self.hooks = hooks
        self.account = account
        self.next = first
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()

    async def send(self, until: Callable[[], bool]) -> None:
        await asyncio.gather(*(self._one(until) for _ in range(AT_ONCE)))

    async def _one(self, until: Callable[[], bool]) -> None:
        while not until():
            number, self.next = self.next, self.next + 1
            said = await self.hooks.deliver([event(self.account, number, number)])
            assert said.status in {200, 503}, "taken, or to be sent again"
            if said.status == 200:
                self.acknowledged.add(number)
            else:
                assert said.headers["retry-after"]
                self.refused.add(number)
                await asyncio.sleep(0.01)

    async def check(self, tenant: Any) -> None:
        async with self.hooks.db.tenant(tenant) as session:
            rows = await session.execute(
                text("SELECT event_id FROM inbound_events WHERE tenant_id = :t"), {"t": tenant}
            )
            kept = [int(row.event_id) for row in rows]
        assert len(kept) == len(set(kept)), "kept twice"
        assert not self.acknowledged - set(kept), "acknowledged and lost"
        assert set(kept) <= self.acknowledged | self.refused, "kept and never sent"

    async def through(self, breaks: Callable[[], None], mends: Callable[[], None]) -> None:
        """Enough before, at least one refusal while it is broken, enough after."""
        first = self.next
        await self.send(lambda: len(self.acknowledged) >= 200)
        sending = asyncio.create_task(self.send(lambda: bool(self.refused) and self.next > first + 400))
        await asyncio.to_thread(breaks)
        while not self.refused:
            assert not sending.done()
            await asyncio.sleep(0.02)
        await asyncio.to_thread(mends)
        await sending
        have = len(self.acknowledged)
        await self.send(lambda: len(self.acknowledged) >= have + 100)


async def test_postgres_stopped_at_once_while_events_come_in(make_hooks: Any, own: Own) -> None:
    hooks = await make_hooks()
    tenant, _ = await hooks.connect("901")
    sender = Sender(hooks, "901", 1)
    await sender.through(own.stop_at_once, own.revive)
    await sender.check(tenant)
    await hooks.intake.close()


async def test_the_disk_is_full_while_events_come_in(
    make_hooks: Any, own: Own, disk: tuple[Path, str]
) -> None:
    folder, why_not = disk
    if why_not:
        pytest.skip(f"a disk cannot be filled here: {why_not}")
    hooks = await make_hooks()
    tenant, _ = await hooks.connect("902")
    sender = Sender(hooks, "902", 1)

    filler = folder / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 * 1024))

    def empty() -> None:
        filler.unlink()
        own.revive()  # it gives up when it cannot write its log

    await sender.through(fill, empty)
    await sender.check(tenant)
    await hooks.intake.close()


async def test_postgres_stopped_at_once_and_valkey_flushed_in_the_middle_of_a_batch(
    flow: Flow, own: Own, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [flow.create(email=f"{number}@example.com") for number in range(60)]
    await flow.deliver(*(flow.event(one) for one in made))
    valkey = Redis.from_url(valkey_url)
    await valkey.flushdb()  # nothing that waits is in there
    put, struck = changelog.put, asyncio.Event()

    async def stopped(*given: Any, **named: Any) -> bool:
        done = await put(*given, **named)
        if not struck.is_set():  # all is written, nothing committed
            await asyncio.to_thread(own.stop_at_once)
            await valkey.flushdb()
            struck.set()
        return done

    monkeypatch.setattr(changelog, "put", stopped)
    working = asyncio.create_task(flow.connected.work())
    await asyncio.wait_for(struck.wait(), 30)
    await asyncio.to_thread(own.revive)
    await asyncio.wait_for(working, 30)  # it goes on asking the database to note how it ended
    async with asyncio.timeout(30):
        while any(state == "queued" for state, _ in await flow.states()):
            await flow.due_now()
            await flow.connected.work()
    await valkey.aclose()
    assert await flow.states() == [("applied", None)] * 60
    assert sorted(await flow.emails()) == sorted(made)
    assert await flow.connected.positions() == list(range(1, 61)), "each once"
    await flow.connected.stands()
