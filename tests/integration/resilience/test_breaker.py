"""Breakers stop calls that would fail, one customer's never another's, and let one call try; with Valkey and without."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from resilience_kit.one import Clock, One, caller

from trunkline.kernel.clock import now
from trunkline.resilience.breaker import (
    FAILURES,
    FIRST_SECONDS,
    HOST_PROBE,
    LONGEST_SECONDS,
    PROBE,
    PROBE_SECONDS,
    REMEMBERED_SECONDS,
    SPREAD,
    TENANTS,
)
from trunkline.resilience.limiter import Admission
from trunkline.sdk.manifest import Rate

WIDE = Rate(bucket="b", requests=1_000_000, seconds=0.1)


@pytest.fixture(params=["shared", "alone"])
async def valkey(request: Any, valkey_url: str) -> AsyncIterator[Redis]:
    alone = request.param == "alone"
    client = Redis.from_url("redis://127.0.0.1:1" if alone else valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def fleet(valkey: Redis, clock: Clock) -> "Fleet":
    return Fleet(valkey, clock)


class Fleet:
    """Workers that share what they can: two with Valkey, one without."""

    def __init__(self, valkey: Redis, clock: Clock) -> None:
        self.clock = clock
        alone = "port" in valkey.connection_pool.connection_kwargs
        make = lambda: One(valkey, [WIDE], tenant_rate=WIDE, clock=clock)  # noqa: E731
        self.workers = [make() for _ in range(1 if alone else 2)]
        self._turn = 0

    async def ask(self, who: Any) -> tuple[One, Admission, Any]:
        """By the workers in turn. Time passes in which an idle budget of one process alone recovers."""
        self._turn += 1
        one = self.workers[self._turn % len(self.workers)]
        self.clock.now += 0.01
        budget = one.of(who=who)
        found = await one.ask(budget)
        if found.cause == "rate_limited":  # just after Valkey was found away
            self.clock.now += found.wait + 0.01
            found = await one.ask(budget)
        return one, found, budget

    async def fail(self, who: Any, times: int = 1, code: str = "provider_error") -> None:
        for _ in range(times):
            one, found, budget = await self.ask(who)
            assert found.wait == 0
            await one.limiter.failed(budget, found, code)

    async def succeed(self, who: Any) -> None:
        one, found, budget = await self.ask(who)
        assert found.wait == 0
        await one.limiter.answered(budget, found, {}, now())

    async def open(self, who: Any) -> float:
        """Seconds for which the breaker holds the caller back; 0: not at all."""
        _, found, _ = await self.ask(who)
        assert found.cause == ("circuit_open" if found.wait else "")
        return found.wait


async def test_failures_in_a_row_open_it_and_a_single_probe_closes_it(fleet: Fleet) -> None:
    who = caller(1)
    await fleet.fail(who, FAILURES - 1)
    await fleet.succeed(who)  # what went before does not count any more
    await fleet.fail(who, FAILURES - 1)
    assert await fleet.open(who) == 0
    await fleet.fail(who)
    wait = await fleet.open(who)
    assert FIRST_SECONDS * (1 - SPREAD) - 1 < wait <= FIRST_SECONDS * (1 + SPREAD)
    fleet.clock.now += wait + 0.01
    one, probe, budget = await fleet.ask(who)
    assert probe.wait == 0
    assert probe.known & PROBE
    for _ in range(4):
        assert 0 < await fleet.open(who) <= PROBE_SECONDS
    await one.limiter.answered(budget, probe, {}, now())
    for _ in range(4):
        assert await fleet.open(who) == 0


async def test_a_probe_that_fails_waits_longer_up_to_a_bound(fleet: Fleet) -> None:
    who = caller(1)
    await fleet.fail(who, FAILURES)
    periods = []
    for _ in range(6):
        wait = await fleet.open(who)
        periods.append(wait)
        fleet.clock.now += wait + 0.01
        await fleet.fail(who)
    for number, period in enumerate(periods):
        about = min(FIRST_SECONDS * 2**number, LONGEST_SECONDS)
        assert about * (1 - SPREAD) - 1 < period <= about * (1 + SPREAD)


async def test_a_probe_that_was_lost_is_followed_by_another(fleet: Fleet) -> None:
    who = caller(1)
    await fleet.fail(who, FAILURES)
    fleet.clock.now += FIRST_SECONDS * (1 + SPREAD)
    assert await fleet.open(who) == 0  # the probe; its process ends
    assert await fleet.open(who) > 0
    fleet.clock.now += PROBE_SECONDS
    await fleet.succeed(who)
    assert await fleet.open(who) == 0


async def test_stragglers_do_not_prolong_it(fleet: Fleet) -> None:
    who = caller(1)
    begun = [await fleet.ask(who) for _ in range(20)]
    for one, found, budget in begun:
        await one.limiter.failed(budget, found, "provider_timeout")
    assert 0 < await fleet.open(who) <= FIRST_SECONDS * (1 + SPREAD)


async def test_one_customers_broken_accounts_stop_nobody_else(fleet: Fleet) -> None:
    """However many connections they have, and however long it lasts."""
    healthy = caller(100, tenant=2)
    for round_ in range(FAILURES):
        for connection in range(1, 6):
            await fleet.fail(caller(connection, tenant=1))
        if round_ == FAILURES - 1:
            assert await fleet.open(caller(1, tenant=1)) > 0
        assert await fleet.open(healthy) == 0
    fleet.clock.now += FIRST_SECONDS * 2
    for connection in range(1, 6):
        await fleet.fail(caller(connection, tenant=1))
    assert await fleet.open(healthy) == 0


async def test_a_host_that_fails_several_tenants_stops_all_of_its_calls_and_no_others(fleet: Fleet) -> None:
    for number in range(FAILURES):
        await fleet.fail(caller(number, tenant=number % TENANTS), code="provider_unreachable")
    newcomer = caller(50, tenant=50)
    wait = await fleet.open(newcomer)
    assert 0 < wait <= FIRST_SECONDS * (1 + SPREAD)
    assert await fleet.open(caller(51, tenant=50, host="crm@eu.api.test")) == 0
    fleet.clock.now += wait + 0.01
    one, probe, budget = await fleet.ask(newcomer)
    assert probe.known & HOST_PROBE
    assert await fleet.open(caller(52, tenant=52)) > 0, "one probe for all"
    await one.limiter.answered(budget, probe, {}, now())
    assert await fleet.open(caller(52, tenant=52)) == 0


async def test_answers_between_failures_keep_the_host_open_for_calls(fleet: Fleet) -> None:
    """Three tenants' accounts are broken at a provider that serves everybody else."""
    for number in range(5 * FAILURES):
        await fleet.fail(caller(number, tenant=number % 3))
        await fleet.succeed(caller(90, tenant=9))
    assert await fleet.open(caller(91, tenant=10)) == 0


