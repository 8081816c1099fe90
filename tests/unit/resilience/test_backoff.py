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
        ("-5", None),
        ("86400", MAX_RETRY_AFTER),
        ("86401", None),
        ("99999999999", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("10, 20", None),
        ("9" * 500, None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=3), usegmt=True), 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("Mon, 23 Nov 2026 12:01:00", 60.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-AFTER": value}, NOW) == seconds


def test_absent() -> None:
    assert retry_after({"content-type": "text/plain", "date": "x"}, NOW) is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_it_says(value: str, date: str) -> None:
    seconds = retry_after({"Retry-After": value, "Date": date}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.integers(0, int(MAX_RETRY_AFTER)), st.sampled_from(["{}", " {}", "{} ", "{}.0", "0{}"]))
def test_seconds_are_taken_at_their_word(seconds: int, form: str) -> None:
    assert retry_after({"Retry-After": form.format(seconds)}, NOW) == seconds


@given(st.integers(0, int(MAX_RETRY_AFTER)), st.timedeltas(timedelta(days=-700), timedelta(days=700)))
def test_a_date_is_counted_by_the_providers_clock(seconds: int, skew: timedelta) -> None:
    """However wrong either clock is."""
    theirs = (NOW + skew).replace(microsecond=0)
    asked = format_datetime(theirs + timedelta(seconds=seconds), usegmt=True)
    headers = {"Retry-After": asked, "Date": format_datetime(theirs, usegmt=True)}
    assert retry_after(headers, NOW) == seconds


@given(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)), st.text(max_size=40))
def test_a_date_without_one_of_the_answers_own_is_counted_by_ours(at: datetime, broken: str) -> None:
    at = at.replace(microsecond=0)
    left = (at - NOW).total_seconds()
    found = retry_after({"Retry-After": format_datetime(at, usegmt=True), "Date": "?" + broken}, NOW)
    assert found == (max(0.0, left) if left <= MAX_RETRY_AFTER else None)


@given(
    st.one_of(
        st.integers(max_value=-1), st.integers(int(MAX_RETRY_AFTER) + 1), st.just("nan"), st.just("1e400")
    )
)
def test_an_absurd_number_is_not_believed(number: object) -> None:
    assert retry_after({"Retry-After": str(number)}, NOW) is None
