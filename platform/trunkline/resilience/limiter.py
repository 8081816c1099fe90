"""May this call be made now? Budgets and breakers of connections, accounts, OAuth clients, hosts and tenants.

All workers share them through Valkey, in one round trip. It holds only ids, fingerprints and times, which
expire. While it is away each process spends half the rate divided by an assumed number of workers, and goes
by the breakers that its own calls have opened.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.resilience import breaker, budgets
from trunkline.resilience.breaker import HOST_KINDS, OWN_KINDS, LocalBreakers
from trunkline.resilience.budgets import MICRO, Budget, Caller, Gate
from trunkline.resilience.pace import CLOSED, Pace, pace
from trunkline.sdk.manifest import Rate

TENANT_RATE = Rate(bucket="tenant", requests=500, seconds=10)
"""What one tenant may ask of providers, over all its connections: several busy accounts' worth."""
ASSUMED_WORKERS = 4
CALL_SECONDS = 0.5
REST_SECONDS = 1.0
"""After a failure Valkey is left alone for so long."""
BLIND_SECONDS = 10.0
"""At most: a window that is waited out when Valkey goes away, for nobody knows what was spent in it."""
LOCAL_KEYS = 10_000
LONG_SECONDS = 12 * 3600
"""A budget of a longer window is a day's allowance, and a wait for it has a cause of its own."""

_FOLDER = Path(__file__).parent
log = structlog.get_logger(__name__)


class Admission(msgspec.Struct, frozen=True):
    """`wait` 0: go. Else seconds to wait before asking again, and the failure code that says why."""

    wait: float = 0.0
    cause: str = ""
    known: int = 0
    """Of the breakers; give it back with the outcome."""


_GO = Admission()


