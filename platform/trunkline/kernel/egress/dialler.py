"""Connections to vetted addresses; TLS above them still checks the certificate for the name."""

import time
from collections.abc import Collection, Iterable
from typing import Final

import httpcore2

from trunkline.kernel.egress.errors import EgressRefusedError
from trunkline.kernel.egress.resolver import Resolver

TRIES: Final = 4
"""Addresses of a name that are tried, one after the other."""
SHARE_SECONDS: Final = 1.5
"""What an address may take while others are left."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Dialler(httpcore2.AsyncNetworkBackend):
    """`known`: host and port that are dialled as they are, whatever they lead to (the sandbox); `loopback`:
    hosts, whatever the port.
    """

    def __init__(
        self,
        resolver: Resolver,
        wire: httpcore2.AsyncNetworkBackend,
        known: frozenset[tuple[str, int]],
        loopback: Collection[str] = (),
    ) -> None:
        self._loopback = loopback
        self._resolver = resolver
        self._wire = wire
        self._known = known

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base's signature
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        if (host, port) in self._known or host in self._loopback:
            return await self._wire.connect_tcp(host, port, timeout, local_address, socket_options)
        deadline = None if timeout is None else time.monotonic() + timeout
        addresses = (await self._resolver.addresses(host))[:TRIES]
        failed: Exception | None = None
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            seconds = None if deadline is None else max(0.001, deadline - time.monotonic())
            if left and seconds is not None:
                seconds = min(seconds, SHARE_SECONDS)
            try:
                return await self._wire.connect_tcp(
                    str(address), port, seconds, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"{host} has no address.")

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002 - the base's signature
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the base's signature
        socket_options: Iterable[SocketOption] | None = None,  # noqa: ARG002 - the base's signature
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressRefusedError("Sockets of this machine are never called.")

    async def sleep(self, seconds: float) -> None:
        await self._wire.sleep(seconds)
