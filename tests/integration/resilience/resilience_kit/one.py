"""A clock that tests move, callers, and a limiter with one rate."""

from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from trunkline.resilience.budgets import Budget, Caller
from trunkline.resilience.limiter import Admission, RateLimiter
from trunkline.sdk.manifest import Rate

WIDE = Rate(bucket="tenant", requests=100_000, seconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def caller(connection: int = 8, *, tenant: int = 7, host: str = "crm@api.test", **more: Any) -> Caller:
    return Caller(tenant_id=UUID(int=tenant), connection_id=UUID(int=connection), host=host, **more)


class One:
    """A limiter as one worker process has it, and a caller's budget in it."""

    def __init__(self, valkey: Redis, rates: Sequence[Rate], bucket: str = "b", **more: Any) -> None:
        self.who: Caller = more.pop("who", caller())
        self.limiter = RateLimiter(valkey, **{"tenant_rate": WIDE, **more})
        self.rates = rates
        self.budget = self.of(bucket)

    def of(self, bucket: str = "b", who: Caller | None = None) -> Budget:
        return self.limiter.budget(self.rates, who or self.who, bucket)

    async def ask(self, budget: Budget | None = None, **more: Any) -> Admission:
        return await self.limiter.acquire(budget or self.budget, **more)

    async def wait(self, budget: Budget | None = None, **more: Any) -> float:
        return (await self.ask(budget, **more)).wait


def within(grants: list[float], rate: Rate) -> None:
    """No half-open window of the rate's length holds more than its requests."""
    window: deque[float] = deque()
    for at in grants:
        while window and at - window[0] >= rate.seconds - 1e-6:
            window.popleft()
        window.append(at)
        assert len(window) <= rate.requests
