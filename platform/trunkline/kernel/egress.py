"""The one way out: every call to a provider goes through here.

What holds for each request, whoever makes it: the host is one that the connector named, the scheme is https
(plain http only to the configured sandbox), no user name in the address, no redirect followed, no cookie
kept, no proxy taken from the environment, and a cap on time and on decompressed bytes.
"""

import time
import zlib
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Final
from urllib.parse import urlsplit

import httpx2

from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.settings import Settings

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
TOTAL_SECONDS: Final = 60.0  # a provider that drips a byte every 29 s would otherwise hold a worker for ever
MAX_BYTES: Final = 32 * 1024 * 1024
_PIECE: Final = 256 * 1024  # decompressed at a time, so that a bomb is noticed before it is unpacked


class EgressRefusedError(TrunklineError):
    """A request that must not leave; nothing was sent. The message never holds the address' query."""

    status = 502
    code = "egress_refused"


class AnswerTooLargeError(EgressRefusedError):
    """The answer is larger than `MAX_BYTES` when unpacked, or packed in a way nobody asked for."""

    code = "answer_too_large"


class Egress:
    """One pool of connections for the process; made once, closed at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool: httpx2.AsyncBaseTransport | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        sandbox = urlsplit(settings.sandbox_url)
        self._plain = frozenset({sandbox.netloc}) if sandbox.scheme == "http" else frozenset()
        self._max_bytes = max_bytes
        self._pool = pool or httpx2.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30),
        )

    def transport(self, hosts: Collection[str]) -> httpx2.AsyncBaseTransport:
        """For clients of other makes (authlib). `hosts`: host or host:port, as they may be called."""
        return _Guard(self._pool, frozenset(host.lower() for host in hosts), self._plain, self._max_bytes)

    def client(self, hosts: Collection[str]) -> httpx2.AsyncClient:
        """Cheap to make and to close: the pool behind it is shared and stays. Raises EgressRefusedError."""
        return httpx2.AsyncClient(
            transport=self.transport(hosts),
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            headers={"accept-encoding": "gzip", "user-agent": "trunkline"},
        )

    async def close(self) -> None:
        await self._pool.aclose()


class _Guard(httpx2.AsyncBaseTransport):
    def __init__(
        self,
        pool: httpx2.AsyncBaseTransport,
        hosts: frozenset[str],
        plain: frozenset[str],
        max_bytes: int,
    ) -> None:
        self._pool = pool
        self._hosts = hosts
        self._plain = plain
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._vet(request.url)
        # Whatever the caller's library prefers: gzip is what is unpacked below, under the cap.
        request.headers["accept-encoding"] = "gzip"
        response = await self._pool.handle_async_request(request)
        try:
            return self._capped(response)
        except BaseException:
            await response.aclose()
            raise

    def _vet(self, url: httpx2.URL) -> None:
        host = url.netloc.decode("ascii").lower()
        if url.userinfo:
            raise EgressRefusedError("An address with a user name or a password in it is never called.")
        if url.scheme != "https" and not (url.scheme == "http" and host in self._plain):
            raise EgressRefusedError(f"{host} may only be called over https.")
        if host not in self._hosts:
            raise EgressRefusedError(f"{host} is not among the hosts that this connector may call.")

    def _capped(self, response: httpx2.Response) -> httpx2.Response:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip", ""}:
            raise AnswerTooLargeError(
                f"The provider answered in the encoding {encoding[:20]!r}, not in gzip."
            )
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise AnswerTooLargeError(f"The provider's answer is larger than {self._max_bytes:,} bytes.")
        packed = encoding.endswith("gzip")
        # Cookies would travel from one tenant's call to the next; nobody needs them here.
        drop = {b"set-cookie", b"content-encoding", b"content-length"} if packed else {b"set-cookie"}
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            status_code=response.status_code,
            headers=[(name, value) for name, value in response.headers.raw if name.lower() not in drop],
            stream=_Body(stream, self._max_bytes, packed=packed),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """The pool is shared: closing a client closes nothing."""


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int, *, packed: bool) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        deadline = time.monotonic() + TOTAL_SECONDS
        seen = 0
        unpacker = _Gunzip() if self._packed else None
        async for chunk in self._stream:
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout(f"The answer took longer than {TOTAL_SECONDS:.0f} s.")
            for piece in unpacker.feed(chunk) if unpacker else (chunk,):
                seen += len(piece)
                if seen > self._max_bytes:
                    raise AnswerTooLargeError(
                        f"The provider's answer is larger than {self._max_bytes:,} bytes when unpacked."
                    )
                yield piece
        if unpacker is not None and not unpacker.complete:
            raise httpx2.RemoteProtocolError("The packed answer ended early.")

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Gunzip:
    """gzip in bounded pieces, several members in a row allowed (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._unzip = zlib.decompressobj(31)  # 16 + MAX_WBITS: gzip header and checksum
        self._fresh = True

    @property
    def complete(self) -> bool:
        return self._unzip.eof or self._fresh

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            piece, data = self._step(data)
            if piece:
                yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """A piece and what is left of the input."""
        if self._unzip.eof:
            self._unzip = zlib.decompressobj(31)
        self._fresh = False
        try:
            piece = self._unzip.decompress(data, _PIECE)
        except zlib.error as error:
            raise httpx2.RemoteProtocolError("The packed answer is damaged.") from error
        return piece, self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
