"""Answers as they come over the wire, in whatever pieces; no socket is opened."""

import ssl
from itertools import pairwise

import httpcore2
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.egress.wire import HEAD_BYTES, KEPT, KEPT_SECONDS, Wire

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhello"


class Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, pieces):
        self.pieces = list(pieces)
        self.sent = b""
        self.closed = False
        self.unasked = False

    async def read(self, max_bytes, timeout=None):  # noqa: ASYNC109 - the base's
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def write(self, buffer, timeout=None):  # noqa: ASYNC109 - the base's
        self.sent += buffer

    async def aclose(self):
        self.closed = True

    def get_extra_info(self, info):
        return self.unasked if info == "is_readable" else None


class Network(httpcore2.AsyncNetworkBackend):
    def __init__(self, *streams):
        self.streams = list(streams)
        self.dialled = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.dialled.append((host, port))
        return self.streams[len(self.dialled) - 1]


def wire(*streams):
    network = Network(*streams)
    return Wire(network, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), network


async def call(made, method="GET", url="http://api.test/a?b=c", **more):
    response = await made.handle_async_request(httpx2.Request(method, url, **more))
    try:
        await response.aread()
    finally:
        await response.aclose()
    return response


def cut(data, places):
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(at) if a < b]


@given(answer=st.sampled_from([PLAIN, CHUNKED]), places=st.lists(st.integers(0, 200), max_size=8))
async def test_an_answer_is_the_same_in_whatever_pieces(answer, places) -> None:
    stream = Stream([*cut(answer, places), PLAIN])
    made, network = wire(stream)
    response = await call(made)
    assert (response.status_code, response.content) == (200, b"hello")
    assert (await call(made)).content == b"hello"
    assert len(network.dialled) == 1
    assert stream.sent.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: api.test\r\n")


@given(places=st.lists(st.integers(0, 200), max_size=8), lost=st.integers(1, 40))
async def test_a_cut_answer_is_none(places, lost) -> None:
    for answer in (PLAIN, CHUNKED):
        stream = Stream(cut(answer[:-lost], places))
        made, _ = wire(stream)
        with pytest.raises(httpx2.RemoteProtocolError):
            await call(made)
        assert stream.closed


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    first, second = Stream([TO_THE_END]), Stream([PLAIN])
    made, network = wire(first, second)
    assert (await call(made)).content == b"hello"
    assert first.closed
    await call(made)
    assert len(network.dialled) == 2


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN.replace(b"X-One: 1", b"connection: close"),
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN + b"HTTP/1.1 200 OK\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil",
        PLAIN + b"HTTP",
    ],
)
async def test_what_leaves_something_behind_is_not_used_again(answer) -> None:
    first, second = Stream([answer]), Stream([PLAIN])
    made, network = wire(first, second)
    response = await call(made)
    assert (response.content, "x-evil" in response.headers) == (b"hello", False)
    assert first.closed
    assert (await call(made)).content == b"hello"
    assert len(network.dialled) == 2


async def test_a_connection_that_spoke_unasked_or_rested_too_long_is_left(monkeypatch) -> None:
    first, second, third = Stream([PLAIN]), Stream([PLAIN]), Stream([PLAIN])
    made, network = wire(first, second, third)
    await call(made)
    first.unasked = True
    await call(made)
    assert first.closed
    now = __import__("time").monotonic()
    monkeypatch.setattr("trunkline.kernel.egress.wire.time.monotonic", lambda: now + KEPT_SECONDS + 1)
    await call(made)
    assert second.closed
    assert len(network.dialled) == 3


async def test_each_host_has_its_own_connections() -> None:
    made, network = wire(Stream([PLAIN]), Stream([PLAIN]), Stream([PLAIN]))
    await call(made)
    await call(made, url="http://other.test/")
    await call(made, url="http://api.test:81/")
    assert network.dialled == [("api.test", 80), ("other.test", 80), ("api.test", 81)]


