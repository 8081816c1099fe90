"""Slowing down who guesses passwords: failures counted per account and address, per account, per address.

A hint in Valkey, shared by all web processes; while Valkey is away each process counts alone. Keys hold
hashes, not addresses. A lost count costs an attacker's wait, never somebody's access.
"""

import hashlib
import time
from collections.abc import Mapping

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOW = 900
"""Seconds from the first failure until all are forgotten."""

LIMITS = {"pair": 8, "account": 60, "address": 60, "browser": 8}
"""Failures a window. An account's own is high, so that a stranger cannot easily lock its owner out; and a
browser that has signed in to the account before is counted by itself, so that no stranger can at all (OWASP
Authentication Cheat Sheet: device cookies)."""

CODE_LIMITS = {"pair": 5, "account": 10, "address": 60, "browser": 5}
"""Of one-time codes: whoever gets that far knows the password, and three codes in a million are right."""

_LARGEST = 20_000
"""Counters that a process keeps of its own; beyond that the oldest go."""


class Throttle:
    def __init__(self, valkey: "Redis | None", limits: Mapping[str, int] = LIMITS) -> None:
        self._valkey = valkey
        self._limits = limits
        self._own: dict[str, tuple[int, float]] = {}

    async def wait(self, account: str, address: str, browser: str = "") -> int:
        """Seconds until the next attempt is welcome; 0 for now. `browser`: one known to the account."""
        longest = 0
        for kind, key in _keys(account, address, browser).items():
            failures, left = await self._read(key)
            if failures >= self._limits[kind]:
                longest = max(longest, left)
        return longest

    async def failed(self, account: str, address: str, browser: str = "") -> None:
        for key in _keys(account, address, browser).values():
            self._count(key)
            if self._valkey is None:
                continue
            try:
                async with self._valkey.pipeline(transaction=True) as pipe:
                    pipe.incr(key)
                    pipe.expire(key, WINDOW, nx=True)
                    await pipe.execute()
            except (RedisError, OSError):
                continue

    async def succeeded(self, account: str, address: str, browser: str = "") -> None:
        """Forgets the pair's failures; the others stay, or an attacker's own account would reset them."""
        key = _keys(account, address, browser)["browser" if browser else "pair"]
        self._own.pop(key, None)
        if self._valkey is not None:
            try:
                await self._valkey.delete(key)
            except (RedisError, OSError):
                return

    async def _read(self, key: str) -> tuple[int, int]:
        count, until = self._own.get(key, (0, 0.0))
        left = until - time.monotonic()
        own = (count, int(left) + 1) if left > 0 else (0, 0)
        if self._valkey is None:
            return own
        try:
            async with self._valkey.pipeline(transaction=True) as pipe:
                pipe.get(key)
                pipe.ttl(key)
                found, ttl = await pipe.execute()
        except (RedisError, OSError):
            return own
        return max(own, (int(found or 0), max(1, int(ttl))))

    def _count(self, key: str) -> None:
        moment = time.monotonic()
        count, until = self._own.get(key, (0, 0.0))
        self._own[key] = (count + 1, until) if until > moment else (1, moment + WINDOW)
        while len(self._own) > _LARGEST:
            del self._own[next(iter(self._own))]


def _keys(account: str, address: str, browser: str) -> dict[str, str]:
    parts: dict[str, tuple[str, ...]] = (
        {"browser": (account, browser)}
        if browser
        else {"pair": (account, address), "account": (account,), "address": (address,)}
    )
    return {
        kind: f"login:{kind}:{hashlib.blake2b(msgspec.json.encode(value), digest_size=16).hexdigest()}"
        for kind, value in parts.items()
    }
