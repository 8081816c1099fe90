"""What a provider's own headers say of a limit, as a pace that is only ever slower than the manifest's. Pure.

What remains is spread over the time until the provider counts anew. A rolling limit has no such moment: there
it is spread over a tenth of the window, which settles at ten elevenths of what others leave. Background work
does not count on what is kept for interactive calls, and where only that is left tries again three times in a
window.
"""

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec

from trunkline.resilience.backoff import answer_time
from trunkline.resilience.budgets import MICRO, Gate, kept
from trunkline.sdk.manifest import Rate, RateHeaders

CLOSED = -1
"""A spacing: no call while the pace lasts."""
LONGEST = 900.0
"""Seconds that a pace is believed; then a call at the manifest's own finds out anew."""
_MOMENT = 1e9
"""Numbers above are Unix seconds."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """For `seconds` from the answer on, calls are so many microseconds apart, or none is made (CLOSED)."""

    seconds: float
    background: int
    interactive: int


def pace(gate: Gate, headers: Mapping[str, str], now: datetime) -> Pace | None:
    """None: the manifest's pace is right, or nothing readable is said.

    `headers` find a name in any case; `now` is ours, and counts where the answer has no date of its own.
    """
    rate = gate.rate
    names = rate.headers
    if names is None:
        return None
    remaining, limit = _standing(names, headers)
    if limit is not None and limit < 1:
        limit = None
    if remaining is None and limit is None:
        return None
    window = _window(rate, names, headers)
    floor = 0.0
    if limit is not None and limit / window < rate.requests / rate.seconds:
        floor = window / limit
    reset = _reset(rate, names, headers, now)
    if remaining is None:
        found = Pace(
            seconds=min(window, LONGEST), background=_micros(rate, floor), interactive=_micros(rate, floor)
        )
    else:
        last = window / 10 if reset is None else reset
        share = 1.0 if limit is None else min(1.0, limit / rate.requests)
        background = _spacing(rate, last, remaining - math.floor(kept(rate) * share), floor)
        if reset is None and background == CLOSED:
            last = window / 3  # a try now and then must not be what takes the last of it
        found = Pace(
            seconds=min(last, LONGEST),
            background=background,
            interactive=_spacing(rate, last, remaining, floor),
        )
    slower = any(one == CLOSED or one > gate.interval for one in (found.background, found.interactive))
    return found if slower else None


def _standing(names: RateHeaders, headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """(what remains, the limit), as far as they are told."""
    if names.used is None:
        return _number(names.remaining, headers), _number(names.limit, headers)
    used, _, limit = (_text(names.used, headers) or "").partition("/")
    spent, whole = _read(used), _read(limit)
    if spent is None or whole is None:
        return None, None
    return max(0.0, whole - spent), whole


def _spacing(rate: Rate, last: float, left: float, floor: float) -> int:
    return CLOSED if left < 1 else _micros(rate, max(floor, last / left))


def _micros(rate: Rate, seconds: float) -> int:
    return math.ceil(min(seconds, rate.seconds, LONGEST) * MICRO)


def _window(rate: Rate, names: RateHeaders, headers: Mapping[str, str]) -> float:
    """Ours, unless the provider names one that is believable."""
    given = _number(names.window_ms, headers)
    if given is None or not rate.seconds / 100 <= given / 1000 <= rate.seconds * 100:
        return rate.seconds
    return given / 1000


def _reset(rate: Rate, names: RateHeaders, headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from now, at least a millisecond; None where it is absent or longer than the rate's window."""
    given = _number(names.reset, headers)
    if given is None:
        return None
    if given > _MOMENT:
        given = max(0.0, given - answer_time(headers, now).timestamp())
    return None if given > rate.seconds else max(given, 0.001)


def _number(name: str | None, headers: Mapping[str, str]) -> float | None:
    """Not negative, finite; None: absent, or not readable."""
    return None if name is None else _read(_text(name, headers))


def _text(name: str, headers: Mapping[str, str]) -> str | None:
    header, _, key = name.partition(":")
    text = headers.get(header)
    if text is None or len(text) > 200:
        return None
    if key:
        parts = (part.strip().partition("=") for part in text.replace(",", ";").split(";"))
        text = next((value for word, _, value in parts if word.strip().lower() == key.lower()), "")
    return text


def _read(given: str | None) -> float | None:
    text = (given or "").strip()
    if not 0 < len(text) <= 32 or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