class _Heard(msgspec.Struct):
    """A pace, as this process heard it. Microseconds of its own clock."""

    ends: int
    pace: Pace
    told: bool = False
    """Valkey knows."""


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
        self._admission = valkey.register_script((_FOLDER / "admission.lua").read_text("utf-8"))
        self._outcome = valkey.register_script((_FOLDER / "outcome.lua").read_text("utf-8"))
        self._tenant_rate = tenant_rate
        self._workers = workers
        self._clock = clock
        self._arrivals: OrderedDict[str, int] = OrderedDict()
        self._penalties: OrderedDict[str, int] = OrderedDict()
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._breakers = LocalBreakers()
        self._rest_until = 0.0
        self._blind_since = 0
        self.local = False
        """Whether the last answer came from the local budget."""

    def budget(self, rates: Sequence[Rate], caller: Caller, bucket: str, *, cost: int = 1) -> Budget:
        """The manifest's `rates` of `bucket` and the tenant's own; to be kept and used for every call of
        that `cost`.
        """
        return budgets.budget(
            rates, caller, bucket, tenant_rate=self._tenant_rate, workers=self._workers, cost=cost
        )

    # -- before a call ----------------------------------------------------------------------

    async def acquire(self, budget: Budget, *, interactive: bool = False, cost: int = 1) -> Admission:
        """Granted, it is counted in every budget at once. ValueError: `cost` can never be granted."""
        if not 1 <= cost <= budget.most:
            raise ValueError(f"a cost of {cost} does not fit the budget of bucket {budget.bucket!r}")
        if self._penalties and (closed := self._penalties.get(budget.penalty)) is not None:
            left = closed - self._local_now()
            if left > 0:
                return Admission(left / MICRO, "rate_limited")
            del self._penalties[budget.penalty]
        if time.monotonic() >= self._rest_until:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await self._shared(budget, cost, interactive=interactive)
            except (RedisError, OSError) as error:
                self._away(error)
        return self._own(budget, cost, interactive=interactive)

    async def _shared(self, budget: Budget, cost: int, *, interactive: bool) -> Admission:
        now = -1 if self._clock is None else self._local_now()
        arguments = (
            *(now, cost, 2 if interactive else 1, breaker.PROBE_SECONDS * MICRO),
            *budget.numbers[interactive],
            *(self._untold(budget) if self._heard else ()),
        )
        answer = await self._admission(keys=budget.keys, args=arguments)
        if self.local:
            self.local = False
            log.info("rate budgets are shared again")
        if answer == 0:
            return _GO
        wait, reason = int(answer[0]), int(answer[1])
        if wait == 0:
            return Admission(known=reason)
        if reason < 0:
            return Admission(wait / MICRO, "circuit_open")
        return Admission(wait / MICRO, _cause(budget.gates[reason - 1]) if reason else "rate_limited")

    def _untold(self, budget: Budget) -> list[int]:
        news: list[int] = []
        now = self._local_now()
        for number, gate in enumerate(budget.gates, 1):
            heard = self._heard.get(gate.key)
            if heard is not None and not heard.told and heard.ends > now:
                heard.told = True
                news += (number, heard.ends - now, heard.pace.background, heard.pace.interactive)
        return news

    def _own(self, budget: Budget, cost: int, *, interactive: bool) -> Admission:
        """A process' share without Valkey: no burst, but an interactive call may go one ahead of its turn."""
        now = self._local_now()
        if not self.local:
            self.local, self._blind_since = True, now
            self._arrivals.clear()
        wait, known = self._breakers.gate(budget, now)
        if wait:
            return Admission(wait / MICRO, "circuit_open")
        after: dict[str, int] = {}
        cause = ""
        for gate in budget.gates:
            interval, ahead = gate.strict, gate.strict * (2 if interactive else 1)
            heard = self._heard.get(gate.key)
            if heard is not None and heard.ends > now:
                said = heard.pace.interactive if interactive else heard.pace.background
                if said == CLOSED and heard.ends - now > wait:
                    wait, cause = heard.ends - now, _cause(gate)
                if said > interval:
                    interval = ahead = said
            arrival = self._arrivals.get(gate.key)
            if arrival is None:
                arrival = self._blind_since + round(min(gate.rate.seconds, BLIND_SECONDS) * MICRO)
            taken = interval * cost * gate.units
            after[gate.key] = max(arrival, now) + taken
            needed = after[gate.key] - max(ahead, taken) - now
            if needed > wait:
                wait, cause = needed, _cause(gate)
        if wait:
            return Admission(wait / MICRO, cause)
        for key, arrival in after.items():
            _put(self._arrivals, key, arrival)
        if not known:
            return _GO
        self._breakers.probing(budget, known, now)
        return Admission(known=known)

    # -- after it ---------------------------------------------------------------------------

    async def answered(
        self, budget: Budget, admission: Admission, headers: Mapping[str, str], now: datetime
    ) -> None:
        """The host is there. `now`: by our clock. Costs no round trip while all is well."""
        for gate in budget.gates:
            if gate.rate.headers is not None:
                self._hear(gate, pace(gate, headers, now))
        self._breakers.answered(budget)
        if admission.known:
            await self._tell(budget, admission, well=True, host=False)

    async def failed(self, budget: Budget, admission: Admission, code: str) -> None:
        """`code`: of the failure table. Kinds that say nothing of the provider are passed over."""
        if code not in OWN_KINDS:
            return
        host = code in HOST_KINDS
        self._breakers.failed(budget, admission.known, self._local_now(), host=host)
        await self._tell(budget, admission, well=False, host=host)

    async def penalise(self, budget: Budget, seconds: float) -> None:
        """Close the bucket for everybody who shares it, after a 429; a longer penalty stands."""
        key = budget.penalty
        micros = max(0, int(seconds * MICRO))
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

    def _hear(self, gate: Gate, said: Pace | None) -> None:
        if said is None:
            self._heard.pop(gate.key, None)
            return
        ends = self._local_now() + round(said.seconds * MICRO)
        self._heard[gate.key] = _Heard(ends, said)
        self._heard.move_to_end(gate.key)
        if len(self._heard) > LOCAL_KEYS:
            self._heard.popitem(last=False)

    async def _tell(self, budget: Budget, admission: Admission, *, well: bool, host: bool) -> None:
        if time.monotonic() < self._rest_until:
            return
        now = -1 if self._clock is None else self._local_now()
        numbers = (breaker.FIRST_SECONDS * MICRO, breaker.LONGEST_SECONDS * MICRO)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._outcome(
                    keys=(*budget.breakers, f"{budget.breakers[1]}:tenants"),
                    args=(
                        *(now, int(well), admission.known, int(host), str(budget.caller.tenant_id)),
                        *(breaker.FAILURES, breaker.TENANTS, *map(int, numbers), breaker.spread()),
                        breaker.REMEMBERED_SECONDS * 1000,
                    ),
                )
        except (RedisError, OSError) as error:
            self._away(error)

    def _local_now(self) -> int:
        return round((self._clock or time.time)() * MICRO)

    async def _shared_now(self) -> int:
        if self._clock is not None:
            return self._local_now()
        seconds, micros = await self._valkey.time()
        return int(seconds) * MICRO + int(micros)

    def _away(self, error: Exception) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        if not self.local:
            log.warning("Valkey is away: stricter local rate budgets", error=type(error).__name__)


def _cause(gate: Gate) -> str:
    return "daily_limit" if gate.rate.seconds > LONG_SECONDS else "rate_limited"


def _put(store: OrderedDict[str, int], key: str, value: int) -> None:
    """Bounded: the one touched longest ago goes first."""
    store[key] = value
    store.move_to_end(key)
    if len(store) > LOCAL_KEYS:
        store.popitem(last=False)
