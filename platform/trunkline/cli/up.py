"""`trunkline up`: everything on one machine, in the order it depends on each other."""

import asyncio
import http.client
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from trunkline.cli.composition import Composition, Doorway
from trunkline.cli.failures import Failure
from trunkline.cli.probes import check_reachable
from trunkline.cli.serving import bind
from trunkline.cli.supervisor import STOP, Supervised
from trunkline.cli.table import doorways_text
from trunkline.kernel.embedded import EmbeddedError, EmbeddedServers, FolderLock
from trunkline.kernel.embedded.process import last_line, stop_all
from trunkline.kernel.settings import Settings

READY_SECONDS = 30.0
OURS = (
    "postgres",
    "postgres.new",
    "postgres.password",
    "wrapping.key",
    "audit.key",
    "audit-heads.jsonl",
    "log",
    "sandbox",
)
"""Names in the data folder that a reset removes; anything else there is somebody's own."""


class Up:
    """One run of everything; `run` returns when a signal has ended it."""

    def __init__(self, composition: Composition, settings: Settings, *, demo: bool) -> None:
        self._composition = composition
        self._settings = msgspec.structs.replace(settings, data=settings.data.absolute())
        self._demo = demo
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._servers: EmbeddedServers | None = None
        self._workers: list[Supervised] = []

    def run(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: self._stop.set())
        with ExitStack() as stack:
            self._check_alone()
            self._check_ports()
            self._start_servers(stack)
            self._migrate()
            if self._stop.is_set():
                return
            stack.callback(self._stop_workers)
            self._start_workers("web", "worker")
            doorways = [Doorway(audience="Everybody", address=self._settings.origin)]
            if self._demo:  # while those two start
                say("Making sure that the demo data is there ...")
                doorways = list(asyncio.run(_seed(self._composition, self._settings)))
                self._start_workers("sandbox")
            if self._wait_ready():
                self._greet(doorways)
                self._watch()
            say("Stopping ...")
        say("Stopped.")

    def _ports(self) -> list[tuple[int, str]]:
        ports = [(self._settings.port, "TRUNKLINE_PORT")]
        if self._demo:
            ports.append((self._settings.sandbox_port, "TRUNKLINE_SANDBOX_PORT"))
            ports.append((self._settings.product_port, "TRUNKLINE_PRODUCT_PORT"))
        return ports

    def _check_alone(self) -> None:
        """First of all, so that a second copy is told so and not of a port that is taken."""
        if self._settings.data.exists():
            FolderLock(self._settings.data).probe()

    def _check_ports(self) -> None:
        for port, variable in self._ports():
            bind(self._settings.host, port, variable).close()

    def _start_servers(self, stack: ExitStack) -> None:
        """Embedded ones where no URL says otherwise; the folder is ours alone in either case."""
        settings = self._settings
        if settings.database_url and settings.valkey_url:
            stack.enter_context(FolderLock(settings.data))
        else:
            servers = EmbeddedServers(
                settings.data, with_postgres=not settings.database_url, with_valkey=not settings.valkey_url
            )
            say("Starting PostgreSQL and Valkey ..." if not settings.database_url else "Starting Valkey ...")
            stack.enter_context(servers)
            self._servers = servers
            settings = msgspec.structs.replace(
                settings,
                database_url=settings.database_url or servers.database_url,
                valkey_url=settings.valkey_url or servers.valkey_url,
            )
        if self._demo:
            settings = msgspec.structs.replace(
                settings,
                sandbox_url=settings.sandbox_url or f"http://{settings.host}:{settings.sandbox_port}",
                product_url=settings.product_url or f"http://{settings.host}:{settings.product_port}",
            )
        self._settings = settings
        check_reachable(settings.database_url, settings.valkey_url)

    def _migrate(self) -> None:
        from trunkline.kernel import logs
        from trunkline.kernel.migrate import upgrade

        logs.configure(msgspec.structs.replace(self._settings, log_level="warning"), "up")
        say("Bringing the database up to date ...")
        upgrade(self._settings.database_url)

    def _start_workers(self, *names: str) -> None:
        settings = self._settings
        env = {
            "TRUNKLINE_DATA": str(settings.data),
            "TRUNKLINE_DATABASE_URL": settings.database_url,
            "TRUNKLINE_VALKEY_URL": settings.valkey_url,
            "TRUNKLINE_SANDBOX_URL": settings.sandbox_url,
            "TRUNKLINE_PRODUCT_URL": settings.product_url,
            "TRUNKLINE_SANDBOX_CONNECTORS": settings.sandbox_connectors,
            "TRUNKLINE_SHUTDOWN_SECONDS": str(min(settings.shutdown_seconds, 2)),
        }
        for name in names:
            command = [*self._composition.command, name]
            worker = Supervised(name, command, env, settings.data / "log" / f"{name}.log", say)
            self._workers.append(worker)
            worker.start()

    def _wait_ready(self) -> bool:
        """Whether every port answers; False when a signal came first. A child that ends now ends it all."""
        paths = {self._settings.port: "/healthz"}
        deadline = time.monotonic() + READY_SECONDS
        for port, _ in self._ports():
            while not _answers(self._settings.host, port, paths.get(port, "/")):
                for worker in self._workers:
                    if worker.child is not None and worker.child.status is not None:
                        worker.join()
                        raise Failure(
                            f"{worker.name} did not start: {last_line(worker.log)} (whole log: {worker.log})."
                        )
                if time.monotonic() > deadline:
                    logs = self._settings.data / "log"
                    raise Failure(f"Port {port} did not answer within {READY_SECONDS:.0f} s: see {logs}.")
                if self._stop.wait(0.05):
                    return False
        return True

    def _greet(self, doorways: Sequence[Doorway]) -> None:
        say(f"Ready after {time.monotonic() - self._began:.1f} s.")
        echo(f"\n{doorways_text(doorways)}\n")
        say(f"Logs are in {_short(self._settings.data / 'log')}. Ctrl-C stops everything; the data stays.")

    def _watch(self) -> None:
        retry = 0.0
        while not self._stop.wait(0.2):
            if self._servers is not None and time.monotonic() >= retry:
                try:
                    for name in self._servers.revive():
                        say(f"{name} had ended; it runs again.")
                except EmbeddedError as error:
                    say(f"{error} Trying again in 5 s.")
                    retry = time.monotonic() + 5
            for worker in self._workers:
                worker.tend()

    def _stop_workers(self) -> None:
        stop_all([(worker.child, STOP) for worker in self._workers if worker.child is not None])
        for worker in self._workers:
            worker.join()


async def _seed(composition: Composition, settings: Settings) -> Sequence[Doorway]:
    return await composition.seed_demo(settings)


def reset(settings: Settings, confirm: Callable[[str], Any]) -> None:
    """Remove what earlier runs left in the data folder. `confirm` is asked first and aborts by raising."""
    if settings.database_url:
        raise Failure(
            "--reset removes embedded data only, and TRUNKLINE_DATABASE_URL names a server of your own: "
            "drop and create that database yourself."
        )
    found = [settings.data / name for name in OURS if (settings.data / name).exists()]
    if not found:
        return
    with FolderLock(settings.data):
        confirm(f"This deletes the database, the keys and the logs in {settings.data.absolute()}. Go on?")
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def say(line: str) -> None:
    stamp = click.style(time.strftime("%H:%M:%S"), dim=True)
    echo(f"{stamp} {line}")


def echo(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone; the servers must still be stopped
        click.echo(text)
        sys.stdout.flush()


def _short(path: Path) -> Path:
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path


def _answers(host: str, port: int, path: str) -> bool:
    """Whether an HTTP server answers with anything but its own failure."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(target, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
