"""Failures count three ways: of an account from an address, of an account, from an address."""

import pytest

from trunkline_tenants.throttle import CODE_LIMITS, LIMITS, WINDOW, Throttle


@pytest.fixture
def throttle() -> Throttle:
    return Throttle(None)


async def fail(throttle: Throttle, times: int, account: str, address: str) -> None:
    """`{}` in either stands for the number of the attempt."""
    for number in range(times):
        await throttle.failed(account.format(number), address.format(number))


async def test_an_account_is_slow_after_sixty_failures_wherever_they_come_from(throttle: Throttle) -> None:
    await fail(throttle, 59, "ada", "192.0.2.{}")
    assert await throttle.wait("ada", "198.51.100.1") == 0
    await fail(throttle, 1, "ada", "203.0.113.1")
    assert 0 < await throttle.wait("ada", "198.51.100.1") <= WINDOW
    assert await throttle.wait("grace", "198.51.100.1") == 0


async def test_an_address_is_slow_after_sixty_failures_whoever_they_are_for(throttle: Throttle) -> None:
    await fail(throttle, 59, "user{}", "192.0.2.1")
    assert await throttle.wait("grace", "192.0.2.1") == 0
    await fail(throttle, 1, "another", "192.0.2.1")
    assert 0 < await throttle.wait("grace", "192.0.2.1") <= WINDOW
    assert await throttle.wait("grace", "192.0.2.2") == 0


async def test_a_pair_is_slow_after_eight(throttle: Throttle) -> None:
    await fail(throttle, 7, "ada", "192.0.2.1")
    assert await throttle.wait("ada", "192.0.2.1") == 0
    await fail(throttle, 1, "ada", "192.0.2.1")
    assert await throttle.wait("ada", "192.0.2.1") > 0
    assert await throttle.wait("ada", "192.0.2.2") == await throttle.wait("grace", "192.0.2.1") == 0


async def test_success_forgives_the_pair_and_neither_account_nor_address(throttle: Throttle) -> None:
    await fail(throttle, 60, "ada", "192.0.2.1")
    await throttle.succeeded("ada", "192.0.2.1")
    assert await throttle.wait("ada", "198.51.100.1") > 0
    assert await throttle.wait("grace", "192.0.2.1") > 0


def test_codes_are_guessed_more_slowly_than_passwords() -> None:
    assert all(CODE_LIMITS[kind] <= LIMITS[kind] for kind in LIMITS)
    assert CODE_LIMITS["account"] <= 10
