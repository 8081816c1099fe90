"""When a delivery is tried again, over whatever may happen."""

from datetime import UTC, datetime, timedelta
from statistics import mean

from hypothesis import given
from hypothesis import strategies as st

from trunkline.deliveries.schedule import (
    STEPS,
    TRIES,
    certificate_notice,
    next_attempt,
    next_certificate_notice,
    rest,
)
from trunkline.resilience.backoff import MAX_RETRY_AFTER

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_ten_attempts_over_about_75_hours() -> None:
    assert TRIES == 10
    assert timedelta(hours=75) <= timedelta(seconds=sum(STEPS)) <= timedelta(hours=76)
    assert list(STEPS) == sorted(STEPS)


def test_on_average_a_step_is_what_it_takes() -> None:
    """Full jitter, spread from nothing to twice the step."""
    for tries, step in enumerate(STEPS, 1):
        waits = [(next_attempt(tries, {}, NOW) - NOW).total_seconds() for _ in range(4000)]  # type: ignore[operator]
        assert 0.93 * step < mean(waits) < 1.07 * step
        assert min(waits) < 0.1 * step
        assert max(waits) > 1.9 * step


@given(st.integers(1, TRIES - 1))
def test_never_before_now_nor_beyond_twice_the_step(tries: int) -> None:
    at = next_attempt(tries, {}, NOW)
    assert at is not None
    assert timedelta() <= at - NOW <= timedelta(seconds=2 * STEPS[tries - 1])


@given(st.integers(TRIES, 10_000))
def test_after_the_tenth_there_is_none(tries: int) -> None:
    assert next_attempt(tries, {}, NOW) is None


@given(st.integers(1, TRIES - 1), st.integers(0, int(MAX_RETRY_AFTER)))
def test_never_before_what_is_asked_for(tries: int, seconds: int) -> None:
    at = next_attempt(tries, {"Retry-After": str(seconds)}, NOW)
    assert at is not None
    assert at >= NOW + timedelta(seconds=seconds)
    assert at <= NOW + timedelta(seconds=max(seconds + 5, 2 * STEPS[tries - 1]))


@given(
    st.integers(1, TRIES - 1), st.text(max_size=40) | st.integers(min_value=int(MAX_RETRY_AFTER) + 1).map(str)
)
def test_whatever_the_header_says_the_schedule_holds(tries: int, value: str) -> None:
    at = next_attempt(tries, {"retry-after": value}, NOW)
    assert at is not None
    assert NOW <= at <= NOW + timedelta(seconds=max(MAX_RETRY_AFTER + 5, 2 * STEPS[tries - 1]))


@given(st.integers(100, 599), st.integers(1, int(MAX_RETRY_AFTER)))
def test_a_rest_is_asked_for_by_429_and_503_alone(status: int, seconds: int) -> None:
    found = rest(status, {"retry-after": str(seconds)}, NOW)
    assert found == (NOW + timedelta(seconds=seconds) if status in {429, 503} else None)
    assert rest(429, {}, NOW) is None


def test_the_end_of_a_certificate_is_told_of_30_and_7_days_before_and_when_it_has_come() -> None:
    ends, second = NOW + timedelta(days=100), timedelta(seconds=1)
    moments = [ends - timedelta(days=30), ends - timedelta(days=7), ends]
    assert next_certificate_notice(ends, NOW) == moments[0]
    for days, moment, before, after in zip(
        (30, 7, 0), moments, (None, 30, 7), [*moments[1:], None], strict=True
    ):
        assert certificate_notice(ends, moment - second) == before
        assert next_certificate_notice(ends, moment - second) == moment
        assert certificate_notice(ends, moment) == days
        assert next_certificate_notice(ends, moment) == after
