"""How long to wait before the next try."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 86_400.0
"""Seconds: no provider's limit lasts longer than a day, so more is a mistake of theirs."""

_random = random.SystemRandom()


def full_jitter(tries: int, base: float = 1.0, cap: float = 300.0) -> float:
    """Seconds, evenly from 0 to base * 2^(tries - 1), at most `cap`; `tries` counts failures, from 1.

    Full jitter spreads those who failed together best (AWS Architecture Blog,
    "Exponential Backoff and Jitter").
    """
    return _random.uniform(0.0, min(cap, base * 2.0 ** min(max(tries - 1, 0), 62)))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, in seconds or as an HTTP date; 0 to a day.

    None: absent, or not readable. `headers` may be of any case.
    """
    value = next((text for name, text in headers.items() if name.lower() == "retry-after"), None)
    if value is None:
        return None
    value = value.strip()
    seconds = _number(value)
    if seconds is None:
        seconds = _date(value, now)
    if seconds is None or seconds != seconds:  # noqa: PLR0124 - only NaN differs from itself
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _number(value: str) -> float | None:
    if len(value) > 32:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _date(value: str, now: datetime) -> float | None:
    if len(value) > 64:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - now).total_seconds()
