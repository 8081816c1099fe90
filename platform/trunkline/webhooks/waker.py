"""Has what was kept processed, after the commit: no acknowledgement waits for the lock of a work row.

A process that ends in between leaves events queued and nobody asked; the sweep finds them.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import structlog

from trunkline.kernel.db import Database
from trunkline.webhooks import repository
from trunkline.work.errors import DATABASE_AWAY
from trunkline.work.queue import WorkQueue

PAUSE_SECONDS: Final = 0.05
"""Between two rounds: under load a connection is asked for that often, however many of its events come."""

log = structlog.get_logger(__name__)


class Waker:
    """One per process."""

    def __init__(self, db: Database, work: WorkQueue) -> None:
        self._db = db
        self._work = work
        self._touched: set[tuple[UUID, UUID]] = set()
        self._task: asyncio.Task[None] | None = None

    def wake(self, touched: Iterable[tuple[UUID, UUID]]) -> None:
        """Returns at once."""
        self._touched.update(touched)
        if self._touched and self._task is None:
            self._task = asyncio.create_task(self._rounds(), name="wake hooks")

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _rounds(self) -> None:
        try:
            while self._touched:
                touched, self._touched = self._touched, set()
                for tenant, connection in touched:
                    await self._ask(tenant, connection)
                if self._touched:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._task = None

    async def _ask(self, tenant: UUID, connection: UUID) -> None:
        try:
            async with self._db.tenant(tenant) as session:
                await repository.wake(session, tenant, connection)
                self._work.hint(session)
        except DATABASE_AWAY as error:
            log.warning("events left to the sweep", error=type(error).__name__)
