"""Providers' times."""

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH_MS = 100_000_000_000
"""Numbers from here on are milliseconds since 1970 (in seconds it would be the year 5138)."""


def parse_moment(value: Any) -> datetime | None:
    """ISO 8601 text or a number of seconds or milliseconds since 1970, as text too; None if it is no time."""
    if isinstance(value, str):
        text = value.strip()
        if text[4:5] == "-" or not text.lstrip("-").isdecimal():
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return None
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if len(text) > 17:
            return None
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if abs(value) >= _EPOCH_MS else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def milliseconds(moment: datetime) -> int:
    """Since 1970, rounded down: reading from there misses nothing."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_milliseconds(since: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since)


def moment_values(name: str, moment: datetime) -> dict[str, Any]:
    """For a template: {name_iso}, {name_ms}, {name_s} and {name_date}, all of the same moment, in UTC."""
    since = milliseconds(moment)
    iso = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{since % 1000:03d}Z"
    return {
        f"{name}_iso": iso,
        f"{name}_ms": since,
        f"{name}_s": since // 1000,
        f"{name}_date": iso[:10],
    }
