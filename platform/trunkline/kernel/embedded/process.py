"""Children that do not outlive us, and their orderly end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT = 10 * 1024 * 1024
"""Bytes after which a log file is set aside as `<name>.1` at the next start."""


class Child:
    """A process in a session of its own, ended by `death` when we die without having stopped it.

    Must be started by the main thread: on Linux the end of the starting *thread* counts as our death.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        death: signal.Signals,
        output: IO[bytes] | int,
        env: Mapping[str, str] | None = None,
    ) -> None:
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(death))]
        self._process = subprocess.Popen(
            [*launcher, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
        self.pid = self._process.pid
        self.output = self._process.stdout

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def signal(self, signum: signal.Signals) -> None:
        if self.status is None:
            self._process.send_signal(signum)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0.001))
        return self.status is not None

    def close(self) -> None:
        """Let go of the pipes of a child that has ended."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def kill_group(self) -> None:
        """Kill what is left of its session; safe only before the child is reaped or right after."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def stop_all(steps: Sequence[tuple[Child, Sequence[tuple[signal.Signals, float]]]]) -> None:
    """Stop several children side by side; each step is a signal and the seconds it has to work."""
    started = time.monotonic()
    for child, signals in steps:
        child.signal(signals[0][0])
    for child, signals in steps:
        deadline = started
        for index, (signum, seconds) in enumerate(signals):
            deadline = max(deadline + seconds, time.monotonic() if index else 0.0)
            if index:
                child.signal(signum)
            if child.wait(deadline - time.monotonic()):
                break
        child.close()


def open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    return path.open("ab", buffering=0)


def last_line(path: Path) -> str:
    """The last line with words in it, shortened; empty when there is none."""
    with contextlib.suppress(OSError):
        tail = path.read_bytes()[-4096:].decode(errors="replace").splitlines()
        return next((line.strip()[:300] for line in reversed(tail) if line.strip()), "")
    return ""
