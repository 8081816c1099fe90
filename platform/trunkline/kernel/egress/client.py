"""What holds for each request, whoever makes it.

The host is one that the connector named, by its name and over https; every address of the name is public, and
a vetted one is dialled, with the certificate checked for the name; no user name in the address, no redirect
followed, no cookie kept, no proxy taken from the environment, and a cap on time and on decompressed bytes.
Exceptions, in development only: the sandbox's own origin, and where it is asked for (`loopback`, for
webhooks) plain http to this machine.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpcore2
import httpx2

from trunkline.kernel.egress.body import TOTAL_SECONDS, Body
from trunkline.kernel.egress.dialler import Dialler
from trunkline.kernel.egress.errors import AnswerTooLargeError, EgressRefusedError
from trunkline.kernel.egress.identity import ClientIdentity
from trunkline.kernel.egress.resolver import Lookup, Resolver
from trunkline.kernel.egress.targets import Hosts, host_of, vet
from trunkline.kernel.egress.wire import Wire
from trunkline.kernel.settings import Settings

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
MAX_BYTES: Final = 32 * 1024 * 1024
LOOPBACK: Final = ("127.0.0.1", "localhost")

_HEADERS: Final = {"accept": "*/*", "accept-encoding": "gzip", "user-agent": "trunkline"}
_LIMITS: Final = {
    "connect": CONNECT_SECONDS,
    "pool": CONNECT_SECONDS,
    "read": READ_SECONDS,
    "write": READ_SECONDS,
}


class Egress:
    """One pool of connections for the process; made once, closed at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        pool: httpx2.AsyncBaseTransport | None = None,
        max_bytes: int = MAX_BYTES,
        lookup: Lookup | None = None,
        wire: httpcore2.AsyncNetworkBackend | None = None,
        trust: Callable[[], ssl.SSLContext] | None = None,
        loopback: bool = False,
    ) -> None:
        """`pool`, `lookup`, `wire` and `trust` stand in for the network, its names and its authorities."""
        self._loopback = loopback and settings.env == "development"
        self._resolver = Resolver(lookup)
        sandbox = httpx2.URL(settings.sandbox_url if settings.env == "development" else "")
        self._sandbox = (sandbox.scheme, sandbox.netloc.decode("ascii"))
        self._max_bytes = max_bytes
        port = sandbox.port or (443 if sandbox.scheme == "https" else 80)
        known = frozenset({(sandbox.raw_host.decode("ascii"), port)} if sandbox.host else ())
        self._pool = pool or Wire(
            Dialler(
                self._resolver, wire or httpcore2.AnyIOBackend(), known, LOOPBACK if self._loopback else ()
            ),
            trust or _trust,
        )

    def transport(
        self, hosts: Collection[str], identity: ClientIdentity | None = None
    ) -> httpx2.AsyncBaseTransport:
        """For clients of other makes (authlib). `hosts`: as `Hosts` reads them. `identity`: shown over https
        to those that ask; such connections serve nobody else.
        """
        return _Guard(
            self._pool, Hosts(hosts), self._sandbox, self._max_bytes, identity, loopback=self._loopback
        )

    def destination(self, address: str) -> str:
        """host[:port] to call for an address that somebody gave, as `transport` takes it.

        Raises EgressRefusedError. What the name leads to is looked at each time it is dialled.
        """
        if self._loopback and (own := _of_this_machine(address)):
            return own
        return host_of(address)

    async def look_up(self, address: str) -> None:
        """EgressRefusedError where the address' name leads to one that is not public; a name that is not
        found passes: it may be on its way.
        """
        host = self.destination(address)
        if self._loopback and _of_this_machine(address):
            return
        with contextlib.suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
            await self._resolver.addresses(host.partition(":")[0])

    def client(self, hosts: Collection[str]) -> httpx2.AsyncClient:
        """Cheap to make and to close: the pool behind it is shared and stays. Raises EgressRefusedError."""
        return _Client(
            transport=self.transport(hosts),
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            headers=_HEADERS,
        )

    async def close(self) -> None:
        await self._pool.aclose()


