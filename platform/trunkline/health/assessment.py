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

FAILING_AFTER = 3  # tries in a row: fewer are everyday life of a network


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
    records: int = 0


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
    return Health(level="healthy", since=since, customer=words, support=words)


def lag(connection: ConnectionFacts, now: datetime) -> int | None:
    """Seconds since the last complete pass of the stream that is furthest behind; None before the first.

    Streams that were paused on purpose and connections that are not meant to be read have none.
    """
    if connection.state not in {"active", "reconnect_required"}:
        return None
    streams = [stream for stream in connection.streams if _judgeable(stream)]
    return max((seconds for stream in streams if (seconds := _lag(stream, now)) is not None), default=None)


def assess_stream(stream: StreamFacts, now: datetime) -> Health:
    waiting = stream.waiting_until if stream.waiting_until and stream.waiting_until > now else None
    if stream.failures > 0:
        return _troubled(stream, now, waiting)
    reference = stream.last_success_at or stream.created_at
    due = reference + timedelta(seconds=max(stream.freshness_seconds, 2 * stream.schedule_seconds))
    if due < now and not (stream.running and stream.last_success_at is None):
        return _behind(stream, now, due, waiting)
    words = "Everything is up to date." if stream.last_success_at else "The first sync is under way."
    return Health(
        level="healthy",
        since=min(reference, now),
        customer=words,
        support=words,
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
    )


def _troubled(stream: StreamFacts, now: datetime, waiting: datetime | None) -> Health:
    reason = failure(stream.cause or UNCLASSIFIED)
    lasting = stream.failures >= FAILING_AFTER or reason.action in {"fail", "pause"}
    tries = "One try" if stream.failures == 1 else f"{stream.failures} tries in a row"
    return Health(
        level="failing" if lasting else "degraded",
        since=min(stream.cause_since or now, now),
        customer=reason.customer,
        support=f"{reason.support} {tries} failed.",
        cause=reason.code,
        action="resume"
        if stream.paused_at
        else "wait"
        if reason.action in {"retry", "wait", "refresh"}
        else "retry",
        stream=stream.stream,
        lag_seconds=_lag(stream, now),
        waiting_until=waiting,
    )


def _behind(stream: StreamFacts, now: datetime, due: datetime, waiting: datetime | None) -> Health:
    """Nothing has failed, yet the data is older than it should be."""
    limit = failure(stream.cause or "rate_limited") if waiting else None
    if limit is not None:
        customer, support = limit.customer, limit.support
    elif stream.last_success_at is None:
        customer = "The first sync has not begun yet. It will, by itself; you need not do anything."
        support = "No pass has completed and none is under way: look at the pending work and at the workers."
    else:
        customer = "The latest pass is taking longer than it should. Nothing is lost; it will catch up."
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
    )


def _judgeable(stream: StreamFacts) -> bool:
    """Not one that somebody paused or that no recipe reads; one that a failure paused is judged by it."""
    return stream.paused_at is None or (
        stream.failures > 0 and stream.cause not in {None, "paused_by_member", "disconnected_by_member"}
    )


def _lag(stream: StreamFacts, now: datetime) -> int | None:
    if stream.last_success_at is None:
        return None
    return max(0, int((now - stream.last_success_at).total_seconds()))
