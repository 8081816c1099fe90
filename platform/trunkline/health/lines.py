"""How each stream of a connection stands, a line each. Pure.

A stream that is read for each record of another hears of nothing new while that one is not read, however well
its own passes end: its line says so, and its data is as old as the other's.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from trunkline.health.assessment import (
    LEVELS,
    ConnectionFacts,
    Level,
    StreamHealth,
    doing,
    stream_health,
)

OWN: Final = frozenset({"review", "rereading"})
"""Why a parent may lag while all that is new in it is found all the same."""


def stream_lines(
    connection: ConnectionFacts, parents: Mapping[str, str], now: datetime
) -> dict[str, StreamHealth]:
    """By stream, in their order. `parents`: by stream, the one for each record of which it is read."""
    alone = {one.stream: stream_health(connection, one, now) for one in connection.streams}
    return {name: _within(name, alone, parents) for name in alone}


def _within(name: str, alone: Mapping[str, StreamHealth], parents: Mapping[str, str]) -> StreamHealth:
    """The line of a stream, bound by the worst of those that it is read for."""
    found, above, seen = alone[name], parents.get(name, ""), {name}
    while above in alone and above not in seen:
        found = _bound(found, alone[above])
        seen.add(above)
        above = parents.get(above, "")
    return found


def _bound(child: StreamHealth, parent: StreamHealth) -> StreamHealth:
    if child.level is None or parent.level == "healthy" or parent.why in OWN:
        return child
    if parent.level is not None and _rank(child.level) <= _rank(parent.level):
        return child  # it has a trouble of its own, or the connection's
    ages = [one.lag_seconds for one in (child, parent) if one.lag_seconds is not None]
    return msgspec.structs.replace(
        child,
        level=parent.level,
        why="parent",
        waits_for=parent.stream,
        since=parent.since,
        customer=parent.customer,
        support=parent.support,
        doing=doing("parent"),
        lag_seconds=max(ages, default=None),
        cause=parent.cause,
        waiting_until=parent.waiting_until,
    )


def _rank(level: Level) -> int:
    return LEVELS.index(level)