class _Client(httpx2.AsyncClient):
    """`request` as connectors' calls need it: without cookies, redirects, hooks and flows of authentication,
    a third of a call's CPU time. Everything else is httpx2's own.
    """

    async def request(  # type: ignore[override]
        self,
        method: str,
        url: httpx2.URL | str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        if options or (params and "?" in str(url)):
            return await super().request(
                method, url, params=params, content=content, headers=headers, **options
            )
        request = httpx2.Request(
            method,
            f"{url}?{urlencode(params)}" if params else url,
            content=content,
            headers={**_HEADERS, **(headers or {})},
            extensions={"timeout": _LIMITS},
        )
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


class _Guard(httpx2.AsyncBaseTransport):
    def __init__(
        self,
        pool: httpx2.AsyncBaseTransport,
        hosts: Hosts,
        sandbox: tuple[str, str],
        max_bytes: int,
        identity: ClientIdentity | None,
        *,
        loopback: bool,
    ) -> None:
        self._pool = pool
        self._loopback = loopback
        self._hosts = hosts
        self._sandbox = sandbox
        self._max_bytes = max_bytes
        self._identity = identity

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._vet(request)
        deadline = time.monotonic() + TOTAL_SECONDS
        # Whatever the caller's library prefers: gzip is what is unpacked below, under the cap.
        request.headers["accept-encoding"] = "gzip"
        # Nothing else passes: another name for TLS could be in there.
        request.extensions = {"timeout": _capped(request.extensions.get("timeout", {}))}
        if self._identity is not None:
            request.extensions["identity"] = self._identity
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                response = await self._pool.handle_async_request(request)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"No answer within {TOTAL_SECONDS:.0f} s.") from error
        try:
            return self._answer(response, deadline)
        except BaseException:
            await response.aclose()
            raise

    def _vet(self, request: httpx2.Request) -> None:
        url = request.url
        own = url.netloc.decode("ascii")
        known = (url.scheme, own) == self._sandbox or (self._loopback and _is_of_this_machine(url))
        host = own if known and not url.userinfo else vet(url)
        if not self._hosts.admits(host):
            raise EgressRefusedError(f"{host} is not among the hosts that this connector may call.")
        if request.headers.get("host", own).lower() != own:
            raise EgressRefusedError(f"A request to {host} must not name another host in its header.")

    def _answer(self, response: httpx2.Response, deadline: float) -> httpx2.Response:
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip", ""}:
            raise AnswerTooLargeError(
                f"The provider answered in the encoding {encoding[:20]!r}, not in gzip."
            )
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise AnswerTooLargeError(f"The provider's answer is larger than {self._max_bytes:,} bytes.")
        packed = encoding.endswith("gzip")
        # Cookies would travel from one tenant's call to the next, and a location could be followed.
        drop = {b"set-cookie", b"location"} | ({b"content-encoding", b"content-length"} if packed else set())
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            status_code=response.status_code,
            headers=[(name, value) for name, value in response.headers.raw if name.lower() not in drop],
            stream=Body(stream, self._max_bytes, packed=packed, deadline=deadline),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """The pool is shared: closing a client closes nothing."""


def _trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def _is_of_this_machine(url: httpx2.URL) -> bool:
    return url.scheme == "http" and not url.userinfo and url.raw_host.decode("ascii") in LOOPBACK


def _of_this_machine(address: str) -> str:
    """host:port of plain http to this machine, else nothing."""
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, TypeError, ValueError):
        return ""
    return url.netloc.decode("ascii") if _is_of_this_machine(url) else ""


def _capped(asked: Mapping[str, Any]) -> dict[str, float]:
    """What the caller wants, where it wants less."""
    return {
        name: limit if asked.get(name) is None else min(float(asked[name]), limit)
        for name, limit in _LIMITS.items()
    }