async def test_not_all_connections_are_kept() -> None:
    streams = [Stream([PLAIN]) for _ in range(KEPT + 3)]
    made, _ = wire(*streams)
    for number in range(KEPT + 3):
        await call(made, url=f"http://host{number}.test/")
    assert [stream.closed for stream in streams] == [True] * 3 + [False] * KEPT
    await made.aclose()
    assert all(stream.closed for stream in streams)


async def test_what_is_only_under_way_is_passed_over() -> None:
    made, _ = wire(Stream([b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" + PLAIN]))
    response = await call(made)
    assert (response.content, "x" in response.headers) == (b"hello", False)


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(status) -> None:
    made, network = wire(Stream([b"HTTP/1.1 %d No\r\n\r\n" % status, PLAIN]))
    assert (await call(made)).content == b""
    assert (await call(made)).content == b"hello"
    assert len(network.dialled) == 1


async def test_a_head_has_no_body_whatever_it_says() -> None:
    made, _ = wire(Stream([PLAIN.removesuffix(b"hello")]))
    response = await call(made, "HEAD")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n" + PLAIN,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES + 1) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES + 1),
    ],
)
async def test_what_is_no_answer(answer) -> None:
    stream = Stream([answer])
    made, _ = wire(stream)
    with pytest.raises(httpx2.RemoteProtocolError):
        await call(made)
    assert stream.closed


async def test_nothing_can_end_a_line_early() -> None:
    stream = Stream([PLAIN])
    made, network = wire(stream)
    for headers in (
        [(b"a", b"b\r\nc: d")],
        [(b"a", b"b\nc: d")],
        [(b"a", b"b\rc: d")],
        [(b"a\r\nb", b"c")],
        [(b"a", b"b\x00")],
        [(b"transfer-encoding", b"chunked")],
    ):
        request = httpx2.Request("GET", "http://api.test/")
        request.headers.raw.extend(headers)
        request.headers = httpx2.Headers([*request.headers.raw, *headers])
        with pytest.raises(httpx2.LocalProtocolError):
            await made.handle_async_request(request)
    assert (network.dialled, stream.sent) == ([], b"")


@pytest.mark.parametrize("path", [b"/ HTTP/1.1\r\nx: y", b"/a b", b"/a\n", b"/\x00", b"/\xc3\xa9", b""])
async def test_no_address_begins_another_request(path) -> None:
    class Crooked(httpx2.URL):
        raw_path = path

    made, network = wire(Stream([PLAIN]))
    request = httpx2.Request("GET", "http://api.test/")
    request.url = Crooked("http://api.test/")
    with pytest.raises(httpx2.LocalProtocolError, match="address"):
        await made.handle_async_request(request)
    assert network.dialled == []


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nx: y\r\n\r\nPOST", "GE T", "GET\n", "GÉT", ""])
async def test_no_method_begins_another_request(method) -> None:
    made, network = wire(Stream([PLAIN]))
    with pytest.raises(httpx2.LocalProtocolError, match="address"):
        await made.handle_async_request(httpx2.Request(method, "http://api.test/"))
    assert network.dialled == []


async def test_no_other_protocol_is_spoken() -> None:
    made, network = wire(Stream([PLAIN]))
    for scheme in ("ftp", "ws", "httpx"):
        with pytest.raises(httpx2.UnsupportedProtocol):
            await made.handle_async_request(httpx2.Request("GET", f"{scheme}://api.test/"))
    assert network.dialled == []


@pytest.mark.parametrize("name", ["ReadTimeout", "ReadError", "WriteError", "ConnectError", "ConnectTimeout"])
async def test_errors_have_the_callers_names(name) -> None:
    stream = Stream([getattr(httpcore2, name)("away")])
    made, _ = wire(stream)
    with pytest.raises(getattr(httpx2, name)):
        await call(made)
    assert stream.closed


async def test_a_body_is_sent_with_its_length() -> None:
    stream = Stream([PLAIN])
    made, _ = wire(stream)
    await call(made, "POST", content=b'{"a":1}')
    head, _, body = stream.sent.partition(b"\r\n\r\n")
    assert (body, b"Content-Length: 7" in head) == (b'{"a":1}', True)
