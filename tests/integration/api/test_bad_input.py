"""Hostile requests: each is refused with a 4xx that names the field, and costs no more memory than the limit.

What is sent is a corpus of known tricks, and what hypothesis makes of callbacks, cursors and bodies.
"""

import asyncio
import contextlib
import gzip
import json
import tracemalloc
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from trunkline.web import BODY_LIMIT

MEBIBYTE = 1024 * 1024
FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def session(**changed: Any) -> bytes:
    body = {
        "end_user": {"id": "u1", "name": "Ada"},
        "connectors": ["hubspot"],
        "origin": "https://app.example.com",
    }
    return json.dumps(body | changed).encode()


def with_id(value: str) -> bytes:
    """`value` as it stands in the JSON, at end_user.id."""
    return session().replace(b'"u1"', value.encode("utf-8", "surrogatepass"))


BODIES: dict[str, tuple[bytes, str | None]] = {
    "empty object": (b"{}", "end_user"),
    "not an object": (b"[1]", None),
    "text": (b'"x"', None),
    "cut off": (session()[:-1], None),
    "two documents": (session() + b"{}", None),
    "trailing comma": (session()[:-1] + b",}", None),
    "a comment": (b"/* */" + session(), None),
    "byte order mark": (b"\xef\xbb\xbf" + session(), None),
    "utf-16": (session().decode().encode("utf-16"), None),
    "latin-1": (session(origin="https://app.example.com").replace(b"Ada", b"\xe4"), None),
    "overlong utf-8": (session().replace(b"Ada", b"\xc0\xaf"), None),
    "NUL escaped": (with_id('"a\\u0000b"'), "end_user.id"),
    "NUL raw": (with_id('"a\x00b"'), None),
    "NUL in a key": (session()[:-1] + b', "a\\u0000": 1}', None),
    "lone surrogate escaped": (with_id('"\\ud800"'), None),
    "lone surrogate raw": (with_id('"\ud800"'), None),
    "surrogates swapped": (with_id('"\\udc00\\ud800"'), None),
    "NaN": (with_id("NaN"), None),
    "Infinity": (with_id("-Infinity"), None),
    "1e400": (with_id("1e400"), None),
    "2^64": (with_id(str(2**64)), "end_user.id"),
    "2^63": (with_id(str(2**63)), "end_user.id"),
    "5,000 digits": (with_id("9" * 5000), None),
    "negative 5,000 digits": (with_id("-" + "9" * 5000), None),
    "a number where text is due": (with_id("1"), "end_user.id"),
    "null where text is due": (with_id("null"), "end_user.id"),
    "true where text is due": (with_id("true"), "end_user.id"),
    "too long": (with_id('"' + "x" * 201 + '"'), "end_user.id"),
    "too short": (with_id('""'), "end_user.id"),
    "control characters": (with_id('"a\\u001b[31m"'), "end_user.id"),
    "duplicate key": (session()[:-1] + b', "origin": "https://evil.example"}', "origin"),
    "duplicate key, escaped": (session()[:-1] + b', "ori\\u0067in": "https://evil.example"}', "origin"),
    "duplicate key within": (with_id('"u1", "id": "u2"'), "id"),
    "unknown field": (session(admin=True), "admin"),
    "unknown field within": (with_id('"u1", "role": "owner"'), "end_user.role"),
    "wrong kind, named like a service": (session(connectors="hubspot"), "connectors"),
    "wrong kind within a list": (session(connectors=["hubspot", 1]), "connectors.1"),
    "too many": (session(connectors=["x"] * 51), "connectors"),
    "none": (session(connectors=[]), "connectors"),
    "unknown connector": (session(connectors=["../../etc/passwd"]), "connectors"),
    "unknown recipe": (session(recipes=["' OR 1=1"]), "recipes"),
    "javascript origin": (session(origin="javascript:alert(1)"), "origin"),
    "null origin": (session(origin="null"), "origin"),
    "not a UUID": (session(connection_id="1"), "connection_id"),
    "a UUID as a number": (session(connection_id=1), "connection_id"),
    "65 deep": (with_id("[" * 65 + "]" * 65), None),
    "2,000 deep": (with_id("[" * 2000 + "]" * 2000), None),
    "100,000 deep": (with_id("[" * 100_000 + "]" * 100_000), None),
    "100,000 deep, open": (b'{"a":' * 100_000, None),
    "a tenant that is no text": (session(tenant=["globex"]), "tenant"),
}


async def rows(stand: Any) -> int:
    async with stand.db.tenant(stand.tenant_id) as found:
        return int((await found.execute(text("SELECT count(*) FROM connect_sessions"))).scalar_one())


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_of_the_corpus_is_refused_by_name(stand: Any, api: Any, name: str) -> None:
    body, field = BODIES[name]
    before = await rows(stand)
    for headers in (
        {"content-type": "application/json"},
        {"content-type": "application/json; charset=UTF-8"},
    ):
        answer = await api.post("/v1/connect-sessions", content=body, headers=headers)
        assert answer.status_code == 400, (name, answer.text)
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem.get("field") == field, (name, problem)
        assert len(answer.content) < 2000
    assert await rows(stand) == before


