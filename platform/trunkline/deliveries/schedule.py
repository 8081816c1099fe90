"""When a delivery is tried again. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from trunkline.resilience.backoff import full_jitter, retry_after

STEPS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between ten attempts, on average: 75 h 35 min 5 s in all (the schedule that Standard Webhooks
recommends).
"""
TRIES = len(STEPS) + 1
NOTICE_AFTER = timedelta(days=1)
"""Of nothing but failures: its owner is told."""
DISABLE_AFTER = timedelta(days=5)
CERTIFICATE_NOTICE, CERTIFICATE_URGENT = timedelta(days=30), timedelta(days=7)
"""Before a client certificate ends its owner is told, and told again; and once more when it has ended."""
CERTIFICATE_NOTICES = (CERTIFICATE_NOTICE, CERTIFICATE_URGENT, timedelta(0))


def next_attempt(tries: int, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """After `tries` failed ones (from 1); None: that was the last.

    Full jitter: evenly from nothing to twice the step, so that a step is what it takes on average. A
    Retry-After that can be believed (see `retry_after`) is waited out.
    """
    if tries >= TRIES:
        return None
    step = 2.0 * STEPS[tries - 1]
    wait = full_jitter(1, step, step)
    asked = retry_after(headers, now)
    if asked is not None and asked > wait:
        wait = asked + full_jitter(1, min(5.0, 1.0 + asked / 10))
    return now + timedelta(seconds=wait)


def rest(status: int | None, headers: Mapping[str, str], now: datetime) -> datetime | None:
    """Until when nothing at all is sent to the endpoint: it asked for it, with 429 or 503."""
    if status not in {429, 503}:
        return None
    asked = retry_after(headers, now)
    return now + timedelta(seconds=asked) if asked else None


def certificate_notice(ends: datetime, now: datetime) -> int | None:
    """Which of the notices has come last, as its days before the end; None: none has."""
    return next((notice.days for notice in reversed(CERTIFICATE_NOTICES) if now >= ends - notice), None)


def next_certificate_notice(ends: datetime, now: datetime) -> datetime | None:
    """When the next one comes; None: the last has come."""
    return next((ends - notice for notice in CERTIFICATE_NOTICES if now < ends - notice), None)
