"""Which page comes next, for every paginator, and how an address is kept at home."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.egress import EgressRefusedError
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, read_manifest
from trunkline.sdk.paging import NoPageError, Seen, Turn, ends_blank, linked, position, turn
from trunkline.sdk.streams import Cursor, LastId, Link, Locator, Numbered, Offset, Paginator, Read, Whole

TEN = [{"id": number} for number in range(10)]


def read(paginator: Paginator, **more: Any) -> Read:
    return Read(path="/x", records="data", page_size=10, paginator=paginator, **more)


def after(
    by: Paginator, body: Any = None, *, entries: Any = TEN, here: str | None = None, **headers: str
) -> Turn:
    body = {} if body is None else body
    total = {"total": "total"} if isinstance(body, dict) and "total" in body else {}
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return turn(
        read(by, **total),
        Seen(body=body, headers=lower, entries=entries, here=here, stay=lambda url: url or None),
    )


@pytest.mark.parametrize(
    ("by", "body", "more", "next_"),
    [
        (Cursor(next="a.b"), {"a": {"b": "c"}}, {}, "c"),
        (Cursor(next="a.b"), {"a": {"b": 7}}, {}, "7"),
        (Cursor(next="a.b"), {"a": {"b": None}}, {}, None),
        (Cursor(next="a.b"), {"a": {"b": ""}}, {}, None),
        (Cursor(next="a.b"), {}, {}, None),
        (Cursor(next="c", more="m"), {"c": "x", "m": False}, {}, None),
        (Cursor(next="c", more="m"), {"c": "x", "m": True}, {}, "x"),
        (Cursor(next="c", end="e"), {"c": "x", "e": True}, {}, None),
        (Cursor(next="c", scroll=True), {"c": "x"}, {"entries": []}, None),
        (Link(next="links.next"), {"links": {"next": "/y?p=2"}}, {}, "/y?p=2"),
        (Link(next="links.next"), {"links": {"next": None}}, {}, None),
        (Link(), {}, {"link": '<https://h/y?p=2>; rel="next"'}, "https://h/y?p=2"),
        (Link(), {}, {"link": '<https://h/y>; rel="prev"'}, None),
        (Link(), {}, {}, None),
        (Offset(), {}, {}, "10"),
        (Offset(), {}, {"here": "10", "entries": TEN[:3]}, None),
        (Offset(), {"total": 20}, {"here": "10"}, None),
        (Offset(), {"total": 21}, {"here": "10"}, "20"),
        (Offset(more="m", next="n"), {"m": True, "n": 40}, {}, "40"),
        (Offset(more="m"), {"m": False}, {}, None),
        (Numbered(), {}, {}, "2"),
        (Numbered(), {}, {"here": "2", "entries": TEN[:9]}, None),
        (Numbered(pages="p"), {"p": 3}, {"here": "3"}, None),
        (Numbered(first=0, pages="p"), {"p": 3}, {"here": "1"}, "2"),
        (Numbered(more="m"), {"m": True}, {"entries": []}, "2"),
        (LastId(), {"has_more": True}, {}, "9"),
        (LastId(), {"has_more": False}, {}, None),
        (Locator(header="sforce-locator"), {}, {"sforce_locator": "abc"}, "abc"),
        (Locator(header="sforce-locator"), {}, {"sforce_locator": "null"}, None),
        (Locator(header="sforce-locator"), {}, {}, None),
        (Whole(), {}, {}, None),
    ],
)
def test_the_next_page(by: Paginator, body: Any, more: dict[str, Any], next_: str | None) -> None:
    assert after(by, body, **more).next == next_


def test_the_last_pages_cursor_is_known_too_and_a_null_one_is_not() -> None:
    by = Cursor(next="after_cursor", end="end_of_stream")
    assert after(by, {"after_cursor": "z", "end_of_stream": True}) == Turn(None, "z")
    assert after(by, {"after_cursor": None, "end_of_stream": True}, entries=[]) == Turn(None, None)


@pytest.mark.parametrize(
    ("by", "body"),
    [
        (Cursor(next="c"), {"c": True}),
        (Cursor(next="c"), {"c": {"a": 1}}),
        (Cursor(next="c"), {"c": "x" * 9000}),
        (Cursor(next="c"), {"c": "a\nb"}),
        (Link(next="c"), {"c": 7}),
        (LastId(id="nope"), {"has_more": True}),
    ],
)
def test_what_cannot_be_gone_on_from(by: Paginator, body: Any) -> None:
    with pytest.raises(NoPageError):
        after(by, body)


def test_positions() -> None:
    assert position(Offset(), None) == {"offset": 0}
    assert position(Numbered(first=0), None) == {"page": 0}
    assert position(Numbered(), "7") == {"page": 7}
    assert position(Cursor(next="a"), "x") == {"cursor": "x"}
    assert position(Link(), "/x?y") == {}
    with pytest.raises(ValueError, match="invalid literal"):
        position(Offset(), "x")


def test_where_a_page_without_entries_is_a_natural_end() -> None:
    assert ends_blank(read(Numbered()))
    assert ends_blank(read(Offset()))
    assert ends_blank(read(Cursor(next="c", scroll=True)))
    assert not ends_blank(read(Offset(more="m")))
    assert not ends_blank(read(Offset(), total="t"))
    assert not ends_blank(read(Cursor(next="c")))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<a>; rel="prev", <b>; rel="next"', "b"),
        ("<b>; rel=next", "b"),
        ('<b>; title="a, b; c>"; rel="last next"', "b"),
        ('<b;x,y>;REL="Next"', "b;x,y"),
        ('<a>; rel="prev"; rel="next"', None),
        ("<", None),
        ("", None),
        (None, None),
    ],
)
def test_link_headers(header: str | None, found: str | None) -> None:
    assert linked(header) == found


@given(st.text(max_size=200))
def test_no_link_header_breaks_it(text: str) -> None:
    linked(text)


MANIFEST = """
name = "desk"
label = "Desk"
version = "1.0.0"
category = "Support"
description = "x"
base_url = "https://{sub}.desk.example"
hosts = ["{sub}.desk.example", "files.desk.example"]
rates = []
streams = []
[auth]
kind = "api_key"
[account]
path = "/me"
id = "id"
label = "id"
"""


def desk() -> Manifest:
    return read_manifest(MANIFEST.encode(), "desk")


REAL, BOX = Endpoints(Settings()), Endpoints(Settings(sandbox_url="http://127.0.0.1:8701"))
ACME = {"sub": "acme"}


def test_an_account_has_its_own_host() -> None:
    assert REAL.url(desk(), "/api/x", ACME) == "https://acme.desk.example/api/x"
    assert BOX.url(desk(), "/api/x", ACME) == "http://127.0.0.1:8701/desk/~acme.desk.example/api/x"
    assert REAL.hosts(desk(), ACME) == {"acme.desk.example", "files.desk.example"}
    assert BOX.hosts(desk(), ACME) == {"127.0.0.1:8701"}


@pytest.mark.parametrize(
    "sub",
    ["evil.com/", "a.b", "evil.com#", "evil.com?", "x@evil.com:1/", "", "-", "ACME.", "xn--a", "a b", "ä"],
)
def test_no_value_leads_to_another_host(sub: str) -> None:
    with pytest.raises(EgressRefusedError):
        REAL.url(desk(), "/x", {"sub": sub})


def test_without_its_value_there_is_no_address() -> None:
    with pytest.raises(EgressRefusedError):
        REAL.url(desk(), "/x")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://acme.desk.example/api/x?p=2", "/api/x?p=2"),
        ("https://ACME.desk.example/api/x", "/api/x"),
        ("/api/x?p=2", "/api/x?p=2"),
        ("?p=2", "/api/here?p=2"),
        ("https://other.desk.example/api/x", None),
        ("https://evil.com/api/x", None),
        ("http://acme.desk.example/api/x", None),
        ("https://acme.desk.example:444/api/x", None),
        ("https://acme.desk.example@evil.com/x", None),
        ("//evil.com/x", None),
        ("\\\\evil.com/x", None),
        ("javascript:alert(1)", None),
        ("https://[::1", None),
        ("/x\n", None),
    ],
)
def test_a_next_address_stays_on_the_accounts_host(address: str, path: str | None) -> None:
    assert REAL.within(desk(), address, "/api/here", ACME) == path


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("http://127.0.0.1:8701/desk/~acme.desk.example/api/x?p=2", "/api/x?p=2"),
        ("http://127.0.0.1:8701/desk/api/x", "/api/x"),
        ("https://acme.desk.example/api/x", "/api/x"),
        ("http://127.0.0.1:8701/desk/~other.desk.example/api/x", None),
        ("http://127.0.0.1:8701/other/api/x", None),
    ],
)
def test_so_it_does_in_the_sandbox(address: str, path: str | None) -> None:
    assert BOX.within(desk(), address, "/api/here", ACME) == path


def test_an_address_of_a_next_page_is_called_as_it_was_named() -> None:
    assert REAL.join(desk(), "/api/x?a=1&a=2", ACME) == "https://acme.desk.example/api/x?a=1&a=2"
    assert BOX.join(desk(), "/x?y", ACME) == "http://127.0.0.1:8701/desk/~acme.desk.example/x?y"
