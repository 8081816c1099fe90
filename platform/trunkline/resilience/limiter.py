"""Rate budgets of connections and tenants, shared by all workers through Valkey.

GCRA: a bucket of N requests in W seconds gives a burst of b = max(1, N // 10) and then one each
W / (N + 1 - b), so that no window of W seconds, wherever it begins, sees more than N. Valkey holds only
ids and times, which expire. While it is away each process spends half the rate divided by an assumed number
of workers.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.sdk.manifest import Rate

TENANT_RATE = Rate(bucket="tenant", requests=500, seconds=10)
"""What one tenant may ask of providers, over all its connections: several busy accounts' worth."""
ASSUMED_WORKERS = 4
LOCAL_SHARE = 0.5
CALL_SECONDS = 0.5
REST_SECONDS = 1.0
"""After a failure Valkey is left alone for so long."""
LOCAL_KEYS = 10_000
_MICRO = 1_000_000

_SCRIPT = (Path(__file__).parent / "gcra.lua").read_text("utf-8")
log = structlog.get_logger(__name__)


class _Bucket(msgspec.Struct, frozen=True):
    key: str
    interval: int
    """Microseconds between grants."""
    tolerance: int
    """Microseconds that grants may run ahead: the burst."""


class RateLimiter:
    """`clock`: seconds, for tests; by default the server's time in Valkey and this process' without it."""

    def __init__(
        self,
        valkey: Redis,
        *,
        tenant_rate: Rate = TENANT_RATE,
        workers: int = ASSUMED_WORKERS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._valkey = valkey
        self._script = valkey.register_script(_SCRIPT)
        self._tenant_rate = tenant_rate
        self._workers = workers
        self._clock = clock
        self._arrivals: OrderedDict[str, int] = OrderedDict()
        self._penalties: OrderedDict[str, int] = OrderedDict()
        self._rest_until = 0.0
        self.local = False
        """Whether the last answer came from the local budget."""

    async def acquire(
        self, rates: Sequence[Rate], tenant_id: UUID, connection_id: UUID, bucket: str, *, cost: int = 1
    ) -> float:
        """Seconds to wait before asking again; 0: granted, and counted in every budget at once.

        `rates` are the manifest's; those of `bucket` count, beside the tenant's budget. ValueError: `cost`
        can never be granted.
        """
        mine = [rate for rate in rates if rate.bucket == bucket]
        if any(not 1 <= cost <= rate.requests for rate in (*mine, self._tenant_rate)):
            raise ValueError(f"a cost of {cost} does not fit the budget of bucket {bucket!r}")
        prefix = f"trunkline:rate:{connection_id}:{bucket}"
        named = [(f"{prefix}:{rate.requests}/{rate.seconds:g}", rate) for rate in mine]
        named.append((f"trunkline:rate:{tenant_id}", self._tenant_rate))
        penalty = _penalty_key(connection_id, bucket)
        closed = self._penalties.get(penalty, 0) - self._local_now()
        if closed > 0:
            return closed / _MICRO
        if time.monotonic() >= self._rest_until:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await self._shared(penalty, [_shape(key, rate, cost) for key, rate in named], cost)
            except (RedisError, OSError) as error:
                self._away(error)
        self.local = True
        return self._own([self._strict(key, rate, cost) for key, rate in named], cost)

    async def penalise(self, connection_id: UUID, bucket: str, seconds: float) -> None:
        """Close a connection's bucket for everybody, after a 429; a longer penalty stands."""
        key = _penalty_key(connection_id, bucket)
        micros = max(0, int(seconds * _MICRO))
        _put(self._penalties, key, max(self._penalties.get(key, 0), self._local_now() + micros))
        if micros == 0 or time.monotonic() < self._rest_until:
            return
        try:
            async with asyncio.timeout(CALL_SECONDS):
                now = await self._shared_now()
                current = int(await self._valkey.get(key) or 0)
                if now + micros > current:
                    await self._valkey.set(key, now + micros, px=micros // 1000 + 1000)
        except (RedisError, OSError) as error:
            self._away(error)

    async def _shared(self, penalty: str, buckets: Sequence[_Bucket], cost: int) -> float:
        now = -1 if self._clock is None else round(self._clock() * _MICRO)
        numbers = [number for bucket in buckets for number in (bucket.interval, bucket.tolerance)]
        wait = await self._script(
            keys=[penalty, *(bucket.key for bucket in buckets)], args=[now, cost, *numbers]
        )
        if self.local:
            self.local = False
            log.info("rate budgets are shared again")
        return int(wait) / _MICRO

    def _own(self, buckets: Sequence[_Bucket], cost: int) -> float:
        now = self._local_now()
        after = {one.key: max(self._arrivals.get(one.key, 0), now) + one.interval * cost for one in buckets}
        wait = max(after[one.key] - one.tolerance - now for one in buckets)
        if wait > 0:
            return wait / _MICRO
        for key, arrival in after.items():
            _put(self._arrivals, key, arrival)
        return 0.0

    def _strict(self, key: str, rate: Rate, cost: int) -> _Bucket:
        """A process' share without Valkey: no burst, for nobody sees what the others spend."""
        interval = math.ceil(_interval(rate) * self._workers / LOCAL_SHARE)
        return _Bucket(key, interval, interval * cost)

    def _local_now(self) -> int:
        return round((self._clock or time.time)() * _MICRO)

    async def _shared_now(self) -> int:
        if self._clock is not None:
            return self._local_now()
        seconds, micros = await self._valkey.time()
        return int(seconds) * _MICRO + int(micros)

    def _away(self, error: Exception) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        if not self.local:
            log.warning("Valkey is away: stricter local rate budgets", error=type(error).__name__)


def _penalty_key(connection_id: UUID, bucket: str) -> str:
    return f"trunkline:rate:{connection_id}:{bucket}:closed"


def _burst(rate: Rate) -> int:
    return max(1, rate.requests // 10)


def _interval(rate: Rate) -> int:
    return math.ceil(rate.seconds * _MICRO / (rate.requests + 1 - _burst(rate)))


def _shape(key: str, rate: Rate, cost: int) -> _Bucket:
    interval = _interval(rate)
    return _Bucket(key, interval, interval * max(_burst(rate), cost))


def _put(store: OrderedDict[str, int], key: str, value: int) -> None:
    """Bounded: the one touched longest ago goes first."""
    store[key] = value
    store.move_to_end(key)
    if len(store) > LOCAL_KEYS:
        store.popitem(last=False)
