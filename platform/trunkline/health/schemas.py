"""How a connection fares, as the API shows it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

import msgspec

from trunkline.health.arrival import Arrival, Way
from trunkline.health.assessment import Level, StreamHealth, Why
from trunkline.health.lines import stream_lines
from trunkline.health.service import ConnectionHealth


class ArrivalOut(msgspec.Struct, frozen=True, kw_only=True):
    """Which way a stream's changes arrive. What webhooks do not bring, the next scheduled read does."""

    way: Way
    since: datetime | None
    """From when on webhooks have come; null with polling."""
    last_event_at: datetime | None
    typical_seconds: float | None
    """From a change at the provider to the record here, by webhook: the median of the last events."""
    webhooks_lost: dict[str, int]
    """By day (UTC) of the last seven: changes that no webhook told of and a scheduled read found."""

    @classmethod
    def of(cls, found: Arrival) -> Self:
        return cls(
            way=found.way,
            since=found.since,
            last_event_at=found.last_at,
            typical_seconds=found.typical_seconds,
            webhooks_lost={day.isoformat(): count for day, count in found.lost.items()},
        )


class StreamHealthOut(msgspec.Struct, frozen=True, kw_only=True):
    """One stream against its target."""

    stream: str
    level: Level | None
    """Null where nothing is meant to be read: `why` is then paused, unread or stopped, or parent."""
    why: Why
    since: datetime
    sentence: str
    """What the matter is, for the end customer."""
    doing: str
    """What is being done, for the end customer."""
    cause: str | None
    """Code of the failure, where there is one."""
    target_seconds: int
    """How far behind it may be."""
    lag_seconds: int | None
    """Age of the last complete pass; null before the first."""
    waiting_until: datetime | None
    next_due_at: datetime | None
    waits_for: str | None = None
    """With `why` parent: the stream for each record of which this one is read, and which is in trouble."""
    arrival: ArrivalOut | None = None

    @classmethod
    def of(cls, found: StreamHealth, arrival: Arrival | None = None) -> Self:
        return cls(
            stream=found.stream,
            level=found.level,
            why=found.why,
            since=found.since,
            sentence=found.customer,
            doing=found.doing,
            cause=found.cause,
            target_seconds=found.target_seconds,
            lag_seconds=found.lag_seconds,
            waiting_until=found.waiting_until,
            next_due_at=found.next_due_at,
            waits_for=found.waits_for,
            arrival=None if arrival is None else ArrivalOut.of(arrival),
        )


class HealthOut(msgspec.Struct, frozen=True, kw_only=True):
    """The worst of a connection's streams, then each of them."""

    level: Level | None
    """Null where the connection's state says it all: pending, setup, paused, disconnected."""
    since: datetime
    sentence: str
    cause: str | None
    lag_seconds: int | None
    """Of the stream that is furthest behind."""
    streams: list[StreamHealthOut]

    @classmethod
    def of(
        cls,
        one: ConnectionHealth,
        now: datetime,
        arrivals: Mapping[str, Arrival] = {},
        parents: Mapping[str, str] = {},
    ) -> Self:
        """Both by stream. `parents`: that for each record of which it is read."""
        facts, worst = one.row.facts, one.health
        return cls(
            level=worst.level if worst else None,
            since=worst.since if worst else facts.state_since,
            sentence=worst.customer if worst else "Nothing is read in this state.",
            cause=worst.cause if worst else facts.cause,
            lag_seconds=one.lag_seconds,
            streams=[
                StreamHealthOut.of(line, arrivals.get(name))
                for name, line in stream_lines(facts, parents, now).items()
            ],
        )
