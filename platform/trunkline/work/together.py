"""Claims and plain completions of one process, many to a transaction.

Whatever comes while a transaction is under way shares the next one; there is no timer. It never waits for a
row, since it holds others: a row that somebody has locked right now is left to a transaction of its own.
"""

import asyncio
from collections import deque
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from trunkline.kernel.db import Database
from trunkline.work import repository
from trunkline.work.backlog import HandOut
from trunkline.work.repository import Claimed, Held, Wanted

MOST: Final = 200
"""Of one transaction."""
ROUNDS: Final = 8
"""Of the event loop, after which whoever the last transaction let go on has come back with its next step."""


class _Step(msgspec.Struct, eq=False):
    what: Wanted | Held
    answer: "asyncio.Future[Any]"


class Together:
    """`holder` names the process on the rows; `seconds`: of a lease."""

    def __init__(self, db: Database, *, holder: str, seconds: float) -> None:
        self._db = db
        self._holder = holder
        self._seconds = seconds
        self._waiting: deque[_Step] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def claim(self, work: HandOut, *, again: bool = False) -> Claimed | None:
        """Take a hand-out in hand; None when it is no longer there for the taking.

        `again`: this holder tried before and does not know what came of it. Raises DATABASE_AWAY errors.
        """
        wanted = Wanted(work.tenant_id, work.work_id, work.attempt, again)
        found = await self._step(wanted)
        if found is None:
            async with self._db.system() as session:
                alone = await repository.claims(session, [wanted], self._holder, self._seconds, wait=True)
            found = alone.get(wanted.work_id)
        return cast("Claimed | None", found)

    async def done(self, held: Held) -> bool:
        """Whether the row is gone. Else it is locked, asked for again, or no longer `held`."""
        return bool(await self._step(held))

    async def _step(self, what: Wanted | Held) -> Any:
        step = _Step(what, asyncio.get_running_loop().create_future())
        self._waiting.append(step)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="claims and completions")
        return await step.answer

    async def _write(self) -> None:
        try:
            while self._waiting:
                for _ in range(ROUNDS):
                    await asyncio.sleep(0)
                await self._transaction(
                    [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                )
        finally:
            self._writing = None

    async def _transaction(self, steps: list[_Step]) -> None:
        wanted = [step.what for step in steps if isinstance(step.what, Wanted)]
        held = [step.what for step in steps if not isinstance(step.what, Wanted)]
        claimed: dict[UUID, Claimed] = {}
        gone: set[UUID] = set()
        try:
            async with self._db.system() as session:
                if held:
                    gone = await repository.delete(session, held, self._holder)
                if wanted:
                    claimed = await repository.claims(session, wanted, self._holder, self._seconds)
        except BaseException as error:
            for step in steps:
                if not step.answer.done():
                    step.answer.set_exception(error) if isinstance(error, Exception) else step.answer.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            for step in steps:
                if not step.answer.done():
                    name = step.what.work_id
                    step.answer.set_result(
                        claimed.get(name) if isinstance(step.what, Wanted) else name in gone
                    )
