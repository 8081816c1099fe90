"""How long to wait before the next try."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 86_400.0
"""Seconds: no provider's limit lasts longer than a day, so more is a mistake of theirs and not believed."""

UNIX_SECONDS = 1e9
"""Numbers above are a moment, not a time to wait."""

_random = random.SystemRandom()


def full_jitter(tries: int, base: float = 1.0, cap: float = 300.0) -> float:
    """Seconds, evenly from 0 to base * 2^(tries - 1), at most `cap`; `tries` counts failures, from 1.

    Full jitter spreads those who failed together best (AWS Architecture Blog,
    "Exponential Backoff and Jitter").
    """
    return _random.uniform(0.0, min(cap, base * 2.0 ** min(max(tries - 1, 0), 62)))


def retry_after(headers: Mapping[str, str], now: datetime, *, other: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, in seconds or as an HTTP date; 0 to a day.

    None: absent, not readable, or absurd (negative, more than a day): then our own backoff decides. `headers`
    may be of any case. A date is counted from the answer's own Date where it has one, for clocks differ; else
    from `now`. `other`: a header of the provider's own that says it instead, also as Unix seconds.
    """
    value = _header(headers, "retry-after")
    own = not value and other is not None
    if own:
        value = _header(headers, (other or "").lower())
    if not value:
        return None
    seconds = _number(value)
    if own and seconds is not None and seconds > UNIX_SECONDS:
        seconds = max(0.0, seconds - answer_time(headers, now).timestamp())
    if seconds is None:
        moment = _date(value)
        if moment is None:
            return None
        seconds = max(0.0, (moment - answer_time(headers, now)).total_seconds())
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER else None


def answer_time(headers: Mapping[str, str], now: datetime) -> datetime:
    """The provider's clock, by the answer's Date; `now` where it says none."""
    return _date(_header(headers, "date")) or now


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((text for name, text in headers.items() if name.lower() == wanted), "").strip()


def _number(value: str) -> float | None:
    if len(value) > 32:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _date(value: str) -> datetime | None:
    if not 0 < len(value) <= 64:
        return None
    try:
        moment = parsedate_to_datetime(value)
        # one near either end of the calendar has no UTC
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
