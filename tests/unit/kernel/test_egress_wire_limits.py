"""What a call may take of connections, time and memory; and that only vetted addresses are dialled."""

import asyncio
import ssl

import httpcore2
import httpx2
import pytest

from trunkline.kernel.egress import Egress, EgressRefusedError
from trunkline.kernel.egress.dialler import Dialler
from trunkline.kernel.egress.resolver import Resolver
from trunkline.kernel.egress.wire import HEAD_BYTES, READ_BYTES, Wire
from trunkline.kernel.settings import Settings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
LIMITS = {"connect": 1.5, "read": 2.5, "write": 3.5, "pool": 4.5}


class Watched(httpcore2.AsyncNetworkStream, httpcore2.AsyncNetworkBackend):
    """A network with one connection, which is its own stream; notes what is asked of it and for how long."""

    def __init__(self, *pieces, tls_fails=False):
        self.pieces = list(pieces)
        self.tls_fails = tls_fails
        self.asked = []
        self.closed = 0

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.asked.append(("connect", host, port, timeout))
        return self

    async def start_tls(self, ssl_context, server_hostname=None, timeout=None):  # noqa: ASYNC109
        self.asked.append(("tls", server_hostname, timeout))
        if self.tls_fails:
            raise httpcore2.ConnectError("certificate")
        return self

    async def write(self, buffer, timeout=None):  # noqa: ASYNC109
        self.asked.append(("write", timeout))

    async def read(self, max_bytes, timeout=None):  # noqa: ASYNC109
        self.asked.append(("read", max_bytes, timeout))
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self):
        self.closed += 1

    def get_extra_info(self, info):
        return None


def wire(network):
    return Wire(network, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def request(url="https://api.test/", **limits):
    return httpx2.Request("GET", url, extensions={"timeout": LIMITS | limits})


async def test_each_step_has_its_limit() -> None:
    network = Watched(HEAD, b"hello")
    response = await wire(network).handle_async_request(request())
    assert await response.aread() == b"hello"
    assert network.asked == [
        ("connect", "api.test", 443, 1.5),
        ("tls", "api.test", 1.5),
        ("write", 3.5),
        ("read", READ_BYTES, 2.5),
        ("read", READ_BYTES, 2.5),
    ]


async def test_a_connection_without_a_certificate_is_closed() -> None:
    network = Watched(tls_fails=True)
    with pytest.raises(httpx2.ConnectError):
        await wire(network).handle_async_request(request())
    assert network.closed == 1
    assert network.asked[-1][0] == "tls"  # nothing was said


async def test_headers_without_end_are_not_read_on() -> None:
    network = Watched(b"HTTP/1.1 200 OK\r\n", *[b"x: " + b"y" * 8000 + b"\r\n"] * 100)
    with pytest.raises(httpx2.RemoteProtocolError, match="too long"):
        await wire(network).handle_async_request(request())
    assert len(network.pieces) >= 100 - HEAD_BYTES // 8000 - 1


async def test_only_so_many_calls_are_under_way(monkeypatch) -> None:
    monkeypatch.setattr("trunkline.kernel.egress.wire.MOST", 1)
    made = wire(Watched(HEAD, b"hello", HEAD, b"hello"))
    async with asyncio.timeout(20):
        for _ in range(2):  # a call that is over gives its place back
            under_way = await made.handle_async_request(request())
            with pytest.raises(httpx2.PoolTimeout):
                await made.handle_async_request(request(pool=0.01))
            await under_way.aread()


async def test_a_failed_call_gives_its_place_back(monkeypatch) -> None:
    monkeypatch.setattr("trunkline.kernel.egress.wire.MOST", 1)
    made = wire(Watched(b"", HEAD, b"hello"))
    async with asyncio.timeout(20):
        with pytest.raises(httpx2.RemoteProtocolError):
            await made.handle_async_request(request())
        assert await (await made.handle_async_request(request())).aread() == b"hello"


async def test_a_connection_that_was_closed_meanwhile_does_not_serve_again() -> None:
    network = Watched(HEAD, b"hello", HEAD, b"hello")
    made = wire(network)
    response = await made.handle_async_request(request())
    await made.aclose()
    assert await response.aread() == b"hello"
    await (await made.handle_async_request(request())).aread()
    assert [step[0] for step in network.asked].count("connect") == 2


async def inside(_name):
    return ["127.0.0.1"]


async def test_the_known_host_is_dialled_at_its_own_port_only() -> None:
    network = Watched()
    dialler = Dialler(Resolver(inside), network, frozenset({("127.0.0.1", 8701)}))
    await dialler.connect_tcp("127.0.0.1", 8701)
    with pytest.raises(EgressRefusedError):
        await dialler.connect_tcp("127.0.0.1", 8702)
    with pytest.raises(EgressRefusedError):
        await dialler.connect_tcp("localhost", 8701)
    assert [step[2] for step in network.asked] == [8701]


async def test_this_machine_is_dialled_only_where_that_was_asked_for() -> None:
    for settings, loopback, dialled in (
        (Settings(), False, 0),
        (Settings(), True, 1),
        (Settings(env="production"), True, 0),
    ):
        network = Watched(HEAD, b"hello")
        out = Egress(settings, lookup=inside, wire=network, loopback=loopback)
        try:
            await out._pool.handle_async_request(request("http://localhost:9999/"))
        except EgressRefusedError:
            assert not dialled
        assert len([step for step in network.asked if step[0] == "connect"]) == dialled


async def test_no_socket_of_this_machine_is_opened() -> None:
    dialler = Dialler(Resolver(inside), Watched(), frozenset())
    with pytest.raises(EgressRefusedError):
        await dialler.connect_unix_socket("/run/anything.sock")
