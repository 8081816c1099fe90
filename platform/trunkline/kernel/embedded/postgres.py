import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from trunkline.kernel.embedded.binaries import POSTGRES_MAJOR, postgres_binary
from trunkline.kernel.embedded.errors import EmbeddedError
from trunkline.kernel.embedded.process import Child, last_line, open_log

OWNER = "trunkline"
DATABASE = "trunkline"
PORT = 5432
"""Only a part of the socket's name: nothing listens on TCP."""
START_SECONDS = 60.0
"""Recovery after a crash replays the write-ahead log first."""
STOP = ((signal.SIGINT, 3.0), (signal.SIGQUIT, 0.7), (signal.SIGKILL, 0.5))
"""SIGINT: end sessions, write a checkpoint. SIGQUIT: recover at the next start."""
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length_on_error": "0",
    "unix_socket_permissions": "0700",
}
UNSAFE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
"""Faster, and lost at a power cut: for tests."""


class PostgresServer:
    """PostgreSQL on a private unix socket with scram passwords; owner login and database `trunkline`."""

    def __init__(self, data: Path, sockets: Path, log: Path, *, unsafe: bool = False) -> None:
        self.folder = data.absolute() / "postgres"
        self.sockets = sockets
        self.log = log
        self.child: Child | None = None
        self._password_file = data.absolute() / "postgres.password"
        self._settings = SETTINGS | (UNSAFE_SETTINGS if unsafe else {})
        self._unsafe = unsafe

    @property
    def url(self) -> str:
        """Needs an initialised server: the password is made by `initialise`."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        password = self._password_file.read_text().strip()
        return f"postgresql://{OWNER}:{password}@/{database}?host={quote(str(self.sockets))}&port={PORT}"

    @property
    def initialised(self) -> bool:
        return (self.folder / "PG_VERSION").exists() and self._password_file.exists()

    def check_version(self) -> None:
        """Raise EmbeddedError when the data was written by another major version."""
        with contextlib.suppress(FileNotFoundError):
            found = (self.folder / "PG_VERSION").read_text().strip()
            if found != POSTGRES_MAJOR:
                raise EmbeddedError(
                    f"The data in {self.folder} was written by PostgreSQL {found}, and this is PostgreSQL "
                    f"{POSTGRES_MAJOR}: dump it with the old version, or choose another folder with "
                    "TRUNKLINE_DATA."
                )

    def initialise(self) -> None:
        """Make the cluster, owner and database; half-made ones are never mistaken for whole ones."""
        self.check_version()
        if self.initialised:
            return
        if self.folder.exists():
            raise EmbeddedError(
                f"{self.folder} is not a whole PostgreSQL data folder (its password file "
                f"{self._password_file.name} or its version is missing): restore it or move it away."
            )
        making = self.folder.with_name("postgres.new")
        shutil.rmtree(making, ignore_errors=True)
        password = self._password_file
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        initdb: list[str | Path] = [postgres_binary("initdb"), "-D", making, f"--username={OWNER}"]
        initdb += [f"--pwfile={password}"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        initdb += ["--no-instructions", *(["--no-sync"] if self._unsafe else [])]
        self._run(initdb)
        create = f"create database {DATABASE}\n"
        single: list[str | Path] = [postgres_binary("postgres"), "--single", "-D", making]
        self._run([*single, *(["-F"] if self._unsafe else []), "postgres"], create)
        making.rename(self.folder)

    def launch(self) -> None:
        self._settle_leftover()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [*_as_ordinary_user(), postgres_binary("postgres"), "-D", self.folder]
        command += ["-k", self.sockets, "-p", str(PORT), *options]
        with open_log(self.log) as log:
            self.child = Child(command, death=signal.SIGINT, output=log)

    def wait_ready(self) -> None:
        """Until sessions are accepted; a start refused by leftovers of a killed one is tried again."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            child = self.child
            if child is None:
                raise EmbeddedError("PostgreSQL was not launched.")
            if child.status is not None:
                # Sessions of a killed server hold its shared memory until they notice, some 100 ms.
                if "shared memory" not in _tail(self.log) or time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"PostgreSQL did not start: {last_line(self.log)} (whole log: {self.log})."
                    )
                child.close()
                time.sleep(0.1)
                self.launch()
            elif self._status_line(child.pid) == "ready":
                return
            elif time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL was not ready within {START_SECONDS:.0f} s: see {self.log}.")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether something listens on its socket."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
            return True
        return False

    def _status_line(self, pid: int) -> str:
        """Line 8 of postmaster.pid, as pg_ctl reads it, if the file is that process's own."""
        with contextlib.suppress(OSError, IndexError):
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            if int(lines[0]) == pid:
                return lines[7].strip()
        return ""

    def _settle_leftover(self) -> None:
        """Called under the folder's lock: a postmaster.pid is either of a server about to end, or stale.

        A stale one whose number belongs to an unrelated process by now would make PostgreSQL refuse.
        """
        pid_file = self.folder / "postmaster.pid"
        for signum, seconds in STOP:
            try:
                pid = int(pid_file.read_text().splitlines()[0])
            except (OSError, ValueError, IndexError):
                break
            if not _is_server_of(pid, self.folder):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and _is_server_of(pid, self.folder):
                time.sleep(0.02)
        pid_file.unlink(missing_ok=True)

    def _run(self, command: list[str | Path], text: str = "") -> None:
        done = subprocess.run(
            [*_as_ordinary_user(), *map(str, command)],
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            start_new_session=True,
        )
        with open_log(self.log) as log:
            log.write(done.stdout)
        if done.returncode:
            raise EmbeddedError(
                f"PostgreSQL's data folder could not be made: {last_line(self.log)} (whole log: {self.log})."
            )


def _is_server_of(pid: int, folder: Path) -> bool:
    try:
        if sys.platform == "linux":
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        else:
            words = subprocess.run(
                ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
            ).stdout
    except OSError:
        return False
    return "postgres" in words and str(folder) in words


def _as_ordinary_user() -> list[str]:
    """PostgreSQL refuses user 0; in a user namespace of its own it sees another number for the same user."""
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    wrapped = [unshare or "unshare", "--user", "--map-user=65534", "--"]
    if unshare is None or subprocess.run([*wrapped, "true"], capture_output=True, check=False).returncode:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and this machine allows no user namespace to run it in: "
            "start Trunkline as an ordinary user, or set TRUNKLINE_DATABASE_URL to a server of your own."
        )
    return wrapped


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes()[-2048:].decode(errors="replace")
    return ""
