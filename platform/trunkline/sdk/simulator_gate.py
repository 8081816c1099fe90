"""The ASGI layer before a simulator's routes: request log and faults."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.sdk.simulator_faults import PAGE_FAULTS, Fault, Faults
from trunkline.sdk.simulator_log import RequestLog
from trunkline.sdk.simulator_store import Store

PAGE_FAULT = "trunkline.simulator.page_fault"
"""Key in an ASGI scope: the fault that a list route must play."""
HOST = "trunkline.simulator.host"
"""Key in an ASGI scope: the provider's host that the call was for, where the path began with /~{host}."""

AnyRequest = Request[Any, Any, State]
Sleep = Callable[[float], Awaitable[None]]


class Reply(msgspec.Struct, frozen=True):
    """A whole answer made outside the routes: JSON, plain text where the body is a string, nothing where
    it is None.
    """

    status: int
    body: Any
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class Gated(Protocol):
    faults: Faults
    log: RequestLog
    store: Store

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
        if asked["path"].startswith("/~"):
            # One port for every host of a provider: /~acme.provider.example/api is /api there.
            host, slash, rest = asked["path"][2:].partition("/")
            asked[HOST], asked["path"] = host.lower(), slash + rest or "/"
            if "raw_path" in asked:
                asked["raw_path"] = asked["path"].encode()
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
        if kind in {"429", "500", "error_body"}:
            reply = self._simulator.fault_reply(kind)
            note(reply.status)
            await _send_reply(reply, send)
            return
        if kind in PAGE_FAULTS:
            asked[PAGE_FAULT] = kind
        lost = self._simulator.faults.lost(path)
        if lost is not None and kind is None:
            await self._perhaps_lost(lost, scope, receive, send, note)
            return
        await self._app(scope, receive, _Cut(send, note) if kind == "truncated" else _Noted(send, note))

    async def _perhaps_lost(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send, note: Callable[[int], None]
    ) -> None:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        before = len(self._simulator.store.ledger)
        await self._app(scope, receive, _Noted(hold, note))
        if len(self._simulator.store.ledger) > before:
            self._simulator.faults.strike(fault)
            await _break_off(send)
            return
        for message in held:
            await send(message)


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


async def _break_off(send: Send) -> None:
    """A head that promises more than comes: a web server closes the connection in the middle."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"64")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _send_reply(reply: Reply, send: Send) -> None:
    text = reply.body is None or isinstance(reply.body, str)
    body = (reply.body or "").encode() if text else msgspec.json.encode(reply.body)
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
    headers += [
        (b"content-type", b"text/plain; charset=utf-8" if text else b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
