"""HTTP/1.1 over connections that are kept: what carries the calls that were let through.

llhttp (by httptools) reads the answers, strictly; a general client's machinery costs several times as much.
A connection serves again only after an answer that ended where it said it would and left nothing behind.
"""

import asyncio
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpcore2
import httptools
import httpx2

from trunkline.kernel.egress.identity import ClientIdentity

MOST: Final = 200
"""Connections at a time."""
KEPT: Final = 50
KEPT_SECONDS: Final = 30.0
"""At rest."""
IDENTITIES: Final = 64
"""Whose way of speaking TLS is kept; making one takes milliseconds."""
HEAD_BYTES: Final = 64 * 1024
"""Of an answer's status line and headers."""
READ_BYTES: Final = 256 * 1024

_TARGET = re.compile(rb"[!-~]+")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_SECURE = {"https": True, "http": False}
_Origin = tuple[bool, str, int, bytes]
"""With the digest of the identity that is shown there; empty: none."""


class Wire(httpx2.AsyncBaseTransport):
    """A pool of connections, by origin. The time-outs of a request are those of its extensions."""

    def __init__(self, dialler: httpcore2.AsyncNetworkBackend, trust: Callable[[], ssl.SSLContext]) -> None:
        self._dialler = dialler
        self._make_trust = trust
        self._trust = self._trusting(None)
        self._known_as: OrderedDict[bytes, ssl.SSLContext] = OrderedDict()
        self._free = asyncio.Semaphore(MOST)
        self._kept: dict[_Origin, list[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        head = _head(request)
        body = await request.aread()
        try:
            async with asyncio.timeout(limits.get("pool")):
                await self._free.acquire()
        except TimeoutError as error:
            raise httpx2.PoolTimeout("Too many calls are under way.", request=request) from error
        connection: _Connection | None = None
        try:
            with _translated(request):
                identity = request.extensions.get("identity")
                connection = await self._connection(request.url, limits, identity)
                return await connection.call(request.method, head + body, limits)
        except BaseException:
            await self._leave(connection, again=False)
            raise

    async def aclose(self) -> None:
        connections, self._open, self._kept = self._open, set(), {}
        for connection in connections:
            await connection.aclose()

    # -- connections ------------------------------------------------------------------------

    async def _connection(
        self, url: httpx2.URL, limits: Mapping[str, float | None], identity: ClientIdentity | None
    ) -> "_Connection":
        secure = _SECURE[url.scheme]
        port = url.port or (443 if secure else 80)
        shown = identity.digest if identity is not None else b""
        origin = secure, url.raw_host.decode("ascii"), port, shown
        kept = self._kept.get(origin)
        while kept:
            found = kept.pop()
            if not kept:
                del self._kept[origin]
            if found.usable:
                return found
            self._open.discard(found)
            await found.aclose()
        connect = limits.get("connect")
        stream = await self._dialler.connect_tcp(origin[1], origin[2], connect)
        if secure:
            try:
                stream = await stream.start_tls(self._context(identity), origin[1], connect)
            except BaseException:
                await stream.aclose()
                raise
        made = _Connection(stream, origin, self)
        self._open.add(made)
        return made

    def _context(self, identity: ClientIdentity | None) -> ssl.SSLContext:
        if identity is None:
            return self._trust
        found = self._known_as.pop(identity.digest, None) or self._trusting(identity)
        self._known_as[identity.digest] = found
        while len(self._known_as) > IDENTITIES:
            self._known_as.popitem(last=False)
        return found

    def _trusting(self, identity: ClientIdentity | None) -> ssl.SSLContext:
        made = self._make_trust()
        made.set_alpn_protocols(["http/1.1"])
        if identity is not None:
            identity.show_in(made)
        return made

    async def _leave(self, connection: "_Connection | None", *, again: bool) -> None:
        """A call is over; `again`: its connection may serve the next one."""
        self._free.release()
        if connection is None:
            return
        if again and connection in self._open:
            kept = self._kept.setdefault(connection.origin, [])
            connection.rested_at = time.monotonic()
            kept.append(connection)
            if sum(map(len, self._kept.values())) <= KEPT:
                return
            connection = self._oldest()
        self._open.discard(connection)
        await connection.aclose()

    def _oldest(self) -> "_Connection":
        kept = min(self._kept.values(), key=lambda connections: connections[0].rested_at)
        found = kept.pop(0)
        if not kept:
            del self._kept[found.origin]
        return found


class _Connection:
    """One call at a time."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, origin: _Origin, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire
        self.origin = origin
        self.rested_at = 0.0

    @property
    def usable(self) -> bool:
        """Whether it still stands and is silent: what came unasked would be taken for the next answer."""
        rested = time.monotonic() - self.rested_at
        return rested < KEPT_SECONDS and not self._stream.get_extra_info("is_readable")

    async def call(self, method: str, request: bytes, limits: Mapping[str, float | None]) -> httpx2.Response:
        await self._stream.write(request, limits.get("write"))
        answer = _Answer(method)
        while not answer.begun:
            answer.feed(await self._stream.read(READ_BYTES, limits.get("read")))
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(self, answer, limits.get("read")),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason},
        )

    async def more(self, answer: "_Answer", seconds: float | None) -> None:
        with _translated(None):
            answer.feed(await self._stream.read(READ_BYTES, seconds))

    async def done(self, *, again: bool) -> None:
        await self._wire._leave(self, again=again)  # noqa: SLF001 - its own pool

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, connection: _Connection, answer: "_Answer", seconds: float | None) -> None:
        self._connection: _Connection | None = connection
        self._answer = answer
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None:
            for piece in self._answer.taken():
                yield piece
            if self._answer.ended:
                break
            await self._connection.more(self._answer, self._seconds)
        await self.aclose()

    async def aclose(self) -> None:
        """Half read, the connection is of no more use."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.done(again=self._answer.reusable)


class _Answer:
    """What llhttp makes of the bytes. httpcore2.RemoteProtocolError: they are no answer."""

    def __init__(self, method: str) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._silent = method in {"HEAD", "CONNECT"}
        self._size = 0
        self._pieces: list[bytes] = []
        self._framed = False
        self._messages = 0
        self._fresh()
        self.begun = False
        self.ended = False
        self.reusable = False

    def _fresh(self) -> None:
        self.status, self.reason = 0, b""
        self.headers: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> None:
        if not data:
            if not self.begun or self._framed:
                raise httpcore2.RemoteProtocolError("The answer ended early.")
            self.ended = True  # as this one is marked: by the end of the connection
            return
        if not self.begun:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise httpcore2.RemoteProtocolError("The answer changes the protocol.") from error
        except httptools.HttpParserError as error:
            raise httpcore2.RemoteProtocolError("The answer is not HTTP.") from error
        if not self.begun and self._size > HEAD_BYTES:
            raise httpcore2.RemoteProtocolError("The answer's headers are too long.")

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        return iter(pieces)

    # called by the parser

    def on_message_begin(self) -> None:
        self._messages += 1
        if self.ended:
            self.reusable = False  # more than was asked for

    def on_status(self, status: bytes) -> None:
        self.reason = status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.ended:
            self.headers.append((name, value))
            self._framed |= name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.ended or status < 200:
            return
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES:
            raise httpcore2.RemoteProtocolError("The answer's headers are too long.")
        self.status, self.begun = status, True
        if self._silent:
            self.ended = True

    def on_body(self, body: bytes) -> None:
        if not self.ended:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._fresh()  # it is only under way
            self._framed = False
        elif not self.ended:
            self.ended = True
            self.reusable = bool(self._parser.should_keep_alive())


def _head(request: httpx2.Request) -> bytes:
    """Whatever could end a line, or begin another request, is refused here."""
    if request.url.scheme not in _SECURE:
        raise httpx2.UnsupportedProtocol("Only HTTP is spoken.", request=request)
    target = request.url.raw_path
    if not _TARGET.fullmatch(target) or not _NAME.fullmatch(request.method.encode("ascii", "replace")):
        raise httpx2.LocalProtocolError("The address cannot be called.", request=request)
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), target)]
    for name, value in request.headers.raw:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx2.LocalProtocolError("A header cannot be sent.", request=request)
        if name.lower() == b"transfer-encoding":
            raise httpx2.LocalProtocolError("Bodies are sent whole.", request=request)
        lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


@contextmanager
def _translated(request: httpx2.Request | None) -> Iterator[None]:
    """Errors of the layer below, by the names of this one."""
    try:
        yield
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        kind: Any = getattr(httpx2, type(error).__name__)
        raise kind(str(error), request=request) from error
