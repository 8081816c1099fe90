"""PostgreSQL and Valkey of a rig: killed, restarted, flushed, starved of memory and of disk."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.embedded.process import Child
from trunkline.work.errors import DATABASE_AWAY

CLONE_NEWNS = 0x00020000  # <linux/sched.h>
DISK = 2 * 1024**3
START_SECONDS = 60.0
STOP_SECONDS = 30.0
"""How long a server may take to its end; then it is killed."""


class Disk:
    """A tmpfs for PostgreSQL's files, seen by this process and its children only: it goes when they have gone.

    `why_not`: why there is none, in words.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.why_not = ""

    def mount(self) -> None:
        """Before any thread is started: a mount namespace is a thread's own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            self.why_not = "only root can mount a tmpfs"
            return
        if not hasattr(ctypes.CDLL(None), "unshare") or ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
            self.why_not = "this machine allows no mount namespace"
            return
        made = _quiet("mount", "--make-rprivate", "/") and _quiet(
            "mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(self.folder)
        )
        if not made:
            self.why_not = "this machine allows no mount"

    def fill(self) -> None:
        """No byte is left: the disk becomes as small as what lies on it."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        subprocess.run(["mount", "-o", f"remount,size={used}", str(self.folder)], check=True)

    def empty(self) -> None:
        subprocess.run(["mount", "-o", f"remount,size={DISK}", str(self.folder)], check=True)

    def unmount(self) -> None:
        if not self.why_not:
            _quiet("umount", "--lazy", str(self.folder))


def _quiet(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Servers:
    """Durable ones: what PostgreSQL has acknowledged outlives its `kill -9`."""

    def __init__(self, folder: Path) -> None:
        self.embedded = EmbeddedServers(folder)

    def start(self) -> None:
        self.embedded.start()

    def stop(self) -> None:
        self.embedded.stop()

    @property
    def postgres_socket(self) -> str:
        return str(self.embedded.postgres.sockets / ".s.PGSQL.5432")

    @property
    def valkey_socket(self) -> str:
        return str(self.embedded.valkey.socket)

    @property
    def database_url(self) -> str:
        return self.embedded.database_url

    def through(self, port: int) -> str:
        """The database's address by a proxy on this port."""
        password = quote(self.database_url.split(":", 2)[2].split("@")[0], safe="")
        return f"postgresql://trunkline:{password}@127.0.0.1:{port}/trunkline"

    async def restart_postgres(self, how: signal.Signals) -> None:
        """SIGKILL: a crash. SIGINT: fast shutdown."""
        server = self.embedded.postgres
        if server.child is not None:
            os.kill(server.child.pid, how)
            await _ended(server.child)
        await self.revive_postgres()

    async def revive_postgres(self) -> None:
        """Again and again: after a crash its shared memory is held for a moment, and a full disk stops it."""
        server, deadline = self.embedded.postgres, time.monotonic() + START_SECONDS
        while True:
            if server.child is None or server.child.status is not None:
                if server.child is not None:
                    server.child.close()
                server.launch()
            with contextlib.suppress(*DATABASE_AWAY):
                connection = await asyncpg.connect(self.database_url, timeout=2)
                await connection.close()
                return
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL did not come back")
            await asyncio.sleep(0.05)

    async def restart_valkey(self) -> None:
        server = self.embedded.valkey
        if server.child is not None:
            os.kill(server.child.pid, signal.SIGKILL)
            await _ended(server.child)
            server.child.close()
        server.launch()
        deadline = time.monotonic() + START_SECONDS
        while not server.answers():
            if time.monotonic() > deadline:
                raise TimeoutError("Valkey did not come back")
            await asyncio.sleep(0.02)

    async def flush_valkey(self) -> None:
        await self._valkey("FLUSHALL")

    async def starve_valkey(self) -> None:
        """Every write is refused with OOM."""
        await self._valkey("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await self._valkey("CONFIG", "SET", "maxmemory", "1")

    async def feed_valkey(self) -> None:
        await self._valkey("CONFIG", "SET", "maxmemory", "256mb")
        await self._valkey("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    async def _valkey(self, *words: str) -> None:
        client = Redis.from_url(self.embedded.valkey_url)
        with contextlib.suppress(RedisError):
            await client.execute_command(*words)
        await client.aclose()


async def _ended(child: Child) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while child.status is None:
        if time.monotonic() > deadline:
            child.signal(signal.SIGKILL)
        await asyncio.sleep(0.02)
