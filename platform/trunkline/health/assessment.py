"""How a connection fares, judged from stored facts alone. Pure: no database, no clock of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.resilience.failures import UNCLASSIFIED, failure

Level = Literal["healthy", "delayed", "degraded", "failing", "reconnect_needed"]
LEVELS: tuple[Level, ...] = ("reconnect_needed", "failing", "degraded", "delayed", "healthy")
"""Worst first."""

Why = Literal[
    "current",
    "pushed",
    "reading",
    "first",
    "limit",
    "circuit",
    "preparing",
    "retrying",
    "failed",
    "halted",
    "review",
    "rereading",
    "behind",
    "queued",
    "paused",
    "unread",
    "stopped",
    "reconnect",
    "parent",
]
"""The one reason for how a stream stands; each has its words for what is being done."""

FAILING_AFTER = 3  # tries in a row: fewer are everyday life of a network
REVIEW = "mass_deletion"
"""Code of what somebody has to decide while the stream goes on."""
PREPARING = "provider_preparing"
"""Cause of a wait that no limit is behind."""
ON_PURPOSE = frozenset({"paused_by_member", "disconnected_by_member", "connector_withdrawn"})
"""Causes of a pause that are nobody's failure."""

_DOING: dict[Why, str] = {
    "current": "It is read again on schedule.",
    "pushed": "What is sent is taken in as it comes.",
    "reading": "A read is under way.",
    "first": "Everything is being read for the first time; from then on only what changes is.",
    "limit": "We wait for the provider's limit and then go on from where we stood.",
    "circuit": "We hold back and look again every minute or two, then go on from where we stood.",
    "preparing": "The provider is making the list; we look again every minute or so, then read it.",
    "retrying": "We try again by ourselves, from where we stood, with growing pauses.",
    "failed": "We try again at the next time of its schedule.",
    "halted": "Nothing is read until the cause is dealt with and somebody resumes it.",
    "review": "Nothing is deleted until a member decides the review; everything else goes on.",
    "rereading": "Everything is being read anew, and what has changed with it.",
    "behind": "A read is under way and is catching up.",
    "queued": "It is due and begins as soon as a worker is free.",
    "paused": "Nothing is read until somebody resumes it.",
    "unread": "Nothing is read until a recipe uses it.",
    "stopped": "Nothing is read; it goes on from where it stood when the connection works again.",
    "reconnect": "Nothing is read until the account is connected again; what was read is kept.",
    "parent": "It is read for each record of another stream, and hears of what is new when that one does.",
}


def doing(why: Why) -> str:
    """What is being done about it, or goes on: a sentence."""
    return _DOING[why]


class StreamFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of `streams`, and whether a run is under way."""

    stream: str
    schedule_seconds: int
    freshness_seconds: int
    created_at: datetime
    last_success_at: datetime | None = None
    next_due_at: datetime | None = None
    waiting_until: datetime | None = None
    failures: int = 0
    cause: str | None = None
    cause_since: datetime | None = None
    paused_at: datetime | None = None
    running: bool = False
    mode: str | None = None
    """Of the run under way: first, incremental, full."""
    review_since: datetime | None = None
    """Since when somebody is asked to decide about deletions."""
    records: int = 0

    @property
    def pushed(self) -> bool:
        """All there is comes by itself: it is never read, and silence makes it no older."""
        return self.schedule_seconds == 0


class ConnectionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of `connections` that matter here."""

    id: UUID
    state: str
    state_since: datetime
    cause: str | None
    streams: Sequence[StreamFacts] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """A level with its reason: `customer` and `support` are sentences, `cause` is a failure's code."""

    level: Level
    since: datetime
    customer: str
    support: str
    cause: str | None = None
    action: Literal["none", "wait", "reconnect", "resume", "retry"] = "none"
    """What the customer can do about it."""
    stream: str | None = None
    lag_seconds: int | None = None
    """Since the last complete pass; None before the first."""
    waiting_until: datetime | None = None
    why: Why = "current"
    target_seconds: int | None = None

    @property
    def doing(self) -> str:
        """What is being done about it, or goes on: a sentence."""
        return doing(self.why)


class StreamHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one stream stands against its target, in whatever state it and its connection are."""

    stream: str
    level: Level | None
    """None where nothing is meant to be read: it or what it is read for paused by somebody, no recipe,
    connection stopped."""
    why: Why
    since: datetime
    customer: str
    support: str
    doing: str
    target_seconds: int
    lag_seconds: int | None
    """Since the last complete pass; None before the first."""
    cause: str | None = None
    waiting_until: datetime | None = None
    next_due_at: datetime | None = None
    waits_for: str | None = None
    """With `why` parent: the stream for each record of which it is read."""


def target(stream: StreamFacts) -> int:
    """Seconds that it may be behind: what was chosen, but never less than two schedules, or it could not be
    met. The column `streams.late_at` says the same in SQL.
    """
    return max(stream.freshness_seconds, 2 * stream.schedule_seconds)


def stream_health(connection: ConnectionFacts, stream: StreamFacts, now: datetime) -> StreamHealth:
    """Of a stream by itself (see `health.lines`). Its `since` is past, never healthy beyond its target."""
    lost = connection.state == "reconnect_required"
    if lost or connection.state != "active" or not _judgeable(stream):
        return _unread(connection, stream, now)
    found = assess_stream(stream, now)
    return StreamHealth(
        stream=stream.stream,
        level=found.level,
        why=found.why,
        since=found.since,
        customer=found.customer,
        support=found.support,
        doing=found.doing,
        target_seconds=target(stream),
        lag_seconds=found.lag_seconds,
        cause=found.cause,
        waiting_until=found.waiting_until,
        next_due_at=stream.next_due_at,
    )


def _unread(connection: ConnectionFacts, stream: StreamFacts, now: datetime) -> StreamHealth:
    """Nothing is read, because of the connection or by somebody's will."""
    level: Level | None = None
    why: Why
    since, cause = connection.state_since, None
    if connection.state == "reconnect_required":
        reason = failure(connection.cause or "grant_revoked")
        level, why, cause = "reconnect_needed", "reconnect", reason.code
        customer, support = reason.customer, reason.support
    elif connection.state != "active":
        why = "stopped"
        customer = support = _STATES.get(connection.state, "The connection does not work at the moment.")
    elif stream.cause in ON_PURPOSE:
        why, since = "paused", stream.paused_at or now
        customer = support = "A member paused it."
    else:
        why, since = "unread", stream.paused_at or now
        customer = support = "No recipe reads it."
    return StreamHealth(
        stream=stream.stream,
        level=level,
        why=why,
        since=min(since, now),
        customer=customer,
        support=support,
        doing=_DOING[why],
        target_seconds=target(stream),
        lag_seconds=_lag(stream, now),
        cause=cause,
    )


_STATES = {
    "paused": "The connection is paused.",
    "disconnected": "The connection is disconnected.",
    "setup": "The connection still needs a choice.",
    "pending": "The connection is not confirmed yet.",
}


def assess(connection: ConnectionFacts, now: datetime) -> Health | None:
    """None where health has no meaning: pending, setup, paused, disconnected (the state says it all).

    `since` is never after `now`: the database's clock may run ahead of ours.
    """
    if connection.state == "reconnect_required":
        reason = failure(connection.cause or "grant_revoked")
        return Health(
            level="reconnect_needed",
            since=min(connection.state_since, now),
            customer=reason.customer,
            support=reason.support,
            cause=reason.code,
            action="reconnect",
            lag_seconds=lag(connection, now),
            why="reconnect",
        )
    if connection.state != "active":
        return None
    judged = [assess_stream(stream, now) for stream in connection.streams if _judgeable(stream)]
    if judged:
        return min(judged, key=lambda health: (LEVELS.index(health.level), health.since))
    words = (
        "Connected. Every stream is paused, so nothing is read."
        if connection.streams
        else "Connected. Nothing is read yet: set up a recipe to start."
    )
    since = min(connection.state_since, now)
    return Health(
        level="healthy",
        since=since,
        customer=words,
        support=words,
        why="paused" if connection.streams else "unread",
    )


def lag(connection: ConnectionFacts, now: datetime) -> int | None:
    """Seconds since the last complete pass of the stream that is furthest behind; None before the first.

    Streams that were paused on purpose and connections that are not meant to be read have none.
    """
    if connection.state not in {"active", "reconnect_required"}:
        return None
    streams = [stream for stream in connection.streams if _judgeable(stream)]
    return max((seconds for stream in streams if (seconds := _lag(stream, now)) is not None), default=None)


