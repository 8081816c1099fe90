"""Simulators behind a real port, in a thread of their own."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from trunkline.sandbox.app import create_sandbox
from trunkline.sandbox.hook_sender import HookSender
from trunkline.sdk.simulator import Simulator


@contextmanager
def running(simulators: tuple[Simulator, ...], senders: tuple[HookSender, ...] = ()) -> Iterator[str]:
    app = create_sandbox(simulators, senders=senders)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            assert server.started
            yield f"http://127.0.0.1:{held.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
