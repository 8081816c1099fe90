"""What reached a simulator: no query, no header, no body, so no secret."""

from collections import Counter, deque
from datetime import datetime

import msgspec

from trunkline.sdk.simulator_clock import Now


class SeenRequest(msgspec.Struct):
    """A run of equal requests, one after the other."""

    first_at: datetime
    last_at: datetime
    method: str
    path: str
    status: int
    count: int
    fault: str = ""


class RequestLog:
    """The last 200 runs, newest first, and counts since the start."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._runs: deque[SeenRequest] = deque(maxlen=200)
        self.total = 0
        self.by_status: Counter[int] = Counter()

    def note(self, method: str, path: str, status: int, fault: str = "") -> None:
        self.total += 1
        self.by_status[status] += 1
        moment = self._now()
        last = self._runs[0] if self._runs else None
        if last and (last.method, last.path, last.status, last.fault) == (method, path, status, fault):
            last.count += 1
            last.last_at = moment
            return
        self._runs.appendleft(SeenRequest(moment, moment, method, path[:200], status, 1, fault))

    def runs(self) -> list[SeenRequest]:
        return list(self._runs)
