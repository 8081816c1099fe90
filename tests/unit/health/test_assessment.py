"""How a connection fares, judged from facts alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.health.assessment import (
    FAILING_AFTER,
    LEVELS,
    ConnectionFacts,
    Health,
    StreamFacts,
    assess,
    assess_stream,
    lag,
    stream_health,
    target,
)
from trunkline.resilience.failures import failures

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STATES = ("pending", "setup", "active", "paused", "reconnect_required", "disconnected")


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def stream(**facts: object) -> StreamFacts:
    """Read every minute, at most 15 min behind, 20 s ago."""
    usual = {
        "stream": "contacts",
        "schedule_seconds": 60,
        "freshness_seconds": 900,
        "created_at": ago(days=9),
        "last_success_at": ago(seconds=20),
    }
    return StreamFacts(**(usual | facts))  # type: ignore[arg-type]


def connection(*streams: StreamFacts, state: str = "active", cause: str | None = None) -> ConnectionFacts:
    return ConnectionFacts(
        id=UUID(int=1), state=state, state_since=ago(hours=2), cause=cause, streams=streams
    )


def judged(*streams: StreamFacts, **facts: str) -> Health:
    found = assess(connection(*streams, **facts), NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("facts", "level", "cause", "action"),
    [
        ({}, "healthy", None, "none"),
        ({"last_success_at": ago(minutes=16)}, "delayed", None, "wait"),
        ({"last_success_at": ago(minutes=14, seconds=59)}, "healthy", None, "none"),
        ({"schedule_seconds": 3600, "last_success_at": ago(minutes=119)}, "healthy", None, "none"),
        ({"schedule_seconds": 3600, "last_success_at": ago(minutes=121)}, "delayed", None, "wait"),
        ({"last_success_at": None, "created_at": ago(minutes=5)}, "healthy", None, "none"),
        ({"last_success_at": None, "created_at": ago(hours=5)}, "delayed", None, "wait"),
        ({"last_success_at": None, "created_at": ago(hours=5), "running": True}, "healthy", None, "none"),
        ({"last_success_at": ago(hours=5), "running": True}, "delayed", None, "wait"),
        (
            {
                "last_success_at": ago(hours=5),
                "waiting_until": NOW + timedelta(minutes=2),
                "cause": "daily_limit",
            },
            "delayed",
            "daily_limit",
            "wait",
        ),
        (
            {"last_success_at": ago(hours=5), "waiting_until": NOW + timedelta(minutes=2)},
            "delayed",
            "rate_limited",
            "wait",
        ),
        ({"last_success_at": ago(hours=5), "waiting_until": ago(minutes=2)}, "delayed", None, "wait"),
        # a limit within the target is everyday life
        ({"cause": "rate_limited", "waiting_until": NOW + timedelta(seconds=9)}, "healthy", None, "none"),
        ({"failures": 1, "cause": "provider_error"}, "degraded", "provider_error", "wait"),
        ({"failures": FAILING_AFTER, "cause": "provider_error"}, "failing", "provider_error", "wait"),
        ({"failures": 1, "cause": "bad_request"}, "failing", "bad_request", "retry"),
        ({"failures": 1, "cause": "forbidden", "paused_at": ago(hours=1)}, "failing", "forbidden", "resume"),
        ({"failures": 1, "cause": "never_heard_of"}, "degraded", "unclassified", "wait"),
        ({"failures": 1}, "degraded", "unclassified", "wait"),
    ],
)
def test_a_stream(facts: dict[str, object], level: str, cause: str | None, action: str) -> None:
    found = judged(stream(**facts))
    assert (found.level, found.cause, found.action) == (level, cause, action)


def test_reconnecting_wins_over_every_stream() -> None:
    found = judged(
        stream(failures=9, cause="provider_error"), state="reconnect_required", cause="missing_scope"
    )
    assert (found.level, found.cause, found.since) == ("reconnect_needed", "missing_scope", ago(hours=2))


@pytest.mark.parametrize("state", ["pending", "setup", "paused", "disconnected"])
def test_where_the_state_says_it_all(state: str) -> None:
    assert assess(connection(stream(failures=9, cause="provider_error"), state=state), NOW) is None
    assert lag(connection(stream(), state=state), NOW) is None


def test_the_worst_stream_decides_and_of_two_the_older_trouble() -> None:
    fine, late = stream(stream="deals"), stream(stream="companies", last_success_at=ago(hours=9))
    young = stream(stream="contacts", failures=4, cause="provider_error", cause_since=ago(minutes=1))
    old = stream(stream="tickets", failures=4, cause="provider_timeout", cause_since=ago(minutes=9))
    assert judged(fine, late).stream == "companies"
    assert judged(fine, late, young, old).stream == "tickets"


def test_what_was_paused_on_purpose_is_not_judged() -> None:
    by_member = stream(
        paused_at=ago(days=9), cause="paused_by_member", last_success_at=ago(days=9), failures=2
    )
    without_recipe = stream(stream="deals", paused_at=ago(days=9), last_success_at=ago(days=9))
    found = judged(by_member, without_recipe)
    assert found.level == "healthy"
    assert "paused" in found.customer
    assert lag(connection(by_member), NOW) is None
    assert "set up a recipe" in judged().customer


def test_the_lag_is_that_of_the_stream_furthest_behind_not_of_the_worst() -> None:
    broken = stream(failures=9, cause="provider_error", last_success_at=ago(minutes=1))
    late = stream(stream="deals", last_success_at=ago(hours=3))
    found = connection(broken, late)
    assert judged(broken, late).stream == "contacts"
    assert lag(found, NOW) == 3 * 3600
    assert lag(connection(stream(last_success_at=None)), NOW) is None
    assert lag(connection(stream(last_success_at=NOW + timedelta(seconds=3))), NOW) == 0


def test_one_try_is_spelt_as_one() -> None:
    assert "One try failed." in judged(stream(failures=1, cause="provider_error")).support
    assert "2 tries in a row failed." in judged(stream(failures=2, cause="provider_error")).support


def test_what_the_provider_prepares_is_no_limit() -> None:
    one = stream(waiting_until=NOW + timedelta(minutes=1), cause="provider_preparing")
    found = judged(one)
    assert "limit" not in found.customer
    assert "preparing" in found.customer


@pytest.mark.parametrize(
    ("facts", "level", "why"),
    [
        ({}, "healthy", "current"),
        ({"running": True, "mode": "incremental"}, "healthy", "reading"),
        ({"last_success_at": None, "running": True}, "healthy", "first"),
        ({"waiting_until": NOW + timedelta(minutes=1), "cause": "daily_limit"}, "healthy", "limit"),
        (
            {"waiting_until": NOW + timedelta(minutes=1), "cause": "provider_preparing"},
            "healthy",
            "preparing",
        ),
        ({"last_success_at": ago(hours=5)}, "delayed", "queued"),
        ({"last_success_at": ago(hours=5), "running": True, "mode": "incremental"}, "delayed", "behind"),
        ({"last_success_at": ago(hours=5), "running": True, "mode": "full"}, "delayed", "rereading"),
        ({"last_success_at": ago(hours=5), "waiting_until": NOW + timedelta(minutes=1)}, "delayed", "limit"),
        (
            {
                "last_success_at": ago(hours=5),
                "waiting_until": NOW + timedelta(minutes=1),
                "cause": "circuit_open",
            },
            "delayed",
            "circuit",
        ),
        ({"failures": 1, "cause": "provider_error"}, "degraded", "retrying"),
        ({"failures": 1, "cause": "circuit_open"}, "degraded", "circuit"),
        ({"failures": 1, "cause": "bad_request"}, "failing", "failed"),
        ({"failures": 1, "cause": "forbidden", "paused_at": ago(hours=1)}, "failing", "halted"),
        ({"failures": 0, "cause": "schema_changed", "paused_at": ago(hours=1)}, "failing", "halted"),
        ({"review_since": ago(hours=1)}, "degraded", "review"),
        ({"paused_at": ago(hours=1), "cause": "paused_by_member"}, None, "paused"),
        ({"paused_at": ago(hours=1)}, None, "unread"),
    ],
)
def test_why_and_what_is_being_done(facts: dict[str, object], level: str | None, why: str) -> None:
    one = stream(**facts)
    found = stream_health(connection(one), one, NOW)
    assert (found.level, found.why) == (level, why)
    assert found.doing.endswith(".")
    assert found.target_seconds == 900


@pytest.mark.parametrize(
    ("state", "level", "why"),
    [
        ("reconnect_required", "reconnect_needed", "reconnect"),
        ("paused", None, "stopped"),
        ("disconnected", None, "stopped"),
    ],
)
def test_a_stream_shares_its_connections_lot(state: str, level: str | None, why: str) -> None:
    found = stream_health(connection(stream(), state=state), stream(), NOW)
    assert (found.level, found.why, found.since) == (level, why, ago(hours=2))


def test_a_target_is_at_least_two_schedules() -> None:
    assert target(stream(schedule_seconds=3600)) == 7200
    assert target(stream(schedule_seconds=60)) == 900


moments = st.integers(-40 * 86400, 120).map(lambda seconds: NOW + timedelta(seconds=seconds))
causes = st.sampled_from([*failures(), "never_heard_of", "", "<script>"])
streams = st.builds(
    StreamFacts,
    stream=st.sampled_from(["contacts", "deals"]),
    schedule_seconds=st.integers(30, 10**6),
    freshness_seconds=st.integers(30, 10**6),
    created_at=moments,
    last_success_at=st.none() | moments,
    next_due_at=st.none() | moments,
    waiting_until=st.none() | st.integers(-900, 900).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    failures=st.integers(0, 12),
    cause=st.none() | causes,
    cause_since=st.none() | moments,
    paused_at=st.none() | moments,
    running=st.booleans(),
    mode=st.sampled_from([None, "first", "incremental", "full"]),
    review_since=st.none() | moments,
    records=st.integers(0, 10**9),
)
connections = st.builds(
    ConnectionFacts,
    id=st.just(UUID(int=1)),
    state=st.sampled_from(STATES),
    state_since=moments,
    cause=st.none() | causes,
    streams=st.lists(streams, max_size=4).map(tuple),
)


@given(connections)
def test_every_combination_has_a_level_with_sentences_and_a_beginning(facts: ConnectionFacts) -> None:
    found = assess(facts, NOW)
    if facts.state not in {"active", "reconnect_required"}:
        assert found is None
        return
    assert found is not None
    assert found.level in LEVELS
    assert (found.level == "reconnect_needed") == (facts.state == "reconnect_required")
    for sentence in (found.customer, found.support):
        assert sentence.strip().endswith(".")
    assert found.since <= NOW
    assert found.cause is None or found.cause in failures()
    assert found.lag_seconds is None or found.lag_seconds >= 0
    assert found.waiting_until is None or found.waiting_until > NOW
    assert (lag(facts, NOW) or 0) >= 0
    if found.level in {"degraded", "failing"}:
        assert found.cause is not None


@given(streams, st.integers(1, 12))
def test_more_failures_never_look_healthier(facts: StreamFacts, more: int) -> None:
    worse = msgspec.structs.replace(facts, failures=facts.failures + more)
    assert LEVELS.index(assess_stream(worse, NOW).level) <= LEVELS.index(assess_stream(facts, NOW).level)
    before, after = (assess(connection(one), NOW) for one in (facts, worse))
    assert before is not None
    assert after is not None
    assert LEVELS.index(after.level) <= LEVELS.index(before.level)


@given(streams, st.integers(1, 10**7))
def test_an_older_success_never_looks_healthier(facts: StreamFacts, seconds: int) -> None:
    if facts.last_success_at is None:
        return
    older = msgspec.structs.replace(facts, last_success_at=facts.last_success_at - timedelta(seconds=seconds))
    assert LEVELS.index(assess_stream(older, NOW).level) <= LEVELS.index(assess_stream(facts, NOW).level)


@given(st.lists(streams, min_size=1, max_size=4), streams)
def test_another_stream_never_makes_it_healthier(some: list[StreamFacts], another: StreamFacts) -> None:
    before, after = judged(*some), judged(*some, another)
    assert LEVELS.index(after.level) <= LEVELS.index(before.level)


@given(connections)
def test_every_stream_has_a_reason_in_words_and_is_never_healthy_beyond_its_target(
    facts: ConnectionFacts,
) -> None:
    worst = assess(facts, NOW)
    lines = [stream_health(facts, one, NOW) for one in facts.streams]
    for found in lines:
        for sentence in (found.customer, found.support, found.doing):
            assert sentence.strip().endswith(".")
        assert found.since <= NOW
        assert found.target_seconds > 0
        assert found.cause is None or found.cause in failures()
        if found.level == "healthy":
            assert (found.lag_seconds or 0) <= found.target_seconds
            assert found.why in {"current", "reading", "first", "limit", "circuit"}
        if found.level in {"degraded", "failing", "reconnect_needed"}:
            assert found.cause is not None
        if found.level is None:
            assert found.why in {"paused", "unread", "stopped"}
    levels = [found.level for found in lines if found.level is not None]
    if worst is not None and levels:
        assert worst.level == min(levels, key=LEVELS.index), "the page's lines add up to its headline"
