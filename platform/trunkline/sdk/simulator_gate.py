"""The ASGI layer before a simulator's routes: request log and faults."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.sdk.simulator_faults import Faults
from trunkline.sdk.simulator_log import RequestLog

EMPTY_PAGE = "trunkline.simulator.empty_page"
"""Key in an ASGI scope: set when a list route must answer without results but with a next page."""

AnyRequest = Request[Any, Any, State]
Sleep = Callable[[float], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True):
    """A whole JSON answer made outside the routes."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class Gated(Protocol):
    faults: Faults
    log: RequestLog

    def is_page(self, path: str) -> bool: ...
    def redact(self, path: str) -> str: ...
    def fault_reply(self, kind: str) -> Reply: ...


class Gate:
    """Pages of the simulator itself pass untouched; API calls are counted and may be struck."""

    def __init__(self, app: ASGIApp, simulator: Gated, sleep: Sleep = asyncio.sleep) -> None:
        self._app = app
        self._simulator = simulator
        self._sleep = sleep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked: Any = scope
        if asked["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = asked["path"].rstrip("/") or "/"
        if self._simulator.is_page(path):
            await self._app(scope, receive, send)
            return
        struck = self._simulator.faults.take(path)
        names = "+".join(fault.kind for fault in struck)
        method = str(asked["method"])

        def note(status: int) -> None:
            self._simulator.log.note(method, self._simulator.redact(path), status, names)

        for fault in struck:
            if fault.kind == "latency":
                await self._sleep(fault.latency_ms / 1000)
        kind = next((fault.kind for fault in struck if fault.kind != "latency"), None)
        if kind in {"429", "500"}:
            reply = self._simulator.fault_reply(kind)
            note(reply.status)
            await _send_reply(reply, send)
            return
        if kind == "empty":
            asked[EMPTY_PAGE] = True
        await self._app(scope, receive, _Cut(send, note) if kind == "truncated" else _Noted(send, note))


class _Noted:
    def __init__(self, send: Send, note: Callable[[int], None]) -> None:
        self._send = send
        self._note = note

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._note(message["status"])
        await self._send(message)


class _Cut:
    """Sends the first half of the body under a Content-Length that fits it: whole HTTP, broken JSON."""

    def __init__(self, send: Send, note: Callable[[int], None]) -> None:
        self._send = send
        self._note = note
        self._start: Any = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._note(message["status"])
            self._start = message
            return
        if message["type"] != "http.response.body" or self._start is None:
            await self._send(message)
            return
        self._body += message["body"]
        if message["more_body"]:
            return
        half = bytes(self._body[: len(self._body) // 2])
        kept = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        self._start["headers"] = [*kept, (b"content-length", str(len(half)).encode())]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": half, "more_body": False})


async def _send_reply(reply: Reply, send: Send) -> None:
    body = msgspec.json.encode(reply.body)
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
