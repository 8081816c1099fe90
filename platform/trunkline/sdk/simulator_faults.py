"""Trouble on demand, and the request windows of a provider's limits."""

from collections import deque
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

import msgspec

from trunkline.sdk.simulator_clock import Now

FaultKind = Literal[
    "429", "500", "latency", "truncated", "empty", "error_body", "void", "cursor", "loop", "twice", "stale",
    "overlap", "resorted", "big", "lost",
]  # fmt: skip
PAGE_FAULTS = frozenset({"empty", "void", "cursor", "loop", "twice", "stale", "overlap", "resorted", "big"})
"""Those that a list route itself must play; one that does not know how answers as ever."""

FAULT_WORDS: dict[FaultKind, str] = {
    "429": "Too many requests (429)",
    "500": "Server error (500)",
    "latency": "Slow answers",
    "truncated": "JSON cut off in the middle",
    "lost": "Answer to a change lost on its way",
    "empty": "Empty page",
    "error_body": "An error inside a success (200)",
    "void": "Empty page that claims to be the last",
    "cursor": "Cursor no longer valid (410)",
    "loop": "Next page leads back to the beginning",
    "twice": "Every record twice, in an older form too",
    "stale": "Every record in an older form",
    "overlap": "Page repeats the end of the one before",
    "resorted": "Order of the list turned round",
    "big": "Page bigger than asked for",
}


class FaultRefusedError(ValueError):
    """A fault that cannot be set; the message names the field and what to do."""


class Fault(msgspec.Struct):
    """Ends when `left` reaches 0 or at `until`, whichever comes first; None: not bounded that way."""

    kind: FaultKind
    left: int | None
    until: datetime | None
    path: str = ""
    """Prefix below the simulator's root; empty: every API call."""
    latency_ms: int = 0
    hits: int = 0


class Faults:
    """The faults in force, oldest first."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._active: list[Fault] = []

    def add(
        self,
        kind: FaultKind,
        *,
        requests: int | None = None,
        seconds: float | None = None,
        path: str = "",
        latency_ms: int = 0,
    ) -> Fault:
        if requests is None and seconds is None:
            raise FaultRefusedError("Give requests or seconds, so that the fault ends by itself.")
        if requests is not None and not 1 <= requests <= 10_000:
            raise FaultRefusedError("requests must be between 1 and 10,000.")
        if seconds is not None and not 0 < seconds <= 3600:
            raise FaultRefusedError("seconds must be above 0 and at most 3,600.")
        if kind == "latency" and not 1 <= latency_ms <= 60_000:
            raise FaultRefusedError("latency_ms must be between 1 and 60,000 for slow answers.")
        until = None if seconds is None else self._now() + timedelta(seconds=seconds)
        fault = Fault(kind, requests, until, path, latency_ms if kind == "latency" else 0)
        self._active.append(fault)
        return fault

    def active(self) -> list[Fault]:
        self._drop_ended()
        return list(self._active)

    def clear(self) -> int:
        count = len(self.active())
        self._active.clear()
        return count

    def lost(self, path: str) -> Fault | None:
        """What loses the answer of this request, should it change something; counted by `strike`."""
        self._drop_ended()
        return next((one for one in self._active if one.kind == "lost" and path.startswith(one.path)), None)

    @staticmethod
    def strike(fault: Fault) -> None:
        fault.hits += 1
        if fault.left is not None:
            fault.left -= 1

    def take(self, path: str) -> list[Fault]:
        """What strikes this request: any latency, and at most one of the others. Each is counted."""
        self._drop_ended()
        struck: list[Fault] = []
        failing = False
        for fault in self._active:
            if fault.kind == "lost" or not path.startswith(fault.path):
                continue
            if failing and fault.kind != "latency":
                continue
            failing = failing or fault.kind != "latency"
            self.strike(fault)
            struck.append(fault)
        return struck

    def _drop_ended(self) -> None:
        moment = self._now()
        self._active = [
            fault
            for fault in self._active
            if (fault.left is None or fault.left > 0) and (fault.until is None or moment < fault.until)
        ]


class RateWindow:
    """At most `limit` requests in any `seconds`, by key; a refused request does not count."""

    def __init__(self, now: Now, limit: int, seconds: float) -> None:
        self._now = now
        self.limit = limit
        self.seconds = seconds
        self._seen: dict[str, deque[datetime]] = {}

    def admit(self, key: str) -> bool:
        seen = self._within(key)
        if len(seen) >= self.limit:
            return False
        seen.append(self._now())
        return True

    def remaining(self, key: str) -> int:
        return self.limit - len(self._within(key))

    def resets_in(self, key: str) -> int:
        """Whole seconds until the oldest request that counts no longer does; at least 1."""
        seen = self._within(key)
        left = (seen[0] - self._now()).total_seconds() + self.seconds if seen else self.seconds
        return max(1, ceil(left))

    def recent(self, key: str, seconds: float) -> int:
        """Admitted in the last `seconds`, no longer than the window."""
        since = self._now() - timedelta(seconds=seconds)
        return sum(1 for moment in self._within(key) if moment > since)

    def _within(self, key: str) -> deque[datetime]:
        seen = self._seen.setdefault(key, deque())
        since = self._now() - timedelta(seconds=self.seconds)
        while seen and seen[0] <= since:
            seen.popleft()
        return seen