async def test_the_plain_body_of_the_corpus_is_taken(api: Any) -> None:
    assert (await api.post("/v1/connect-sessions", content=session())).status_code == 201


HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "gzip": ({"content-encoding": "gzip"}, "Content-Encoding"),
    "deflate": ({"content-encoding": "deflate"}, "Content-Encoding"),
    "br": ({"content-encoding": "br"}, "Content-Encoding"),
    "zstd": ({"content-encoding": "zstd"}, "Content-Encoding"),
    "several": ({"content-encoding": "gzip, gzip, gzip"}, "Content-Encoding"),
    "zip": ({"content-type": "application/zip"}, "Content-Type"),
    "form": ({"content-type": "application/x-www-form-urlencoded"}, "Content-Type"),
    "multipart": ({"content-type": "multipart/form-data; boundary=x"}, "Content-Type"),
    "text": ({"content-type": "text/plain"}, "Content-Type"),
    "xml": ({"content-type": "application/xml"}, "Content-Type"),
    "msgpack": ({"content-type": "application/x-msgpack"}, "Content-Type"),
    "jsonp": ({"content-type": "application/json-seq"}, "Content-Type"),
    "utf-16": ({"content-type": "application/json; charset=utf-16"}, "Content-Type"),
    "utf-7": ({"content-type": "application/json; charset=utf-7"}, "Content-Type"),
    "no charset": ({"content-type": 'application/json; charset="x'}, "Content-Type"),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_another_kind_of_body_is_refused_by_name(stand: Any, api: Any, name: str) -> None:
    headers, field = HEADERS[name]
    before = await rows(stand)
    answer = await api.post("/v1/connect-sessions", content=session(), headers=headers)
    if name == "no charset":
        assert answer.status_code in {201, 415}
        return
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), answer.text
    assert answer.json()["field"] == field
    assert await rows(stand) == before


async def test_what_the_corpus_meets_is_described(api: Any) -> None:
    paths = (await api.get("/schema/openapi.json")).json()["paths"]
    for path, item in paths.items():
        for method, operation in item.items():
            met = {"400", "401", "403", "404"} | (set() if method == "get" else {"409", "413", "415"})
            met |= {"422"} if method == "post" else set()
            assert met <= set(operation["responses"]), (method, path)
            assert "default" not in operation["responses"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_a_bomb_is_never_unpacked(api: Any, coding: str) -> None:
    zeros = b" " * 20 * MEBIBYTE
    bomb = zlib.compress(zeros) if coding == "deflate" else gzip.compress(zeros, 6)
    assert len(bomb) < 50_000
    del zeros
    tracemalloc.start()
    try:
        answer = await api.post("/v1/connect-sessions", content=bomb, headers={"content-encoding": coding})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == (400 if coding == "identity" else 415)
    assert peak < 8 * MEBIBYTE


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/connect-sessions"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/connections/0197a0a0-0000-7000-8000-000000000001"),
        ("POST", "/login"),
    ],
)
async def test_fifty_megabytes_are_not_read(stand: Any, method: str, path: str, announced: bool) -> None:
    chunk, taken = b"x" * 65536, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": taken < 50 * MEBIBYTE}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"testserver.local"), (b"authorization", f"Bearer {stand.key}".encode())]
    kind = b"application/json" if path.startswith("/v1") else b"application/x-www-form-urlencoded"
    headers += [(b"content-type", kind), (b"origin", b"http://testserver.local")]
    headers += [(b"content-length", b"52428800")] if announced else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver.local", 80),
        "state": {},
    }
    await stand.app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert taken <= (0 if announced else BODY_LIMIT + 2 * len(chunk))


ADDRESSES = [
    ("/v1/records/%00", "model"),
    ("/v1/records/con%00tact", "model"),
    ("/v1/records/%ff", "model"),
    ("/v1/records/Contact", "model"),
    ("/v1/records/..%2f..%2fetc", None),
    ("/v1/records/" + "x" * 64, "model"),
    ("/v1/records/contact?limit=0", "limit"),
    ("/v1/records/contact?limit=1001", "limit"),
    ("/v1/records/contact?limit=-1", "limit"),
    ("/v1/records/contact?limit=" + "9" * 5000, "limit"),
    ("/v1/records/contact?limit=%00", "limit"),
    ("/v1/records/contact?limit=NaN", "limit"),
    ("/v1/records/contact?cursor=1", "cursor"),
    ("/v1/records/contact?cursor=%00", "cursor"),
    ("/v1/records/contact?cursor=%ff", "cursor"),
    ("/v1/records/contact?cursor='%20OR%201=1", "cursor"),
    ("/v1/records/contact?updated_after=0", "updated_after"),
    ("/v1/records/contact?updated_after=2026-01-01", "updated_after"),
    ("/v1/records/contact?updated_after=2026-01-01T00:00:00", "updated_after"),
    ("/v1/records/contact?updated_after=0001-01-01T00:00:00%2B14:00", "updated_after"),
    ("/v1/records/contact?updated_after=9999-12-31T23:59:59-14:00", "updated_after"),
    ("/v1/records/contact?updated_after=%00", "updated_after"),
    ("/v1/records/contact?include_deleted=maybe", "include_deleted"),
    ("/v1/changes?after=-1", "after"),
    (f"/v1/changes?after={2**63}", "after"),
    (f"/v1/changes?after={2**64}", "after"),
    ("/v1/changes?after=1.5", "after"),
    ("/v1/changes?after=%00", "after"),
    ("/v1/changes?model=%00", "model"),
    ("/v1/changes?model=a'b", "model"),
    ("/v1/changes?tenant=globex%00", "tenant"),
    ("/v1/changes?x=%00", "x"),
    ("/v1/connections/{connection}/runs?cursor={connection}", "cursor"),
    ("/v1/connections/{connection}/runs?cursor=x", "cursor"),
    ("/v1/connections/{connection}/runs?stream=%00", "stream"),
]


