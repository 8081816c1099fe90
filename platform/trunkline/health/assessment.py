"""How a connection fares, judged from stored facts alone. Pure: no database, no clock of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.resilience.failures import failure

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
    """None where health has no meaning: pending, setup, paused, disconnected (the state says it all)."""
    if connection.state == "reconnect_required":
        reason = failure(connection.cause or "grant_revoked")
        return Health(
            level="reconnect_needed",
            since=connection.state_since,
            customer=reason.customer,
            support=reason.support,
            cause=reason.code,
            action="reconnect",
            lag_seconds=_oldest(connection.streams, now),
        )
    if connection.state != "active":
        return None
    judged = [assess_stream(stream, now) for stream in connection.streams if stream.paused_at is None]
    if not judged:
        words = "Connected. Nothing is read yet: set up a recipe to start."
        return Health(level="healthy", since=connection.state_since, customer=words, support=words)
    return min(judged, key=lambda health: (LEVELS.index(health.level), health.since))


def assess_stream(stream: StreamFacts, now: datetime) -> Health:
    waiting = stream.waiting_until if stream.waiting_until and stream.waiting_until > now else None
    lag = None if stream.last_success_at is None else int((now - stream.last_success_at).total_seconds())
    if stream.cause is not None and stream.failures > 0:
        reason = failure(stream.cause)
        lasting = stream.failures >= FAILING_AFTER or reason.action in {"fail", "pause"}
        return Health(
            level="failing" if lasting else "degraded",
            since=stream.cause_since or now,
            customer=reason.customer,
            support=f"{reason.support} {stream.failures} tries in a row failed.",
            cause=reason.code,
            action="wait" if reason.action in {"retry", "wait", "refresh"} else "retry",
            stream=stream.stream,
            lag_seconds=lag,
            waiting_until=waiting,
        )
    reference = stream.last_success_at or stream.created_at
    due = reference + timedelta(seconds=max(stream.freshness_seconds, 2 * stream.schedule_seconds))
    if due < now and not (stream.running and stream.last_success_at is None):
        words = (
            "Waiting for the provider's rate limit."
            if waiting
            else "The latest pass is taking longer than it should. Nothing is lost; it will catch up."
        )
        return Health(
            level="delayed",
            since=due,
            customer=words,
            support=f"{words} Last complete pass: {reference:%Y-%m-%d %H:%M:%S} UTC.",
            cause="rate_limited" if waiting else None,
            action="wait",
            stream=stream.stream,
            lag_seconds=lag,
            waiting_until=waiting,
        )
    words = "Everything is up to date." if stream.last_success_at else "The first sync is under way."
    return Health(
        level="healthy",
        since=stream.last_success_at or stream.created_at,
        customer=words,
        support=words,
        stream=stream.stream,
        lag_seconds=lag,
        waiting_until=waiting,
    )


def _oldest(streams: Sequence[StreamFacts], now: datetime) -> int | None:
    seen = [stream.last_success_at for stream in streams if stream.last_success_at is not None]
    return int((now - min(seen)).total_seconds()) if seen else None
