"""What a contender's process reports of itself: its last line, as JSON."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec


class Result(msgspec.Struct):
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    records: int = 0

    def tell(self) -> None:
        sys.stdout.write(msgspec.json.encode(self).decode() + "\n")


@contextlib.contextmanager
def measured() -> Iterator[Result]:
    """Time and CPU of what happens inside, children included; imports before it are not counted."""
    result, began, before = Result(), time.monotonic(), _cpu()
    yield result
    result.seconds, result.cpu = time.monotonic() - began, _cpu() - before
    for line in Path("/proc/self/status").read_text().splitlines():  # ru_maxrss begins with the parent's
        if line.startswith("VmHWM:"):
            result.peak_mb = int(line.split()[1]) / 1024


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def psycopg_url(url: str) -> str:
    """The form that libpq reads: the socket's folder as its host."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = query["host"][0].replace("/", "%2F")
    return f"postgresql://{parts.username}:{parts.password}@{host}:{query['port'][0]}{parts.path}"
