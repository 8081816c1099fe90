import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from trunkline.kernel.egress import AnswerTooLargeError, Egress, EgressRefusedError
from trunkline.kernel.egress.body import _PIECE, _Gunzip
from trunkline.kernel.settings import Settings

Answer = Callable[[httpx2.Request], httpx2.Response]


class _Raw(httpx2.AsyncByteStream):
    """Bytes as they come over the wire, in pieces."""

    def __init__(self, data: bytes, piece: int = 1000) -> None:
        self.data = data
        self.piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), self.piece):
            yield self.data[start : start + self.piece]


def egress(answer: Answer, *, max_bytes: int = 100_000) -> Egress:
    settings = Settings(sandbox_url="http://127.0.0.1:8701")
    return Egress(settings, pool=httpx2.MockTransport(answer), max_bytes=max_bytes)


def ok(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json={"fine": True})


def packed(data: bytes, encoding: str = "gzip") -> Answer:
    return lambda _: httpx2.Response(200, headers={"content-encoding": encoding}, stream=_Raw(data))


async def test_a_named_host_over_https_is_called() -> None:
    async with egress(ok).client({"api.example.com"}) as client:
        assert (await client.get("https://API.example.com/x?y=1")).json() == {"fine": True}


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/",
        "https://api.example.com.evil.test/",
        "https://api.example.com:8443/",
        "http://api.example.com/",
        "https://user:pass@api.example.com/",
        "https://api.example.com@evil.test/",
        "http://127.0.0.1:8702/",
        "https://169.254.169.254/",
    ],
)
async def test_anything_else_is_refused_before_it_leaves(url: str) -> None:
    def must_not_be_called(_request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("left the house")

    async with egress(must_not_be_called).client({"api.example.com", "127.0.0.1:8701"}) as client:
        with pytest.raises(EgressRefusedError):
            await client.get(url)


async def test_plain_http_goes_to_the_sandbox_only_where_the_connector_may() -> None:
    out = egress(ok)
    async with out.client({"127.0.0.1:8701"}) as client:
        assert (await client.get("http://127.0.0.1:8701/hubspot/x")).status_code == 200
    async with out.client({"api.example.com"}) as client:
        with pytest.raises(EgressRefusedError):
            await client.get("http://127.0.0.1:8701/hubspot/x")
    async with out.client({"127.0.0.1:8701"}) as client:
        with pytest.raises(EgressRefusedError):
            await client.get("http://user:pass@127.0.0.1:8701/hubspot/x")


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    calls: list[httpx2.URL] = []

    def redirect(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.url)
        return httpx2.Response(302, headers={"location": "https://api.example.com/elsewhere"})

    async with egress(redirect).client({"api.example.com"}) as client:
        # not even by a caller who asks for it, and not to a host that may be called
        answer = await client.get("https://api.example.com/", follow_redirects=True)
    assert (answer.status_code, len(calls)) == (302, 1)


async def test_no_cookie_is_kept() -> None:
    seen: list[str | None] = []

    def cookies(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        return httpx2.Response(200, headers={"set-cookie": "session=of-another-tenant"})

    async with egress(cookies).client({"api.example.com"}) as client:
        await client.get("https://api.example.com/")
        await client.get("https://api.example.com/")
    assert seen == [None, None]


async def test_gzip_is_unpacked_also_in_several_members() -> None:
    data = gzip.compress(b"a" * 5000) + gzip.compress(b"b" * 5000)
    async with egress(packed(data)).client({"api.example.com"}) as client:
        assert (await client.get("https://api.example.com/")).content == b"a" * 5000 + b"b" * 5000


async def test_bytes_are_counted_after_unpacking() -> None:
    bomb = gzip.compress(b"\0" * 200_000)
    assert len(bomb) < 1000
    async with egress(packed(bomb)).client({"api.example.com"}) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get("https://api.example.com/")


async def test_a_large_plain_answer_is_refused() -> None:
    def large(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=_Raw(b"x" * 100_001))

    async with egress(large).client({"api.example.com"}) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get("https://api.example.com/")


async def test_an_answer_that_says_how_large_it_is_is_not_even_read() -> None:
    read: list[bytes] = []

    class Watched(_Raw):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in super().__aiter__():
                read.append(piece)
                yield piece

    def large(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-length": "100001"}, stream=Watched(b"x" * 100_001))

    async with egress(large).client({"api.example.com"}) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get("https://api.example.com/")
    assert not read


def test_a_bomb_is_unpacked_in_pieces() -> None:
    pieces = [len(piece) for piece in _Gunzip().feed(gzip.compress(bytes(3 * _PIECE)))]
    assert (max(pieces), sum(pieces)) == (_PIECE, 3 * _PIECE)


async def test_an_encoding_that_nobody_asked_for_is_refused() -> None:
    async with egress(packed(b"whatever", "br")).client({"api.example.com"}) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get("https://api.example.com/")


@pytest.mark.parametrize("data", [gzip.compress(b"a" * 5000)[:-9], b"not gzip at all"], ids=["cut", "plain"])
async def test_a_cut_or_damaged_packed_answer_is_no_answer(data: bytes) -> None:
    async with egress(packed(data)).client({"api.example.com"}) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("https://api.example.com/")


async def test_closing_a_client_leaves_the_pool_open() -> None:
    out = egress(ok)
    async with out.client({"api.example.com"}):
        pass
    async with out.client({"api.example.com"}) as client:
        assert (await client.get("https://api.example.com/")).status_code == 200


async def test_in_production_there_is_no_sandbox() -> None:
    settings = Settings(env="production", sandbox_url="http://127.0.0.1:8701")
    out = Egress(settings, pool=httpx2.MockTransport(ok))
    async with out.client({"127.0.0.1:8701"}) as client:
        with pytest.raises(EgressRefusedError):
            await client.get("http://127.0.0.1:8701/hubspot/x")


async def test_an_answer_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.kernel.egress.client.TOTAL_SECONDS", 0.02)

    async def silent(_request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(2)
        return httpx2.Response(200)

    async with egress(silent).client({"api.example.com"}) as client:  # type: ignore[arg-type]
        with pytest.raises(httpx2.ReadTimeout, match="No answer"):
            await client.get("https://api.example.com/")


async def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.kernel.egress.client.TOTAL_SECONDS", 0.02)

    class Drip(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(40):
                await asyncio.sleep(0.01)
                yield b"x"

    async with egress(lambda _: httpx2.Response(200, stream=Drip())).client({"api.example.com"}) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("https://api.example.com/")


async def test_a_caller_may_wait_less_and_not_longer() -> None:
    seen: list[dict[str, float]] = []

    def look(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"])
        return httpx2.Response(200)

    async with egress(look).client({"api.example.com"}) as client:
        await client.get("https://api.example.com/", timeout=3)
        await client.get("https://api.example.com/", timeout=None)
        await client.get("https://api.example.com/", timeout=3600)
    assert seen[0] == {"connect": 3, "pool": 3, "read": 3, "write": 3}
    assert seen[1] == seen[2] == {"connect": 5, "pool": 5, "read": 30, "write": 30}


async def test_nothing_but_its_time_is_asked_of_the_pool() -> None:
    seen: list[set[str]] = []

    def look(request: httpx2.Request) -> httpx2.Response:
        seen.append(set(request.extensions))
        return httpx2.Response(200)

    more = {"sni_hostname": "other.example.com", "target": b"http://other.example.com/"}
    async with egress(look).client({"api.example.com"}) as client:
        await client.get("https://api.example.com/", extensions=more)
    assert seen == [{"timeout"}]


async def test_the_environment_says_nothing_and_redirects_are_off() -> None:
    async with egress(ok).client({"api.example.com"}) as client:
        assert (client.follow_redirects, client.trust_env) == (False, False)
