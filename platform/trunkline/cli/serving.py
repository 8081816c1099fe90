import asyncio
import contextlib
import errno
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import uvicorn
import uvloop

from trunkline.cli.failures import Failure
from trunkline.kernel.settings import Settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
SETTLE_SECONDS = 1.0


def bind(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket; Failure naming the port and the setting that changes it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"Port {port} on {host} is taken by another program: "
                f"stop it, or choose another port with {variable}."
            ) from error
        if error.errno == errno.EACCES:
            raise Failure(
                f"Port {port} on {host} needs more rights than this user has: "
                f"choose one above 1023 with {variable}."
            ) from error
        raise Failure(
            f"{host}:{port} cannot be listened on ({error.strerror}): correct TRUNKLINE_HOST or {variable}."
        ) from error
    listener.set_inheritable(False)
    return listener


class _Server(uvicorn.Server):
    """Leaves signals to `run_until_signal`, which several servers of one process share."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(apps: Sequence[tuple[Any, socket.socket]], settings: Settings) -> None:
    """Serve each application on its socket until SIGINT or SIGTERM, then let requests end."""
    servers = [
        (
            _Server(
                uvicorn.Config(
                    app,
                    log_config=None,
                    access_log=False,  # its lines hold the query; ours do not
                    server_header=False,
                    loop="none",
                    http="httptools",
                    lifespan="on",
                    timeout_graceful_shutdown=settings.shutdown_seconds,
                )
            ),
            listener,
        )
        for app, listener in apps
    ]

    async def main(stop: asyncio.Event) -> None:
        running = [asyncio.create_task(server.serve([listener])) for server, listener in servers]
        tidying = asyncio.create_task(_settle())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*running)
        stopping.cancel()
        tidying.cancel()

    run_until_signal(main)
    if not all(server.started for server, _ in servers):
        raise Failure("The web process could not start: see the lines above.")


async def _settle() -> None:
    """What start-up left behind stays for good: the collector need not walk it again while requests wait."""
    await asyncio.sleep(SETTLE_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a coroutine on uvloop; the event is set by SIGINT or SIGTERM, and the exit code stays 0."""

    async def guarded() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in STOP_SIGNALS:
            loop.add_signal_handler(signum, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())
