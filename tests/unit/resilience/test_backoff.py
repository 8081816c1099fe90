from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.resilience.backoff import MAX_RETRY_AFTER, full_jitter, retry_after

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@given(tries=st.integers(-3, 10_000), base=st.floats(0.01, 60), cap=st.floats(0.01, 3600))
def test_a_wait_is_within_its_bounds(tries: int, base: float, cap: float) -> None:
    assert 0 <= full_jitter(tries, base, cap) <= min(cap, base * 2.0 ** min(max(tries - 1, 0), 62))


def test_waits_are_spread_and_grow() -> None:
    early, late = ([full_jitter(tries, 1, 300) for _ in range(200)] for tries in (1, 9))
    assert len(set(late)) > 100
    assert max(early) <= 1 < max(late)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10", 10.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("99999999999", MAX_RETRY_AFTER),
        ("inf", MAX_RETRY_AFTER),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("9" * 500, None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=3), usegmt=True), 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", MAX_RETRY_AFTER),
        ("Mon, 23 Nov 2026 12:01:00", 60.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-AFTER": value}, NOW) == seconds


def test_absent() -> None:
    assert retry_after({"content-type": "text/plain"}, NOW) is None


@given(st.text(max_size=80))
def test_whatever_it_says(value: str) -> None:
    seconds = retry_after({"Retry-After": value}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