@pytest.mark.parametrize(("path", "field"), ADDRESSES)
async def test_an_address_of_the_corpus_is_refused_by_name(
    stand: Any, api: Any, path: str, field: str | None
) -> None:
    answer = await api.get(path.replace("{connection}", str(stand.connection_id)))
    assert answer.status_code == (404 if field is None else 400), answer.text
    if field is not None:
        problem = answer.json()
        named = [problem.get("field"), *(one.get("field") for one in problem.get("errors", []))]
        assert field in named, problem


ANY_TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "\x00",
        "\ud800",
        "\ufffd",
        "\u202e",
        "💥" * 20,
        "' OR 1=1 --",
        "../..",
        "%00",
        "x" * 5000,
        "\r\nSet-Cookie: a=b",
    ]
)


@given(
    connector=st.sampled_from(["hubspot", "nobody", "%00", "..", "hub%2fspot", "HUBSPOT"]),
    pairs=st.lists(
        st.tuples(
            st.sampled_from(["state", "code", "error", "error_description", "iss", "x", "state[]"]), ANY_TEXT
        ),
        max_size=6,
    ),
)
@FUZZ
async def test_any_callback_is_a_page_that_refuses(
    stand: Any, connector: str, pairs: list[tuple[str, str]]
) -> None:
    query = "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in pairs)
    answer = await stand.client("x").get(f"/oauth/callback/{connector}?{query}", follow_redirects=False)
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    assert "a=b" not in answer.headers.get("set-cookie", "")


CURSORS = {
    "/v1/records/contact": "cursor",
    "/v1/changes": "after",
    "/v1/connections/{c}/runs": "cursor",
}


@given(path=st.sampled_from(sorted(CURSORS)), value=ANY_TEXT | st.integers(-(2**70), 2**70).map(str))
@FUZZ
async def test_any_cursor_is_taken_or_named(stand: Any, api: Any, path: str, value: str) -> None:
    """None of them moves what is read on to another place than its own."""
    name = CURSORS[path]
    given_ = quote(value, safe="", errors="surrogatepass")
    answer = await api.get(f"{path.replace('{c}', str(stand.connection_id))}?{name}={given_}")
    if answer.status_code == 200:
        assert name == "after"
        assert 0 <= int(value) < 2**63
        return
    assert answer.status_code == 400, answer.text[:500]
    problem = answer.json()
    assert name in [problem.get("field"), *(one.get("field") for one in problem.get("errors", []))], problem


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["end_user", "connectors", "origin", "recipes", "tenant", "id", "name", "stream", "mode"]
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    path=st.sampled_from(["connect-sessions", "models", "connections/confirm", "connections/{c}/sync"]),
    body=JSON | st.binary(max_size=60),
)
@FUZZ
async def test_any_body_gets_an_answer_that_is_none_of_our_failures(
    stand: Any, api: Any, path: str, body: Any
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    answer = await api.post(
        f"/v1/{path.replace('{c}', str(stand.connection_id))}",
        content=raw,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "good"])
async def test_an_endless_body_is_hung_up_on(stand: Any, key: str) -> None:
    """Over the wire: without a length, and whether or not the caller is known."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stand.url.rpartition(":")[2]))
    writer.write(
        b"POST /v1/connect-sessions HTTP/1.1\r\nhost: testserver.local\r\ntransfer-encoding: chunked\r\n"
        + (f"authorization: Bearer {stand.key}\r\n" if key else "").encode()
        + b"\r\n"
    )
    chunk, sent = b"10000\r\n" + b" " * 65536 + b"\r\n", 0
    with contextlib.suppress(ConnectionError):
        while sent < 32 * MEBIBYTE and not reader.at_eof():
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
            await asyncio.sleep(0)
    writer.close()
    assert sent < 32 * MEBIBYTE
    with contextlib.suppress(ConnectionError):  # the reset may overtake the answer
        answer = await reader.read(65536)
        assert not answer or answer.startswith(b"HTTP/1.1 413" if key else b"HTTP/1.1 401")
