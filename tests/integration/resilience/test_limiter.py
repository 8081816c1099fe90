"""The budgets hold over several limiters, with Valkey and without."""

import asyncio
from collections import deque
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from trunkline.kernel.embedded import EmbeddedServers
from trunkline.resilience import limiter
from trunkline.resilience.limiter import RateLimiter
from trunkline.sdk.manifest import Rate

TENANT, CONNECTION = UUID(int=7), UUID(int=8)
WIDE = Rate(bucket="tenant", requests=100_000, seconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def valkey(valkey_url: str):
    client = Redis.from_url(valkey_url)
    yield client
    await client.aclose()


def within(grants: list[float], rate: Rate) -> None:
    """No half-open window of the rate's length holds more than its requests."""
    window: deque[float] = deque()
    for at in grants:
        while window and at - window[0] >= rate.seconds - 1e-6:
            window.popleft()
        window.append(at)
        assert len(window) <= rate.requests


@pytest.mark.parametrize(
    "rate",
    [
        Rate(bucket="default", requests=110, seconds=10),
        Rate(bucket="search", requests=5, seconds=1),
        Rate(bucket="one", requests=1, seconds=3),
        Rate(bucket="minute", requests=13, seconds=60),
    ],
    ids=lambda rate: rate.bucket,
)
async def test_never_more_than_the_limit_in_any_window_over_two_processes(valkey: Redis, rate: Rate) -> None:
    clock = Clock()
    pair = [RateLimiter(valkey, tenant_rate=WIDE, clock=clock) for _ in range(2)]
    grants: list[float] = []
    step = rate.seconds / rate.requests / 3.7
    for _ in range(int(rate.requests * 3.7 * 4)):  # four windows of asking far too often
        waits = [await one.acquire([rate], TENANT, CONNECTION, rate.bucket) for one in pair]
        grants += [clock.now] * waits.count(0)
        clock.now += step
    within(grants, rate)
    assert len(grants) >= 0.8 * rate.requests * 4  # and not much less either


async def test_waiting_as_told_is_enough(valkey: Redis) -> None:
    clock, rate = Clock(), Rate(bucket="b", requests=20, seconds=2)
    one = RateLimiter(valkey, tenant_rate=WIDE, clock=clock)
    grants = []
    for _ in range(100):
        wait = await one.acquire([rate], TENANT, CONNECTION, "b")
        if wait:
            clock.now += wait + 2e-6  # as floats go
            assert await one.acquire([rate], TENANT, CONNECTION, "b") == 0
        grants.append(clock.now)
    within(grants, rate)


async def test_all_budgets_or_none(valkey: Redis) -> None:
    """A refusal by one budget is not charged to the other; a tenant's budget spans its connections."""
    clock = Clock()
    tenant_rate = Rate(bucket="tenant", requests=3, seconds=10)
    one = RateLimiter(valkey, tenant_rate=tenant_rate, clock=clock)
    rate = Rate(bucket="b", requests=40, seconds=10)
    other = UUID(int=9)
    assert await one.acquire([rate], TENANT, CONNECTION, "b") == 0
    assert await one.acquire([rate], TENANT, other, "b") > 0
    before = await valkey.get(f"trunkline:rate:{other}:b:40/10")
    assert before is None
    assert await one.acquire([rate], UUID(int=70), other, "b") == 0


async def test_keys_expire_and_hold_ids_only(valkey: Redis) -> None:
    one = RateLimiter(valkey)
    await one.acquire([Rate(bucket="b", requests=5, seconds=1)], TENANT, CONNECTION, "b")
    await one.penalise(CONNECTION, "b", 30)
    keys = await valkey.keys("*")
    assert len(keys) == 3
    for key in keys:
        assert await valkey.pttl(key) > 0
        assert str(TENANT) in key.decode() or str(CONNECTION) in key.decode()


async def test_a_penalty_holds_for_every_process(valkey: Redis) -> None:
    clock = Clock()
    first, second = (RateLimiter(valkey, clock=clock) for _ in range(2))
    rates = [Rate(bucket="b", requests=50, seconds=1), Rate(bucket="c", requests=50, seconds=1)]
    await first.penalise(CONNECTION, "b", 20)
    await first.penalise(CONNECTION, "b", 5)  # a shorter one changes nothing
    for one in (first, second):
        assert 19 < await one.acquire(rates, TENANT, CONNECTION, "b") <= 20
        assert await one.acquire(rates, TENANT, CONNECTION, "c") == 0
    clock.now += 20.001
    for one in (first, second):
        assert await one.acquire(rates, TENANT, CONNECTION, "b") == 0


async def test_a_cost_that_never_fits(valkey: Redis) -> None:
    one = RateLimiter(valkey)
    with pytest.raises(ValueError, match="cost of 6"):
        await one.acquire([Rate(bucket="b", requests=5, seconds=1)], TENANT, CONNECTION, "b", cost=6)
    assert await one.acquire([Rate(bucket="b", requests=5, seconds=1)], TENANT, CONNECTION, "b", cost=5) == 0


async def test_without_valkey_stricter_and_then_shared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: EmbeddedServers
) -> None:
    monkeypatch.setattr(limiter, "REST_SECONDS", 0.0)
    clock = Clock()
    rate = Rate(bucket="b", requests=80, seconds=10)
    with EmbeddedServers(tmp_path, with_postgres=False) as own:
        client = Redis.from_url(own.valkey_url, socket_timeout=1)
        processes = [RateLimiter(client, tenant_rate=WIDE, workers=4, clock=clock) for _ in range(4)]
        assert await processes[0].acquire([rate], TENANT, CONNECTION, "b") == 0
        assert not processes[0].local
        own.stop()
        grants: list[float] = []
        for _ in range(600):
            waits = [await one.acquire([rate], TENANT, CONNECTION, "b") for one in processes]
            grants += [clock.now] * waits.count(0)
            clock.now += 0.05
        assert all(one.local for one in processes)
        within(grants, Rate(bucket="b", requests=rate.requests // 2, seconds=rate.seconds))
        assert grants
        await processes[0].penalise(CONNECTION, "b", 4)
        assert await processes[0].acquire([rate], TENANT, CONNECTION, "b") > 3
        clock.now += 10
        own.start()
        assert await processes[0].acquire([rate], TENANT, CONNECTION, "b") == 0
        assert not processes[0].local
        await client.aclose()


async def test_many_at_once(valkey: Redis) -> None:
    one = RateLimiter(valkey, tenant_rate=WIDE, clock=Clock())
    rate = Rate(bucket="b", requests=60, seconds=10)
    connection = uuid4()
    waits = await asyncio.gather(*(one.acquire([rate], TENANT, connection, "b") for _ in range(50)))
    assert waits.count(0) == 6  # the burst, however many ask
