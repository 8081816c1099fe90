import contextlib
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

from trunkline.kernel.embedded import postgres, valkey
from trunkline.kernel.embedded.errors import EmbeddedError
from trunkline.kernel.embedded.lock import FolderLock
from trunkline.kernel.embedded.postgres import PostgresServer
from trunkline.kernel.embedded.process import Child, stop_all
from trunkline.kernel.embedded.sockets import make_socket_folder, socket_folder
from trunkline.kernel.embedded.valkey import ValkeyServer


class EmbeddedServers:
    """PostgreSQL and Valkey of one data folder, started and stopped together.

    `start` works on whatever an earlier end left behind, `kill -9` of everything included, and is
    without effect when both run. Call it from the main thread (see `Child`). Errors: EmbeddedError.
    """

    def __init__(
        self, data: Path, *, unsafe: bool = False, with_postgres: bool = True, with_valkey: bool = True
    ) -> None:
        """`unsafe` trades durability for speed and is for tests only."""
        self.data = data
        logs, sockets = data / "log", socket_folder(data)
        self._sockets = sockets
        self._lock = FolderLock(data)
        self._locked = False
        self.postgres = PostgresServer(data, sockets, logs / "postgres.log", unsafe=unsafe)
        self.valkey = ValkeyServer(sockets, logs / "valkey.log")
        self._with_postgres = with_postgres
        self._with_valkey = with_valkey

    @property
    def database_url(self) -> str:
        """postgresql://...@/trunkline?host=<socket folder>: the owner's login, a superuser."""
        return self.postgres.url

    @property
    def valkey_url(self) -> str:
        """unix://<socket>?db=0"""
        return self.valkey.url

    @property
    def pids(self) -> dict[str, int]:
        """Process numbers of the servers that run."""
        servers = {"postgres": self.postgres.child, "valkey": self.valkey.child}
        return {name: child.pid for name, child in servers.items() if child and child.status is None}

    def start(self) -> None:
        if not self._locked:
            self._lock.acquire()
            self._locked = True
        try:
            self._start()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise EmbeddedError(
                    f"The embedded servers cannot use {error.filename or self.data} ({error.strerror}): "
                    "correct that, or choose another folder with TRUNKLINE_DATA."
                ) from error
            raise

    def revive(self) -> list[str]:
        """Start again those that died; their names, for the operator."""
        wanted = [("postgres", self._with_postgres), ("valkey", self._with_valkey)]
        dead = [name for name, on in wanted if on and name not in self.pids]
        if dead:
            self.start()
        return dead

    def stop(self) -> None:
        """End both within 4.2 s, gently at first, and free the folder."""
        steps: list[tuple[Child, Sequence[tuple[Signals, float]]]] = []
        if self.postgres.child:
            steps.append((self.postgres.child, postgres.STOP))
        if self.valkey.child:
            steps.append((self.valkey.child, valkey.STOP))
        stop_all(steps)
        self.postgres.child = self.valkey.child = None
        if self._locked:
            self.valkey.socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the next start makes it again
                self._sockets.rmdir()
            self._lock.release()
            self._locked = False

    def _start(self) -> None:
        make_socket_folder(self._sockets)
        running = self.pids
        if self._with_valkey and "valkey" not in running:
            self.valkey.launch()
        if self._with_postgres and "postgres" not in running:
            self.postgres.initialise()
            self.postgres.launch()
        if self._with_postgres:
            self.postgres.wait_ready()
        if self._with_valkey:
            self.valkey.wait_ready()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
