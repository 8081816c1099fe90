"""What many requests a second ask for, kept for a moment: found once however many wait for it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """`seconds`: how late a change may count. `at_once`: finds under way at a time."""

    def __init__(
        self,
        find: Callable[[Key], Awaitable[Value]],
        *,
        seconds: float = 2.0,
        most: int = 10_000,
        at_once: int = 8,
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._most = most
        self._turns = asyncio.Semaphore(at_once)
        self._held: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._finding: dict[Key, asyncio.Future[Value]] = {}

    async def get(self, key: Key) -> Value:
        held = self._held.get(key)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        task = self._finding.get(key)
        if task is None:
            task = self._finding[key] = asyncio.ensure_future(self._take(key))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def forget(self, key: Key | None = None) -> None:
        """All of it without a key."""
        if key is None:
            self._held.clear()
        else:
            self._held.pop(key, None)

    async def _take(self, key: Key) -> Value:
        async with self._turns:
            value = await self._find(key)
        self._held[key] = time.monotonic() + self._seconds, value
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return value

    def _done(self, key: Key, done: "asyncio.Future[Value]") -> None:
        self._finding.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it
