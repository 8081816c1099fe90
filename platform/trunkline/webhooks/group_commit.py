"""Natural batching: whatever arrives while a commit is under way shares the next one. There is no timer.

Each caller goes on only when its own rows are durable, or gets the error that kept them from it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import Database
from trunkline.webhooks import repository
from trunkline.webhooks.repository import Row
from trunkline.work.errors import DATABASE_AWAY

WRITERS: Final = 2
"""Commits under way at a time, in this process."""
MOST_ROWS: Final = 512
"""Of one commit."""
MOST_WAITING: Final = 32 * 1024 * 1024
"""Bytes that wait; whoever comes then is refused and told to come again."""

log = structlog.get_logger(__name__)


class OverloadedError(Exception):
    """More waits than can be written soon."""


class GroupCommit:
    """One per process. `touched`: the (tenant, connection) with something new, after the commit."""

    def __init__(self, db: Database, *, writers: int = WRITERS) -> None:
        self._db = db
        self._writers = writers
        self._waiting: deque[tuple[Sequence[Row], asyncio.Future[set[tuple[UUID, UUID]]]]] = deque()
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.commits = 0

    async def put(self, rows: Sequence[Row]) -> set[tuple[UUID, UUID]]:
        """Returns once they are durable. Raises OverloadedError and DATABASE_AWAY errors."""
        size = sum(len(row.body) for row in rows)
        if self._bytes + size > MOST_WAITING:
            raise OverloadedError
        future: asyncio.Future[set[tuple[UUID, UUID]]] = asyncio.get_running_loop().create_future()
        self._bytes += size
        self._waiting.append((rows, future))
        if len(self._tasks) < self._writers:
            task = asyncio.create_task(self._write(), name="group commit")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return await future
        finally:
            self._bytes -= size

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _write(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            rows = len(group[0][0])
            while self._waiting and rows + len(self._waiting[0][0]) <= MOST_ROWS:
                rows += len(self._waiting[0][0])
                group.append(self._waiting.popleft())
            await self._commit(group)

    async def _commit(
        self, group: "Sequence[tuple[Sequence[Row], asyncio.Future[set[tuple[UUID, UUID]]]]]"
    ) -> None:
        # in one order everywhere: two commits that wait for each other's rows would deadlock
        rows = sorted(
            (row for given, _ in group for row in given),
            key=lambda row: (row.tenant_id.int, row.source_id.int, row.identity),
        )
        try:
            touched = await repository.keep(self._db, rows)
        except DATABASE_AWAY as error:
            if len(group) > 1 and isinstance(error, DBAPIError) and not error.connection_invalidated:
                # one of them cannot be written (its connection or key went meanwhile): the others can
                for one in group:
                    await self._commit([one])
                return
            log.warning("events not kept", error=type(error).__name__, requests=len(group), rows=len(rows))
            self._answer(group, error)
        except Exception as error:
            log.exception("events not kept")
            self._answer(group, error)
        except BaseException as error:
            self._answer(group, error)
            raise
        else:
            self.commits += 1
            for _, future in group:
                if not future.done():
                    future.set_result(touched)

    @staticmethod
    def _answer(
        group: "Sequence[tuple[Sequence[Row], asyncio.Future[set[tuple[UUID, UUID]]]]]", error: BaseException
    ) -> None:
        for _, future in group:
            if not future.done():
                future.set_exception(error if isinstance(error, Exception) else OverloadedError())
