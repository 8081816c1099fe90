import contextlib
import signal
import socket
import time
from pathlib import Path

from trunkline.kernel.embedded.binaries import valkey_binary
from trunkline.kernel.embedded.errors import EmbeddedError
from trunkline.kernel.embedded.process import Child, last_line, open_log

START_SECONDS = 10.0
STOP = ((signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0))
MAX_MEMORY = "256mb"


class ValkeyServer:
    """Valkey on a private unix socket, in memory only: what it holds may vanish at any moment."""

    def __init__(self, sockets: Path, log: Path) -> None:
        self.socket = sockets / "valkey.sock"
        self._log = log
        self.child: Child | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def launch(self) -> None:
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory": MAX_MEMORY,
            "maxmemory-policy": "allkeys-lru",
            "dir": str(self.socket.parent),
            "daemonize": "no",
            "databases": "64",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with open_log(self._log) as log:
            # Not SIGTERM at our death: on its way out it would remove the socket of the one started next.
            self.child = Child([valkey_binary(), *arguments], death=signal.SIGKILL, output=log)

    def wait_ready(self) -> None:
        child = self.child
        if child is None:
            raise EmbeddedError("Valkey was not launched.")
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if child.status is not None or time.monotonic() > deadline:
                raise EmbeddedError(f"Valkey did not start: {last_line(self._log)} (whole log: {self._log}).")
            time.sleep(0.005)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self.socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False
