"""Names to addresses, each of them vetted: what is dialled is what was looked at."""

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final

import anyio
import anyio.to_thread
import httpcore2

from trunkline.kernel.egress.addresses import Address, is_public
from trunkline.kernel.egress.errors import EgressRefusedError

LOOKUP_SECONDS: Final = 5.0
THREADS: Final = 8
"""Lookups at a time; the system's resolver blocks a thread each, for as long as it likes."""
KEEP_SECONDS: Final = 5.0
"""A vetted answer serves that long, so that a burst of connections costs one lookup."""
KEEP_NAMES: Final = 1000

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a name, best first. OSError where there are none."""


class Resolver:
    def __init__(self, lookup: Lookup | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup or _System()
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, tuple[Address, ...]]] = OrderedDict()
        self._asking: dict[str, tuple[asyncio.Lock, list[None]]] = {}

    async def addresses(self, name: str) -> tuple[Address, ...]:
        """Public ones only. One that is not refuses the name: EgressRefusedError, and nothing is kept."""
        found = self._recall(name)
        if found is not None:
            return found
        async with self._alone(name):
            found = self._recall(name)
            if found is None:
                found = _vetted(name, await self._ask(name))
                self._kept[name] = (self._clock() + KEEP_SECONDS, found)
                self._kept.move_to_end(name)
                while len(self._kept) > KEEP_NAMES:
                    self._kept.popitem(last=False)
        return found

    def _recall(self, name: str) -> tuple[Address, ...] | None:
        until, found = self._kept.get(name, (0.0, ()))
        return found if until > self._clock() else None

    async def _ask(self, name: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._lookup(name)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{name} was not found within {LOOKUP_SECONDS:.0f} s.") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{name} has no address.") from error

    @contextlib.asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """One lookup of a name at a time; the others find what it found."""
        lock, waiting = self._asking.setdefault(name, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                self._asking.pop(name, None)


def _vetted(name: str, texts: Sequence[str]) -> tuple[Address, ...]:
    if not texts:
        raise httpcore2.ConnectError(f"{name} has no address.")
    found = tuple(dict.fromkeys(ip_address(text) for text in texts))
    for address in found:
        if not is_public(address):
            raise EgressRefusedError(f"{name} leads to an address that is not on the public internet.")
    return found


class _System:
    """getaddrinfo, in threads of our own number."""

    def __init__(self) -> None:
        self._threads: anyio.CapacityLimiter | None = None

    async def __call__(self, name: str) -> list[str]:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(THREADS)
        found = await anyio.to_thread.run_sync(
            _getaddrinfo, name, abandon_on_cancel=True, limiter=self._threads
        )
        return [str(address[0]) for *_, address in found]


def _getaddrinfo(name: str) -> list[tuple[int, int, int, str, tuple[str | int | bytes, ...]]]:
    return list(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