def assess_stream(stream: StreamFacts, now: datetime) -> Health:
    """Of one that is meant to be read."""
    waiting = stream.waiting_until if stream.waiting_until and stream.waiting_until > now else None
    if stream.failures > 0 or _halted(stream):
        return _troubled(stream, now, waiting)
    reference = stream.last_success_at or stream.created_at
    due = reference + timedelta(seconds=target(stream))
    late = due < now and not (stream.running and stream.last_success_at is None)
    if stream.review_since is not None:
        return _in_review(stream, stream.review_since, now, waiting)
    if stream.pushed:
        return _pushed(stream, now)
    if late:
        return _behind(stream, now, due, waiting)
    words = "Everything is up to date." if stream.last_success_at else "The first sync is under way."
    if waiting:
        words = "We wait for the connected service's limit. Nothing is late yet."
        if stream.cause == PREPARING:
            words = failure(PREPARING).customer
    return Health(
        level="healthy",
        since=min(reference, now),
        customer=words,
        support=words,
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
        why=_limit(stream)
        if waiting
        else "first"
        if stream.last_success_at is None
        else "reading"
        if stream.running
        else "current",
        target_seconds=target(stream),
    )


def _pushed(stream: StreamFacts, now: datetime) -> Health:
    words = "Everything that came was taken in." if stream.last_success_at else "Nothing has come yet."
    return Health(
        level="healthy",
        since=min(stream.last_success_at or stream.created_at, now),
        customer=words,
        support=words,
        stream=stream.stream,
        why="pushed",
        target_seconds=target(stream),
    )


def _troubled(stream: StreamFacts, now: datetime, waiting: datetime | None) -> Health:
    reason = failure(stream.cause or UNCLASSIFIED)
    lasting = stream.failures >= FAILING_AFTER or reason.action in {"fail", "pause"} or _halted(stream)
    tries = "One try" if stream.failures == 1 else f"{stream.failures} tries in a row"
    recovers = reason.action in {"retry", "wait", "refresh"}
    why: Why = "halted" if stream.paused_at else "retrying" if recovers else "failed"
    if why == "retrying" and reason.action == "wait":
        why = _limit(stream)
    return Health(
        level="failing" if lasting else "degraded",
        since=min(stream.cause_since or now, now),
        customer=reason.customer,
        support=f"{reason.support} {tries} failed." if stream.failures else reason.support,
        cause=reason.code,
        action="resume" if stream.paused_at else "wait" if recovers else "retry",
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
        why=why,
        target_seconds=target(stream),
    )


def _in_review(stream: StreamFacts, since: datetime, now: datetime, waiting: datetime | None) -> Health:
    """It goes on, but not with what somebody has to decide."""
    reason = failure(REVIEW)
    return Health(
        level="degraded",
        since=min(since, now),
        customer=reason.customer,
        support=reason.support,
        cause=reason.code,
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
        why="review",
        target_seconds=target(stream),
    )


def _behind(stream: StreamFacts, now: datetime, due: datetime, waiting: datetime | None) -> Health:
    """Nothing has failed, yet the data is older than it should be."""
    limit = failure(stream.cause or "rate_limited") if waiting else None
    why: Why
    if limit is not None:
        why = _limit(stream)
        customer, support = limit.customer, limit.support
    elif stream.last_success_at is None:
        why = "queued"
        customer = "The first sync has not begun yet. It will, by itself; you need not do anything."
        support = "No pass has completed and none is under way: look at the pending work and at the workers."
    else:
        why = "queued" if not stream.running else "rereading" if stream.mode == "full" else "behind"
        customer = (
            "The latest read is taking longer than it should. Nothing is lost; it will catch up."
            if stream.running
            else "It should have been read by now and waits for its turn. Nothing is lost; it will catch up."
        )
        support = "A pass takes too long or waits for a worker: look at the runs and at the pending work."
    if stream.last_success_at is not None:
        support = f"{support} Last complete pass: {stream.last_success_at:%Y-%m-%d %H:%M:%S} UTC."
    return Health(
        level="delayed",
        since=due,
        customer=customer,
        support=support,
        cause=limit.code if limit else None,
        action="wait",
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
        why=why,
        target_seconds=target(stream),
    )


def _limit(stream: StreamFacts) -> Why:
    if stream.cause == PREPARING:
        return "preparing"
    return "circuit" if stream.cause == "circuit_open" else "limit"


def _halted(stream: StreamFacts) -> bool:
    """Paused by a failure, not by somebody's will."""
    return stream.paused_at is not None and stream.cause is not None and stream.cause not in ON_PURPOSE


def _judgeable(stream: StreamFacts) -> bool:
    """Not one that somebody paused or that no recipe reads; one that a failure paused is judged by it."""
    return stream.paused_at is None or _halted(stream)


def _lag(stream: StreamFacts, now: datetime) -> int | None:
    if stream.last_success_at is None or stream.pushed:
        return None
    return max(0, int((now - stream.last_success_at).total_seconds()))
