"""What headers say slows us down, never hurries us, and cannot stop us for long."""

import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.resilience.budgets import MICRO, Caller, Gate, budget, kept
from trunkline.resilience.pace import CLOSED, LONGEST, Pace, pace
from trunkline.sdk.manifest import Rate, RateHeaders

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
ROLLING = RateHeaders(limit="X-Max", remaining="X-Left", window_ms="X-Window")
FIXED = RateHeaders(limit="X-Max", remaining="X-Left", reset="X-Reset")


def gate(headers: RateHeaders | None, requests: int = 100, seconds: float = 10) -> Gate:
    rate = Rate(bucket="b", requests=requests, seconds=seconds, headers=headers)
    who = Caller(tenant_id=UUID(int=1), connection_id=UUID(int=2), host="x@y")
    return budget([rate], who, "b", tenant_rate=rate, workers=1).gates[0]


def said(one: Gate, **headers: Any) -> Pace | None:
    named = {f"x-{name}": str(value) for name, value in headers.items()}
    return pace(one, httpx2.Headers(named), NOW)


def test_without_headers_the_manifest_stands() -> None:
    assert said(gate(None), left=0) is None
    assert said(gate(ROLLING)) is None
    assert said(gate(FIXED), reset=5) is None


@pytest.mark.parametrize("left", range(20, 101))
def test_on_our_own_we_are_not_slowed(left: int) -> None:
    """Background work alone leaves at least a fifth of a rolling window: what it has not used, and the burst."""
    assert said(gate(ROLLING), max=100, left=left, window=10_000) is None


def test_on_pace_in_a_fixed_window_we_are_not_slowed() -> None:
    one = gate(FIXED)
    for spent in range(80):
        left, reset = 100 - spent, 10 - spent * one.interval / MICRO
        if reset > 0:
            assert said(one, max=100, left=left, reset=reset) is None


def test_what_others_took_is_spread_until_the_reset() -> None:
    found = said(gate(FIXED), max=100, left=20, reset=8)
    assert found == Pace(seconds=8, background=800_000, interactive=400_000)


def test_the_end_is_kept_for_interactive_calls() -> None:
    found = said(gate(FIXED), max=100, left=kept(gate(FIXED).rate), reset=8)
    assert found == Pace(seconds=8, background=CLOSED, interactive=800_000)
    assert said(gate(FIXED), max=100, left=0, reset=8) == Pace(
        seconds=8, background=CLOSED, interactive=CLOSED
    )


def test_a_lower_limit_than_the_manifests() -> None:
    """An account of a smaller plan: both what remains and the limit itself slow us, and the reserve shrinks."""
    found = said(gate(ROLLING), max=20, left=19, window=10_000)
    assert found is not None
    assert found.background == found.interactive == 500_000
    assert said(gate(RateHeaders(limit="X-Max")), max=10) == Pace(
        seconds=10, background=MICRO, interactive=MICRO
    )
    assert said(gate(ROLLING), max=2000, left=1999, window=10_000) is None


@pytest.mark.parametrize("skew", [0, -86_400 * 30, 86_400 * 400])
def test_a_reset_as_a_moment_is_read_by_the_providers_clock(skew: int) -> None:
    theirs = NOW + timedelta(seconds=skew)
    found = said(gate(FIXED), max=100, left=20, reset=theirs.timestamp() + 8)
    assert (found == Pace(seconds=8, background=800_000, interactive=400_000)) == (skew == 0)
    headers = {"X-Max": "100", "X-Left": "20", "X-Reset": f"{theirs.timestamp() + 8}"}
    dated = httpx2.Headers({**headers, "Date": format_datetime(theirs, usegmt=True)})
    assert pace(gate(FIXED), dated, NOW) == Pace(seconds=8, background=800_000, interactive=400_000)


def test_what_is_used_of_how_much_in_one_header() -> None:
    one = gate(RateHeaders(used="X-Info:api-usage"), requests=15_000, seconds=86_400)
    assert said(one, info="api-usage=907/15000") is None
    short = said(one, info="api-usage=14900/15000; per-app-api-usage=17/250(appName=x)")
    assert short is not None
    assert (short.background, short.interactive) == (CLOSED, 288 * MICRO)
    over = said(one, info="api-usage=15001/15000")
    assert over is not None
    assert over.interactive == CLOSED
    for bad in ("", "api-usage", "api-usage=907", "api-usage=x/15000", "other=1/2"):
        assert said(one, info=bad) is None


def test_one_header_for_several_values() -> None:
    names = RateHeaders(
        limit="RateLimit-Tickets:total",
        remaining="RateLimit-Tickets:remaining",
        reset="RateLimit-Tickets:resets",
    )
    headers = httpx2.Headers({"ratelimit-tickets": "total=100; remaining=20; resets=8"})
    assert pace(gate(names), headers, NOW) == Pace(seconds=8, background=800_000, interactive=400_000)
    assert pace(gate(names), httpx2.Headers({"ratelimit-tickets": "total"}), NOW) is None


numbers = st.one_of(
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["NaN", "-0", "1e309", "1e-300", "٣", "1_000", "0x10", "", " ", "9" * 400, "-1", "inf"]),
    st.text(string.printable, max_size=40),
)


@given(
    headers=st.dictionaries(st.sampled_from(["X-Max", "X-Left", "X-Reset", "X-Window"]), numbers),
    names=st.sampled_from([ROLLING, FIXED]),
    requests=st.integers(1, 10**6),
    seconds=st.floats(0.1, 86_400),
)
def test_hostile_values_are_harmless(
    headers: dict[str, str], names: RateHeaders, requests: int, seconds: float
) -> None:
    one = gate(names, requests, seconds)
    found = pace(one, headers, NOW)
    if found is None:
        return
    assert 0 < found.seconds <= LONGEST
    for spacing in (found.background, found.interactive):
        assert spacing == CLOSED or 0 <= spacing <= min(seconds, LONGEST) * MICRO + 1
    assert found.background == CLOSED or found.interactive <= found.background


@pytest.mark.parametrize("bad", ["-1", "NaN", "soon", "1e999", "1_0", "9" * 300])
def test_an_unreadable_remainder_says_nothing(bad: str) -> None:
    assert said(gate(ROLLING), left=bad) is None
    assert said(gate(FIXED), left=bad, reset=5) is None


@pytest.mark.parametrize("bad", ["-1", "NaN", "99999", "1e300", "4102444800"])
def test_an_unreadable_reset_is_as_none(bad: str) -> None:
    """A tenth of the window then, and not what an absurd moment would make of it."""
    assert said(gate(FIXED), max=100, left=0, reset=bad) == said(gate(ROLLING), max=100, left=0)
    found = said(gate(FIXED), max=100, left=11, reset=bad)
    assert found is not None
    assert found.seconds == 1
