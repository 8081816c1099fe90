"""Cursors, addresses, pages: what a stranger writes into an address never breaks a page."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline_ui.portal import common

ID = UUID(int=9)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_comes_back_as_it_was(at: datetime, identity: UUID) -> None:
    assert common.read_moment_cursor(common.moment_cursor(at, identity)) == (at, identity)


@given(st.text(max_size=80))
def test_any_other_cursor_is_the_first_page(text: str) -> None:
    assert common.read_moment_cursor(text) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_record_is_found_by_its_address(external_id: str) -> None:
    parts = urlsplit(common.record_address(ID, "contacts", external_id))
    *_, stream, last = parts.path.split("/")
    assert stream == "contacts"
    assert (
        parse_qs(parts.query, keep_blank_values=True)["id"][0] if last == "-" else unquote(last)
    ) == external_id


@given(st.lists(st.integers(), unique=True, min_size=1, max_size=60), st.integers(1, 12))
def test_walking_the_pages_shows_each_row_once_both_ways(numbers: list[int], limit: int) -> None:
    rows = sorted(numbers)

    def ask(address: str) -> tuple[list[Any], str, str]:
        query = {name: int(value[0]) for name, value in parse_qs(urlsplit(address).query).items()}
        if "before" in query:
            found = [row for row in rows if row < query["before"]][-(limit + 1) :]
        else:
            found = [row for row in rows if row > query.get("after", min(rows) - 1)][: limit + 1]
        return common.pages(
            "/x", found, limit, lambda row: row, {}, at_start="after" not in query, back="before" in query
        )

    shown, previous, following = ask("/x")
    assert previous == ""
    seen = list(shown)
    while following:
        shown, previous, following = ask(following)
        seen += shown
    assert seen == rows
    back = list(shown)
    while previous:
        shown, previous, following = ask(previous)
        assert following
        back = shown + back
    assert back == rows


def test_unusable_text() -> None:
    assert common.usable("Zoë 山田")
    for text in ("a\0b", "\ud800", "x" * (common.LONGEST + 1)):
        assert not common.usable(text)


def test_empty_queries_are_left_out() -> None:
    assert common.address("/x", a="", b=None, c="d e&f") == "/x?c=d+e%26f"
    assert common.address("/x") == "/x"
