"""Enqueuing, looking at rows, and worker processes that really are processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.work.queue import WorkQueue

HANDLERS = Path(__file__).parent / "worker_process.py"


class Backlog:
    """The backlog as a test sees it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.queue = WorkQueue()

    async def add(self, tenant: UUID, key: str, *, kind: str = "note", **options: Any) -> None:
        async with self.db.tenant(tenant) as session:
            await self.queue.enqueue(session, tenant_id=tenant, kind=kind, key=key, **options)

    async def add_many(self, tenant: UUID, count: int, *, kind: str = "note", **options: Any) -> None:
        async with self.db.tenant(tenant) as session:
            for number in range(count):
                await self.queue.enqueue(session, tenant_id=tenant, kind=kind, key=f"{number:06d}", **options)

    async def rows(self, tenant: UUID) -> list[Any]:
        async with self.db.tenant(tenant) as session:
            return list(
                await session.execute(
                    text(
                        "SELECT id, kind, key, args, priority, due_at, again_at, attempt, tries, lease_until, "
                        "leased_by, cause, connection_id, lease_until > clock_timestamp() AS leased, "
                        "due_at <= clock_timestamp() AS due FROM work WHERE tenant_id = :tenant ORDER BY key"
                    ),
                    {"tenant": tenant},
                )
            )

    async def row(self, tenant: UUID) -> Any:
        (row,) = await self.rows(tenant)
        return row

    async def lull(self, *, asleep: bool) -> None:
        """If `asleep`, as if it had been asked for before it was due: it is not known to be due yet."""
        if asleep:
            async with self.db.system() as session:
                await session.execute(text("UPDATE work SET ready = false"))

    async def expire(self, tenant: UUID) -> None:
        """As if the leases had run out."""
        async with self.db.tenant(tenant) as session:
            await session.execute(
                text(
                    "UPDATE work SET lease_until = clock_timestamp() - interval '1 second' "
                    "WHERE lease_until IS NOT NULL AND tenant_id = :tenant"
                ),
                {"tenant": tenant},
            )


async def eventually(check: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 30.0) -> None:
    """30 s: what the product promises at worst."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for lies in other processes
            await asyncio.sleep(0.02)


@pytest.fixture
def backlog(db: Database) -> Backlog:
    return Backlog(db)


@pytest.fixture
def tenant() -> UUID:
    return uuid4()


class Workers:
    """Worker processes of their own; what they do is told in lines of a file."""

    def __init__(self, database_url: str, valkey_url: str, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "TRUNKLINE_DATABASE_URL": database_url,
            "TRUNKLINE_VALKEY_URL": valkey_url,
            "TRUNKLINE_LEASE_SECONDS": "2",
            "TRUNKLINE_HEARTBEAT_SECONDS": "1",
            "TEST_JOURNAL": str(folder / "journal"),
        }
        self.journal = folder / "journal"
        self.log = folder / "log"
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, **environment: str) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(HANDLERS), env={**self.environment, **environment}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def lines(self) -> list[list[str]]:
        if not self.journal.exists():
            return []
        return [line.split() for line in self.journal.read_text().splitlines()]

    async def said(self, word: str, count: int = 1) -> None:
        async def check() -> bool:
            return sum(line[0] == word for line in self.lines()) >= count

        await eventually(check)

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                await process.wait()


@pytest.fixture
async def workers(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Workers]:
    running = Workers(database_url, valkey_url, tmp_path)
    yield running
    await running.stop()
