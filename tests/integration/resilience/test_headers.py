"""What providers say in their headers keeps us within what they really allow, whoever else uses the account."""

from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from resilience_kit.one import Clock, One

from trunkline.resilience.pace import LONGEST
from trunkline.sdk.manifest import Rate, RateHeaders
from trunkline.sdk.simulator_faults import RateWindow

MANIFEST = 100
"""Requests in 10 s."""
ROLLING = RateHeaders(limit="x-max", remaining="x-left", window_ms="x-window")
FIXED = RateHeaders(limit="x-max", remaining="x-left", reset="x-reset")


def of(headers: RateHeaders) -> Rate:
    return Rate(bucket="b", requests=MANIFEST, seconds=10, headers=headers)


class Account:
    """At a provider that allows `limit` in 10 s, rolling or counted anew each time."""

    def __init__(self, clock: Clock, limit: int, *, rolling: bool) -> None:
        self.clock = clock
        self.limit = limit
        self.rolling = rolling
        self.refused = False
        """The latest call."""
        self._window = RateWindow(lambda: datetime.fromtimestamp(clock.now, UTC), limit, 10)
        self._since = clock.now
        self._spent = 0

    def call(self) -> dict[str, str]:
        if self.rolling:
            self.refused = not self._window.admit("")
            left, reset = self._window.remaining(""), None
        else:
            while self.clock.now >= self._since + 10:
                self._since, self._spent = self._since + 10, 0
            self.refused = self._spent >= self.limit
            self._spent += 1
            left, reset = max(0, self.limit - self._spent), self._since + 10 - self.clock.now
        headers = {"x-max": str(self.limit), "x-left": str(left), "x-window": "10000"}
        return headers if reset is None else {**headers, "x-reset": f"{reset:.3f}"}


@pytest.mark.parametrize("rolling", [True, False], ids=["rolling", "fixed"])
@pytest.mark.parametrize(
    ("limit", "others"),
    [(100, 0.0), (100, 6.0), (40, 0.0), (100, 9.5)],
    ids=["alone", "shared", "small", "crowded"],
)
async def test_a_provider_never_has_to_refuse_us(
    valkey: Redis, clock: Clock, rolling: bool, limit: int, others: float
) -> None:
    """`others`: calls a second of other apps of the account. Two workers press as hard as they may."""
    account = Account(clock, limit, rolling=rolling)
    pair = [One(valkey, [of(ROLLING if rolling else FIXED)], clock=clock) for _ in range(2)]
    step, owed, ours, refused = 0.05, 0.0, 0, 0
    for tick in range(800):
        owed += others * step
        while owed >= 1:
            account.call()
            owed -= 1
        if tick == 400:
            ours = refused = 0  # the first half is for learning
        one = pair[tick % 2]
        found = await one.ask()
        if found.wait == 0:
            ours += 1
            await one.limiter.answered(one.budget, found, account.call(), datetime.now(UTC))
            if account.refused:
                refused += 1
                await one.limiter.penalise(one.budget, 10)
        clock.now += step
    assert refused <= (0 if others < 9 else 3)  # where next to nothing is left, a try now and then may fail
    free = (limit - kept_of(limit) - others * 10) * 2  # in 20 s
    assert ours >= 0.6 * free


def kept_of(limit: int) -> int:
    return limit // 10


async def test_it_decays_by_itself_and_never_goes_beyond_the_manifest(valkey: Redis, clock: Clock) -> None:
    one = One(valkey, [of(FIXED)], clock=clock)

    async def granted(seconds: float) -> int:
        count = 0
        for _ in range(int(seconds * 20)):
            count += await one.wait() == 0
            clock.now += 0.05
        return count

    found = await one.ask()
    await hear(one, found, {"x-left": "0", "x-reset": "6"})
    assert await granted(5.9) == 0
    assert 70 <= await granted(10.1) <= 100
    clock.now += 60
    found = await one.ask()
    await hear(one, found, {"x-left": "1000000", "x-max": "1000000", "x-reset": "0.001"})
    assert await granted(10) <= 90


@pytest.mark.parametrize(
    "headers",
    [
        {"x-left": "-1", "x-reset": "-1", "x-max": "-1"},
        {"x-left": "NaN", "x-reset": "NaN", "x-max": "NaN"},
        {"x-left": "1e308", "x-reset": "1e308", "x-max": "1e-308"},
        {"x-left": "9" * 5000, "x-reset": "inf", "x-max": "0"},
        {"x-left": "\x00", "x-reset": "'; DROP", "x-max": "1 2 3"},
    ],
    ids=range(5),
)
async def test_hostile_values_change_nothing(valkey: Redis, clock: Clock, headers: dict[str, str]) -> None:
    one = One(valkey, [of(FIXED)], clock=clock)
    for _ in range(10):
        found = await one.ask()
        assert found.wait == 0
        await hear(one, found, headers)
    assert not [key for key in await valkey.keys("*") if key.endswith(b":slow")]


async def test_the_worst_that_can_be_said_ends_soon(valkey: Redis, clock: Clock) -> None:
    """Nothing left of a whole day: asked again after a quarter of an hour."""
    rate = Rate(bucket="b", requests=10_000, seconds=86_400, headers=FIXED)
    one = One(valkey, [rate], clock=clock)
    await hear(one, await one.ask(), {"x-left": "0", "x-reset": "80000"})
    found = await one.ask()
    assert found.cause == "daily_limit"
    assert LONGEST - 1 < found.wait <= LONGEST
    clock.now += found.wait + 0.001
    assert await one.wait() == 0


async def test_workers_hear_of_it_through_each_other(valkey: Redis, clock: Clock) -> None:
    first, second = (One(valkey, [of(FIXED)], clock=clock) for _ in range(2))
    await hear(first, await first.ask(), {"x-left": "0", "x-reset": "8"})
    assert await first.wait() > 7
    assert await second.wait() > 7
    assert (await second.ask(interactive=True)).wait > 7
    clock.now += 8.01
    assert await second.wait() == 0


async def test_without_valkey_headers_are_heeded_by_who_heard_them(clock: Clock) -> None:
    away = Redis.from_url("redis://127.0.0.1:1")
    one = One(away, [of(FIXED)], clock=clock)
    await one.ask()
    clock.now += 20
    await hear(one, await one.ask(), {"x-left": "0", "x-reset": "9"})
    clock.now += 5
    assert 3.9 < await one.wait() <= 4
    clock.now += 4.01
    assert await one.wait() == 0
    await away.aclose()


async def hear(one: One, admission: Any, headers: dict[str, str]) -> None:
    assert admission.wait == 0
    await one.limiter.answered(one.budget, admission, headers, datetime.now(UTC))
