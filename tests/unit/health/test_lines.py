"""A stream that is read for each record of another is never shown as fresher than that one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from trunkline.health.assessment import ConnectionFacts, StreamFacts, stream_health
from trunkline.health.lines import stream_lines
from trunkline_connectors.catalogue import manifests

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PARENTS = {"comments": "tickets"}


def ago(**given: float) -> datetime:
    return NOW - timedelta(**given)


def stream(name: str, **facts: object) -> StreamFacts:
    usual: dict[str, object] = {
        "stream": name,
        "schedule_seconds": 60,
        "freshness_seconds": 900,
        "created_at": ago(days=3),
        "last_success_at": ago(minutes=1),
        "next_due_at": NOW,
    }
    return StreamFacts(**(usual | facts))  # type: ignore[arg-type]


def connection(*streams: StreamFacts) -> ConnectionFacts:
    return ConnectionFacts(
        id=UUID(int=1), state="active", state_since=ago(days=3), cause=None, streams=streams
    )


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({"failures": 1, "cause": "provider_error", "cause_since": ago(minutes=5)}, "degraded"),
        ({"failures": 4, "cause": "provider_error", "cause_since": ago(hours=2)}, "failing"),
        ({"cause": "forbidden", "cause_since": ago(hours=2), "paused_at": ago(hours=2)}, "failing"),
        ({"last_success_at": ago(hours=2)}, "delayed"),
    ],
)
def test_it_shares_the_trouble_of_what_it_is_read_for(facts: dict[str, object], level: str) -> None:
    tickets = stream("tickets", **{"last_success_at": ago(hours=2)} | facts)
    known = connection(stream("comments"), tickets)
    assert stream_health(known, known.streams[0], NOW).level == "healthy"
    line, other = stream_lines(known, PARENTS, NOW).values()
    assert (line.level, line.why, line.waits_for) == (level, "parent", "tickets")
    assert (line.since, line.customer, line.cause) == (other.since, other.customer, other.cause)
    assert line.lag_seconds == 7200
    assert line.doing.endswith(".")


def test_while_somebody_paused_that_one_nothing_new_is_found() -> None:
    tickets = stream("tickets", paused_at=ago(hours=1), cause="paused_by_member")
    line = stream_lines(connection(tickets, stream("comments")), PARENTS, NOW)["comments"]
    assert (line.level, line.why, line.waits_for) == (None, "parent", "tickets")


@pytest.mark.parametrize("facts", [{}, {"review_since": ago(hours=1)}])
def test_it_stands_by_itself_while_that_one_is_read(facts: dict[str, object]) -> None:
    lines = stream_lines(connection(stream("tickets", **facts), stream("comments")), PARENTS, NOW)
    assert (lines["comments"].level, lines["comments"].waits_for) == ("healthy", None)


def test_a_worse_trouble_of_its_own_is_told_first() -> None:
    tickets = stream("tickets", last_success_at=ago(hours=2))
    comments = stream("comments", failures=5, cause="forbidden", cause_since=ago(hours=3))
    line = stream_lines(connection(tickets, comments), PARENTS, NOW)["comments"]
    assert (line.level, line.cause, line.why) == ("failing", "forbidden", "failed")


def test_it_is_bound_by_everything_above_it_and_others_are_not() -> None:
    failing = {"failures": 4, "cause": "provider_error", "cause_since": ago(hours=2)}
    parents = {"comments": "tickets", "tickets": "boards"}
    known = connection(stream("comments"), stream("tickets"), stream("boards", **failing), stream("users"))
    lines = stream_lines(known, parents, NOW)
    assert [(one.stream, one.level) for one in lines.values()] == [
        ("comments", "failing"),
        ("tickets", "failing"),
        ("boards", "failing"),
        ("users", "healthy"),
    ]
    assert stream_lines(known, {"comments": "gone"}, NOW)["comments"].level == "healthy"


def test_whose_they_are_stands_in_the_manifest() -> None:
    freshdesk = next(one for one in manifests() if one.name == "freshdesk")
    assert freshdesk.parents == {"conversations": "tickets"}
