"""The child processes of `trunkline up`: started, watched, restarted, and their output sorted."""

import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trunkline.kernel.embedded.process import Child, open_log

NOTEWORTHY = re.compile(r"\[(?:warning|error|critical)\s*\]|\"level\": ?\"(?:warning|error|critical)\"")
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0
"""Seconds before a restart; doubled each time, forgotten after STEADY seconds of life."""
STEADY = 60.0
SHOWN = 4
"""Noteworthy lines of one child shown per ten seconds; all are in its log."""
STOP = ((signal.SIGTERM, 2.3), (signal.SIGKILL, 0.2))


class Supervised:
    """One child: its command, its log file, and when to start it again. `say` prints a line."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self.log = log
        self._command = command
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._say = say
        self._backoff = FIRST_BACKOFF
        self._started = 0.0
        self._due = 0.0
        self._last: deque[str] = deque(maxlen=1)
        self._shown: deque[float] = deque(maxlen=SHOWN)
        self._pump: threading.Thread | None = None

    def start(self) -> None:
        """From the main thread only (see `Child`)."""
        self._started = time.monotonic()
        self._last.clear()
        self.child = Child(self._command, death=signal.SIGTERM, output=-1, env=self._env)
        self._pump = threading.Thread(
            target=self._read, args=(self.child,), name=f"{self.name} output", daemon=True
        )
        self._pump.start()

    def tend(self) -> None:
        """Note an end, and start again once the time for it has come."""
        now = time.monotonic()
        if self.child is None:
            if now >= self._due:
                self.start()
        elif self.child.status is not None:
            status = self.child.status
            self.join()
            if now - self._started > STEADY:
                self._backoff = FIRST_BACKOFF
            reason = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
            said = f", last said: {self._last[0]}" if status > 0 and self._last else ""
            self._say(
                f"{self.name} ended ({reason}{said}); starting it again "
                f"in {self._backoff:g} s. Log: {self.log}"
            )
            self._due = now + self._backoff
            self._backoff = min(self._backoff * 2, LAST_BACKOFF)

    def join(self) -> None:
        """After its end: remove what is left of its session, finish its log."""
        if self.child is not None:
            self.child.kill_group()
            if self._pump is not None:
                self._pump.join(0.5)
            self.child.close()
            self.child = None

    def _read(self, child: Child) -> None:
        if child.output is None:
            return
        with open_log(self.log) as log:
            try:
                for raw in child.output:
                    log.write(raw)
                    line = raw.decode(errors="replace").rstrip()
                    if line:
                        self._last.append(line[:300])
                    if NOTEWORTHY.search(line):
                        self._show(line)
            except (OSError, ValueError):  # closed under us at the end, or the disk is full
                return

    def _show(self, line: str) -> None:
        now = time.monotonic()
        if len(self._shown) < SHOWN or now - self._shown[0] > 10:
            self._shown.append(now)
            self._say(f"{self.name}: {line}")
