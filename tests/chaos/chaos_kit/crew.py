"""The processes of a rig: three workers, a web process, the provider. What dies is started again, but the provider:
it holds what everything is compared with.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import Signals

from chaos_kit.traps import file_of

from trunkline.kernel.embedded.process import Child, last_line, open_log

HERE = Path(__file__).parent
AGAIN_SECONDS = 0.5
"""Between an end and the next start, as a supervisor would wait."""


PORTS = range(16_000, 30_000)
"""Below those that systems hand out by themselves: a process that is away, or a proxy that refuses, finds its own
port free when it is back.
"""


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class EndedError(Exception):
    """A process without which the rig tells nothing is not there any more."""


class Member:
    """One process that is wanted. `once`: it is not started a second time, its end is everybody's."""

    def __init__(
        self, name: str, command: list[str], environment: Mapping[str, str], log: Path, *, once: bool = False
    ) -> None:
        self.name = name
        self.log = log
        self._once = once
        self.child: Child | None = None
        self.away = False
        """Stopped, or on its way out."""
        self.lives: list[tuple[int, float, float]] = []
        """(process number, begun, ended or 0), by the wall clock."""
        self._command = command
        self._environment = {**os.environ, **environment}
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child is not None and self.child.status is None else None

    def start(self) -> None:
        with open_log(self.log) as log:
            self.child = Child(self._command, death=signal.SIGKILL, output=log, env=self._environment)
        # whoever struck at what was between two lives struck nothing
        self.away = False
        self.lives.append((self.child.pid, time.time(), 0.0))

    def must_be_there(self) -> None:
        """Raises EndedError with what it said last."""
        if self.child is None or self.child.status is not None:
            status = "" if self.child is None else f" with {self.child.status}"
            raise EndedError(f"{self.name} ended{status}; it last said: {last_line(self.log) or 'nothing'}")

    def tend(self) -> None:
        """From the main thread (see `Child`)."""
        if self._once:
            self.must_be_there()
        if self.child is not None and self.child.status is not None:
            self.child.kill_group()  # the expressions' processes
            self.child.close()
            self.child = None
            pid, begun, _ = self.lives[-1]
            self.lives[-1] = pid, begun, time.time()
            self._due = time.monotonic() + AGAIN_SECONDS
        if self.child is None and time.monotonic() >= self._due:
            self.start()

    def signal(self, number: Signals) -> None:
        if self.child is not None:
            self.child.signal(number)

    def pause(self) -> None:
        self.away = True
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)
        self.away = False

    def leave(self, how: Signals) -> None:
        self.away = True
        self.signal(how)

    def kill(self) -> None:
        if self.child is not None:
            self.child.signal(signal.SIGKILL)
            self.child.wait(5)
            self.child.kill_group()
            self.child.close()
            self.child = None

    def last_of(self, moment: float) -> int | None:
        """The process that was there at that time."""
        return next(
            (pid for pid, begun, ended in self.lives if begun <= moment and not 0 < ended < moment), None
        )


class Crew:
    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.members: dict[str, Member] = {}
        self._tending: asyncio.Task[None] | None = None

    def add(self, name: str, command: str, **environment: str) -> Member:
        """`command`: of the installation."""
        words = [sys.executable, str(HERE / "installation.py"), command]
        return self._add(name, words, environment)

    def add_script(self, name: str, script: str, *words: object) -> Member:
        return self._add(name, [sys.executable, str(HERE / script), *map(str, words)], {}, once=True)

    def _add(
        self, name: str, words: list[str], environment: Mapping[str, str], *, once: bool = False
    ) -> Member:
        log = self._folder / "log" / f"{name}.log"
        named = {**self._environment, "CHAOS_NAME": name, **environment}
        member = Member(name, words, named, log, once=once)
        self.members[name] = member
        member.start()
        return member

    def trap(self, name: str, point: str) -> Path:
        """The file whose existence has that process die at the point (`traps`)."""
        made = file_of(self._folder, name, point)
        made.parent.mkdir(exist_ok=True)
        return made

    @property
    def workers(self) -> list[Member]:
        return [member for name, member in self.members.items() if name.startswith("worker")]

    async def tend(self) -> None:
        while True:
            for member in list(self.members.values()):
                with contextlib.suppress(OSError):  # no room for another process just now
                    member.tend()
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        for member in self.members.values():
            member.signal(signal.SIGCONT)
            member.kill()


async def until(check: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about within {seconds:.0f} s")
        await asyncio.sleep(0.05)


def listens(member: Member, port: int) -> bool:
    """Whether that process does: another program may have taken the port since it was looked for.

    Raises EndedError.
    """
    member.must_be_there()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return member.pid is not None and _holds(member.pid, port)
    return False


def _holds(pid: int, port: int) -> bool:
    """As the kernel says, where it says so (Linux)."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return True
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}
    held = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(str(one.readlink()))
    return bool(sockets & held)


def says(member: Member, most: int = 60) -> list[str]:
    """The last lines of its log."""
    with contextlib.suppress(OSError):
        return member.log.read_text(errors="replace").splitlines()[-most:]
    return []
