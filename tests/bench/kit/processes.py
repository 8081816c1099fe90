"""Processes of a measurement: started and ended here, and what they cost, by /proc."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec

TICK = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds of a process with its children, and its own and its children's peak memory."""

    cpu: float
    peak_mb: float
    children_mb: float


def cost(pid: int) -> Cost:
    cpu, children = _cpu(pid, dead=True), 0.0
    for child in _children(pid):
        cpu += _cpu(child, dead=True)
        children += _peak(child)
    return Cost(cpu, _peak(pid), children)


def _cpu(pid: int, *, dead: bool) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11 : 15 if dead else 13])) / TICK


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak(pid: int) -> None:
    """The peak counts anew from now on, where the kernel lets us."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def running(
    script: Path, *args: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python script beside us; ended with SIGTERM, then for good."""
    process = subprocess.Popen(
        [sys.executable, str(script), *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def said(process: subprocess.Popen[str], word: str = "") -> str:
    """Its next line that begins with `word`; waits for it. RuntimeError if it ends first."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.strip()
    raise RuntimeError("a process of this measurement ended early; its error stands above")


@contextlib.contextmanager
def provider(records: int) -> Iterator[str]:
    """The address of a provider that holds so many contacts."""
    with running(Path(__file__).with_name("provider.py"), str(records)) as process:
        yield f"http://127.0.0.1:{said(process)}"


def touch(address: str) -> None:
    """Every hundredth contact has changed from now on."""
    with urlopen(Request(f"{address}/_touch", method="POST")) as answer:
        answer.read()