@pytest.mark.parametrize(
    "code", ["rate_limited", "token_rejected", "egress_refused", "bad_request", "internal_error"]
)
async def test_what_is_not_the_providers_trouble_opens_nothing(fleet: Fleet, code: str) -> None:
    who = caller(1)
    await fleet.fail(who, 3 * FAILURES, code)
    assert await fleet.open(who) == 0


async def test_what_cannot_be_read_opens_the_connections_alone(fleet: Fleet) -> None:
    for number in range(3):
        await fleet.fail(caller(number, tenant=number), FAILURES, "malformed_answer")
        assert await fleet.open(caller(number, tenant=number)) > 0
    assert await fleet.open(caller(9, tenant=9)) == 0


async def test_old_failures_are_forgotten(fleet: Fleet) -> None:
    who = caller(1)
    await fleet.fail(who, FAILURES - 1)
    if len(fleet.workers) > 1:
        left = await fleet.workers[0].limiter._valkey.pttl(fleet.workers[0].of(who=who).breakers[0])
        assert 0 < left <= REMEMBERED_SECONDS * 1000
        return
    fleet.clock.now += REMEMBERED_SECONDS + 1
    await fleet.fail(who)
    assert await fleet.open(who) == 0


async def test_a_probe_is_not_used_up_by_a_call_that_its_budget_refuses(valkey: Redis, clock: Clock) -> None:
    narrow = Rate(bucket="b", requests=1, seconds=60)
    one = One(valkey, [narrow], clock=clock)
    await one.ask()
    clock.now += 600
    for _ in range(FAILURES):
        found = await one.ask()
        assert found.wait == 0
        clock.now += 600
        await one.limiter.failed(one.budget, found, "provider_error")
    clock.now += FIRST_SECONDS * 2
    assert (await one.ask(one.budget)).known & PROBE


async def test_valkey_hears_of_success_only_when_there_was_trouble(valkey_url: str, clock: Clock) -> None:
    """The hot path is one round trip a page."""
    valkey = Redis.from_url(valkey_url)
    one = One(valkey, [WIDE], clock=clock)
    await one.ask()  # loads the script

    await valkey.config_resetstat()
    found = await one.ask()
    await one.limiter.answered(one.budget, found, {}, now())
    stats = await valkey.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert set(stats) <= {*("cmdstat_evalsha", "cmdstat_mget", "cmdstat_set", "cmdstat_config|resetstat")}
    await one.limiter.failed(one.budget, found, "provider_error")
    found = await one.ask()
    await one.limiter.answered(one.budget, found, {}, now())
    found = await one.ask()
    assert found.known == 0
    await valkey.aclose()


async def test_many_ask_at_once_and_one_probes(fleet: Fleet) -> None:
    who = caller(1)
    await fleet.fail(who, FAILURES)
    fleet.clock.now += FIRST_SECONDS * 2
    found = await asyncio.gather(*(fleet.ask(who) for _ in range(40)))
    assert sum(1 for _, one, _ in found if one.wait == 0) == 1
