"""The budgets hold over several limiters, with Valkey and without."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from resilience_kit.one import Clock, One, caller, within

from trunkline.kernel.embedded import EmbeddedServers
from trunkline.resilience import limiter
from trunkline.resilience.budgets import kept
from trunkline.sdk.manifest import Rate

CLIENT = UUID(int=99)


@pytest.mark.parametrize("interactive", [False, True], ids=["background", "interactive"])
@pytest.mark.parametrize(
    "rate",
    [
        Rate(bucket="default", requests=110, seconds=10),
        Rate(bucket="search", requests=5, seconds=1),
        Rate(bucket="one", requests=1, seconds=3),
        Rate(bucket="minute", requests=13, seconds=60),
        Rate(bucket="*", requests=60, seconds=86_400),
    ],
    ids=lambda rate: rate.bucket,
)
async def test_never_more_than_the_limit_in_any_window_over_two_processes(
    valkey: Redis, clock: Clock, rate: Rate, interactive: bool
) -> None:
    pair = [One(valkey, [rate], rate.bucket, clock=clock) for _ in range(2)]
    grants: list[float] = []
    step = rate.seconds / rate.requests / 1.9
    for _ in range(int(rate.requests * 1.9 * 3)):  # three windows of asking far too often
        waits = [await one.wait(interactive=interactive) for one in pair]
        grants += [clock.now] * waits.count(0)
        clock.now += step
    allowed = rate.requests if interactive else rate.requests - kept(rate)
    within(grants, Rate(bucket="b", requests=allowed, seconds=rate.seconds))
    assert len(grants) >= 0.7 * allowed * 3  # and not much less either


async def test_waiting_as_told_is_enough(valkey: Redis, clock: Clock) -> None:
    rate = Rate(bucket="b", requests=20, seconds=2)
    one = One(valkey, [rate], clock=clock)
    grants = []
    for _ in range(100):
        wait = await one.wait()
        if wait:
            clock.now += wait + 2e-6  # as floats go
            assert await one.wait() == 0
        grants.append(clock.now)
    within(grants, rate)


async def test_background_work_leaves_its_reserve_to_interactive_calls(valkey: Redis, clock: Clock) -> None:
    """However hard background work presses, an interactive call goes through, and all together keep the rate."""
    rate = Rate(bucket="b", requests=40, seconds=10, reserve=0.2)
    syncs, people = One(valkey, [rate], clock=clock), One(valkey, [rate], clock=clock)
    grants: list[float] = []
    background = 0
    for tick in range(300):
        while await syncs.wait() == 0:
            background += 1
            grants.append(clock.now)
        if tick % 10 == 0:  # one in two seconds
            assert await people.wait(interactive=True) == 0
            grants.append(clock.now)
        clock.now += 0.2
    within(grants, rate)
    assert background >= 0.6 * 40 * 6
    # all eight at once, beyond what background work has just taken to the end
    assert await syncs.wait() > 0
    clock.now += 5
    while await syncs.wait() == 0:
        pass
    assert [await people.wait(interactive=True) for _ in range(8)] == [0.0] * 8
    assert await people.wait(interactive=True) > 0


async def test_all_budgets_or_none(valkey: Redis, clock: Clock) -> None:
    """A refusal by one budget is not charged to the other; a tenant's budget spans its connections."""
    tenant_rate = Rate(bucket="tenant", requests=3, seconds=10)
    one = One(valkey, [Rate(bucket="b", requests=40, seconds=10)], tenant_rate=tenant_rate, clock=clock)
    assert await one.wait() == 0
    other = one.of(who=caller(9))
    assert await one.wait(other) > 0
    assert await valkey.get(other.gates[0].key) is None
    assert await one.wait(one.of(who=caller(9, tenant=70))) == 0


async def test_who_shares_a_rate(valkey: Redis, clock: Clock) -> None:
    """By its scope: the connection alone, the same account, or everybody of the OAuth client."""
    mine = caller(1, tenant=1, client_id=CLIENT, account="a")
    same_account = caller(2, tenant=2, client_id=CLIENT, account="a")
    same_client = caller(3, tenant=3, client_id=CLIENT, account="b")
    stranger = caller(4, tenant=4, client_id=UUID(int=98), account="a")
    for scope, shared in (
        ("connection", [True, False, False, False]),
        ("account", [True, True, False, False]),
        ("client", [True, True, True, False]),
    ):
        rate = Rate(bucket="b", requests=1, seconds=10, scope=scope)
        one = One(valkey, [rate], who=mine, clock=clock)
        assert await one.wait() == 0
        for who, waits in zip((mine, same_account, same_client, stranger), shared, strict=True):
            found = await one.ask(one.of(who=who))
            assert (found.wait > 0) == waits, (scope, who)
            assert found.cause == ("rate_limited" if waits else "")
    assert not [key for key in await valkey.keys("*") if b":a:" in key], "an account's id stays with us"


