"""Time as a simulator sees it: the wall's, or a test's own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Now = Callable[[], datetime]
"""Answers an aware datetime in UTC."""


def wall_now() -> datetime:
    return datetime.now(UTC)


class VirtualClock:
    """A clock that moves only when told to; callable as a `Now`."""

    def __init__(self, start: datetime = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def iso(moment: datetime) -> str:
    """UTC with milliseconds and a Z, the form most providers send."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
