"""Which parent's page comes next, with the first pages of those after it asked for meanwhile.

Most parents have one page. One call after another, a hundred thousand of them take hours; several at a time,
they come as fast as the provider's limits allow. The pages are given out in the order of the parents all the
same, so that nothing of what a checkpoint means depends on which of them answered first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from trunkline.runs.calling import OnWait
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.documents import Page
from trunkline.runs.parents import Parents
from trunkline.runs.walking import NONE_LEFT

AT_ONCE: Final = 6
"""Parents that are asked at the same time; each call is admitted by the rate budgets as any other."""

Ask = Callable[[Checkpoint, str, OnWait], Awaitable[Page]]
"""Of a parent: the page that the checkpoint's cursor asks for."""


class Walker:
    """Of one attempt."""

    def __init__(self, parents: Parents, ask: Ask, now: Callable[[], datetime]) -> None:
        self._parents = parents
        self._ask = ask
        self._now = now
        self._first: dict[str, _Asked] = {}
        """First pages that were asked for, by parent."""

    async def page(self, checkpoint: Checkpoint, on_wait: OnWait) -> tuple[Page, datetime]:
        """The page after this checkpoint, and when it was asked for; NONE_LEFT after the last parent.

        `on_wait` is told of a wait for this page alone. Raises what `ask` does, for this page alone.
        """
        begun = None if checkpoint.walk is None else checkpoint.walk.parent
        if begun is not None:
            asked = self._now()
            return await self._ask(checkpoint, begun, on_wait), asked
        moment = self._now()
        coming = await self._parents.coming(checkpoint, AT_ONCE)
        await self._drop(except_of=coming)
        for parent in coming:
            if parent not in self._first:
                self._first[parent] = _Asked(self._ask, checkpoint, parent, self._now())
        if not coming:
            return NONE_LEFT, moment
        first = self._first.pop(coming[0])
        return await first.page(on_wait), first.asked

    async def forget(self) -> None:
        """What was asked ahead; returns when no call of it is under way."""
        await self._drop(except_of=())

    async def _drop(self, *, except_of: Sequence[str]) -> None:
        past = [self._first.pop(one) for one in list(self._first) if one not in except_of]
        await asyncio.gather(*(one.end() for one in past))


class _Asked:
    """A page under way."""

    def __init__(self, ask: Ask, checkpoint: Checkpoint, parent: str, asked: datetime) -> None:
        self.asked = asked
        self._tell: OnWait | None = None
        self._waits: tuple[datetime, str] | None = None
        self._call = asyncio.ensure_future(ask(checkpoint, parent, self._on_wait))

    async def page(self, on_wait: OnWait) -> Page:
        self._tell = on_wait
        if self._waits is not None and not self._call.done():
            await on_wait(*self._waits)
        return await self._call

    async def end(self) -> None:
        self._call.cancel()
        await asyncio.gather(self._call, return_exceptions=True)

    async def _on_wait(self, until: datetime, cause: str) -> None:
        self._waits = until, cause
        if self._tell is not None:
            await self._tell(until, cause)