async def test_a_penalty_closes_the_bucket_for_all_who_share_it(valkey: Redis, clock: Clock) -> None:
    """A 429 of a rate that an account or a client shares; of several rates it is the narrowest that ran out."""
    mine = caller(1, tenant=1, client_id=CLIENT, account="a")
    same_account = caller(2, tenant=2, client_id=CLIENT, account="a")
    same_client = caller(3, tenant=3, client_id=CLIENT, account="b")
    for scopes, shared in (
        (["connection"], [True, False, False]),
        (["account"], [True, True, False]),
        (["client"], [True, True, True]),
        (["client", "account"], [True, True, False]),
        (["account", "connection"], [True, False, False]),
    ):
        rates = [Rate(bucket="b", requests=1000, seconds=10, scope=scope) for scope in scopes]
        first, second = One(valkey, rates, who=mine, clock=clock), One(valkey, rates, who=mine, clock=clock)
        await first.limiter.penalise(first.budget, 30)
        for one in (first, second):  # the process that heard it, and any other
            for who, waits in zip((mine, same_account, same_client), shared, strict=True):
                found = await one.ask(one.of(who=who))
                assert (found.wait > 0) == waits, (scopes, who)
        await valkey.flushdb()


async def test_a_rate_over_every_bucket_and_a_days_budget(valkey: Redis, clock: Clock) -> None:
    rates = [
        Rate(bucket="b", requests=1000, seconds=1),
        Rate(bucket="c", requests=1000, seconds=1),
        Rate(bucket="*", requests=300, seconds=86_400),
    ]
    one = One(valkey, rates, clock=clock)
    granted = 0
    while (found := await one.ask(one.of("bc"[granted % 2]))).wait == 0:
        granted += 1
    assert granted == 30  # the day's burst, whichever the bucket
    assert found.cause == "daily_limit"
    assert 60 < found.wait <= 86_400 / (301 - 60) + 1


async def test_keys_expire_and_hold_ids_only(valkey: Redis) -> None:
    one = One(valkey, [Rate(bucket="b", requests=5, seconds=1)])
    await one.wait()
    await one.limiter.penalise(one.budget, 30)
    keys = await valkey.keys("*")
    assert len(keys) == 3
    for key in keys:
        assert await valkey.pttl(key) > 0
        assert str(one.who.tenant_id) in key.decode() or str(one.who.connection_id) in key.decode()


async def test_a_penalty_holds_for_every_process(valkey: Redis, clock: Clock) -> None:
    rates = [Rate(bucket="b", requests=50, seconds=1), Rate(bucket="c", requests=50, seconds=1)]
    first, second = (One(valkey, rates, clock=clock) for _ in range(2))
    await first.limiter.penalise(first.budget, 20)
    await first.limiter.penalise(first.budget, 5)  # a shorter one changes nothing
    for one in (first, second):
        assert 19 < await one.wait() <= 20
        assert await one.wait(one.of("c")) == 0
    clock.now += 20.001
    for one in (first, second):
        assert await one.wait() == 0


async def test_a_cost_that_never_fits(valkey: Redis) -> None:
    one = One(valkey, [Rate(bucket="b", requests=5, seconds=1)])
    with pytest.raises(ValueError, match="cost of 6"):
        await one.wait(cost=6)
    assert await one.wait(cost=5) == 0


@pytest.mark.parametrize("how", ["stopped", "out of memory"])
async def test_without_valkey_stricter_and_then_shared_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, servers: EmbeddedServers, how: str
) -> None:
    """Valkey stops in the middle, or refuses every write: connection's, client's and tenant's budgets hold in
    all processes together.
    """
    monkeypatch.setattr(limiter, "REST_SECONDS", 0.0)
    rate = Rate(bucket="b", requests=80, seconds=10)
    client_rate = Rate(bucket="*", requests=48, seconds=10, scope="client")
    with EmbeddedServers(tmp_path, with_postgres=False) as own:
        client = Redis.from_url(own.valkey_url, socket_timeout=1)
        fleet = [
            One(client, [rate, client_rate], who=caller(client_id=CLIENT), workers=4, clock=clock)
            for _ in range(4)
        ]
        grants: list[float] = []

        async def press(seconds: float) -> None:
            for tick in range(int(seconds * 8)):
                for one in fleet:
                    who = one.of(who=caller(8 + tick % 3, client_id=CLIENT))
                    grants.extend([clock.now] * ((await one.wait(who)) == 0))
                clock.now += 0.125

        await press(12)
        assert not any(one.limiter.local for one in fleet)
        assert grants
        if how == "stopped":
            own.stop()
        else:
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", "1")
        stopped = clock.now
        await press(30)
        assert all(one.limiter.local for one in fleet)
        within(grants, client_rate)  # also in the windows that saw both
        alone = [at for at in grants if at >= stopped]
        within(alone, Rate(bucket="b", requests=24, seconds=10))
        assert len(alone) >= 24
        await fleet[0].limiter.penalise(fleet[0].budget, 4)
        assert await fleet[0].wait() > 3
        clock.now += 10
        if how == "stopped":
            own.start()
        else:
            await client.config_set("maxmemory", "0")
        assert await fleet[0].wait() == 0
        assert not fleet[0].limiter.local
        await client.aclose()


async def test_many_at_once(valkey: Redis, clock: Clock) -> None:
    one = One(valkey, [Rate(bucket="b", requests=60, seconds=10)], clock=clock)
    budget = one.of(who=caller(uuid4().int))
    waits = await asyncio.gather(*(one.wait(budget) for _ in range(50)))
    assert waits.count(0) == 6  # the burst of background work, however many ask
    waits = await asyncio.gather(*(one.wait(budget, interactive=True) for _ in range(50)))
    assert waits.count(0) == 6  # and what is kept for others
