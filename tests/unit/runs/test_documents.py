"""From a page to records: flags, events, tombstones, days; and passes of more than one part."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trunkline.runs.checkpoint import Settled, advance, begin, reader, restarted
from trunkline.runs.documents import MalformedPageError, Page, page_of
from trunkline.runs.moments import milliseconds
from trunkline.sdk.paging import Turn
from trunkline.sdk.streams import (
    Cursor,
    Deletions,
    Events,
    Field,
    Flag,
    Incremental,
    Inside,
    LastId,
    Read,
    StreamSpec,
)

T = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
LIST = Read(path="/x", records="data", paginator=Cursor(next="next"))
NOW = {"started": T, "fields": ["a"], "recipes": {}, "forced": None}


def spec(**more: Any) -> StreamSpec:
    given = {"name": "x", "label": "X", "fields": (Field(name="a", label="A"),), "list": LIST}
    return StreamSpec(**(given | more))


def changes(**more: Any) -> Incremental:
    return Incremental(path="/x", records="data", paginator=Cursor(next="next"), **more)


def ids(page: Page) -> tuple[list[str], list[str]]:
    return [one.external_id for one in page.items], [one.external_id for one in page.gone]


def test_flagged_records_are_gone() -> None:
    flagged = spec(deleted=Flag(pointer="status", equals=("deleted", "spam")))
    body = {
        "data": [{"id": 1, "status": "open"}, {"id": 2, "status": "deleted"}, {"id": 3, "status": "spam"}]
    }
    page = page_of(flagged, LIST, body, None, Turn(None))
    assert (ids(page), page.count) == ((["1"], ["2", "3"]), 3)
    assert ids(
        page_of(spec(deleted=Flag(pointer="d")), LIST, {"data": [{"id": 1, "d": True}]}, None, Turn(None))
    )


def test_records_that_lie_in_entries_take_along_what_is_around_them() -> None:
    inside = Inside(list="in", when=Flag(pointer="kind", equals=("c",)), carry={"of": "id", "at": "when.s"})
    read = Read(path="/x", records="data", paginator=Cursor(next="next"), inside=inside)
    entries = [
        {
            "id": 7,
            "when": {"s": 5},
            "in": [{"id": 1, "kind": "c"}, {"id": 2, "kind": "d"}, {"id": 3, "kind": "c"}],
        },
        {"id": 8, "in": []},
    ]
    page = page_of(spec(modified="at"), read, {"data": entries}, None, Turn(None))
    assert [one.document for one in page.items] == [
        {"id": 1, "kind": "c", "of": 7, "at": 5},
        {"id": 3, "kind": "c", "of": 7, "at": 5},
    ]
    assert page.items[0].modified_at == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert page.count == 2, "entries of the page, whatever lay in them"
    for wrong in ({"id": 1}, {"id": 1, "in": "x"}, {"id": 1, "in": ["x"]}):
        with pytest.raises(MalformedPageError):
            page_of(spec(), read, {"data": [wrong]}, None, Turn(None))


def test_events_are_of_records_and_the_newest_counts() -> None:
    events = Events(only=("customer.*",), deleted=("customer.deleted",))
    read = Incremental(path="/e", records="data", paginator=LastId(), events=events)
    stream = spec(incremental=read)

    def event(at: int, kind: str, number: int, name: str) -> dict[str, Any]:
        return {"id": f"evt_{at}", "type": kind, "created": at, "data": {"object": {"id": number, "a": name}}}

    body = {
        "data": [
            event(50, "customer.updated", 1, "newest"),
            event(50, "customer.updated", 1, "older in one second"),
            event(40, "customer.deleted", 2, "gone"),
            event(30, "customer.created", 2, "came"),
            event(20, "invoice.paid", 3, "no customer"),
            event(10, "customer.created", 1, "oldest"),
        ]
    }
    page = page_of(stream, read, body, None, Turn(None))
    assert ids(page) == (["1"], ["2"])
    assert page.items[0].document["a"] == "newest"
    assert page.items[0].modified_at == datetime.fromtimestamp(50, UTC)
    with pytest.raises(MalformedPageError):
        page_of(stream, read, {"data": [{"type": "customer.updated", "data": {}}]}, None, Turn(None))


def test_tombstones_have_ids_of_their_own_and_may_need_a_sign() -> None:
    gone = Deletions(
        path="/d", records="", paginator=Cursor(next="n"), id="deletedId", when=Flag(pointer="IsDeleted")
    )
    listed = [{"deletedId": "a", "IsDeleted": True}, {"deletedId": "b", "IsDeleted": False}]
    assert ids(page_of(spec(), gone, listed, None, Turn(None))) == (["a"], [])


def test_what_is_older_than_asked_for_is_passed_over_but_counted() -> None:
    dated = spec(modified="at")
    body = {"data": [{"id": 1, "at": 100}, {"id": 2, "at": 300}]}
    page = page_of(dated, LIST, body, None, Turn(None), floor=datetime.fromtimestamp(200, UTC))
    assert (ids(page), page.count) == ((["2"], []), 2)


def begun(stream: StreamSpec, bookmark: str | None = None, **more: Any) -> Any:
    settled = Settled(fields=["a"], recipes={}, bookmark=bookmark)
    return begin(stream, **({"settled": settled, "watermark": T, **NOW} | more))


def test_whole_days_are_asked_for_from_the_day_before() -> None:
    checkpoint = begun(spec(modified="at", incremental=changes(granularity="day", overlap_seconds=60)))
    values = checkpoint.values(spec(incremental=changes(granularity="day")))
    assert values["since_date"] == "2026-10-31"
    assert values["since_iso"] == "2026-10-31T00:00:00.000Z"
    assert values["floor_ms"] == milliseconds(T - timedelta(seconds=60))


def test_what_lags_is_not_asked_for() -> None:
    stream = spec(modified="at", incremental=changes(lag_seconds=120))
    assert begun(stream).values(stream)["since_ms"] == milliseconds(T - timedelta(seconds=120))


def test_a_bookmark_goes_on_where_the_last_run_ended_and_outlives_a_null() -> None:
    stream = spec(modified="at", incremental=changes(bookmark=True))
    first = begun(stream)
    assert (first.cursor, first.values(stream)["since_ms"]) == (None, milliseconds(T))
    page = Page([], None, None, T, entries=3, bookmark="after-3")
    done = advance(first, stream, page)
    assert (done.phase, done.bookmark) == ("weigh", "after-3")
    again = begun(stream, bookmark="after-3")
    assert again.cursor == "after-3"
    assert advance(again, stream, Page([], None, None, T, bookmark=None)).bookmark == "after-3"
    lost = restarted(again, again.id)
    assert (lost.cursor, lost.bookmark, lost.values(stream)["since_ms"]) == (None, None, milliseconds(T))


def test_changes_in_any_order_are_followed_by_their_cursor() -> None:
    stream = spec(modified="at", incremental=changes(order="any"))
    body = {"data": [{"id": 1, "at": 2_000_000_000}, {"id": 2, "at": 1_900_000_000}]}
    page = page_of(stream, changes(order="any"), body, T, Turn("2"))
    after = advance(begun(stream), stream, page)
    assert (after.phase, after.cursor, after.since_ms) == ("incremental", "2", milliseconds(T))


def test_a_list_of_several_parts_is_one_list_and_so_are_deletions() -> None:
    second = Read(path="/archived", records="data", paginator=Cursor(next="next"))
    gone = [Deletions(path=f"/gone/{n}", records="data", paginator=Cursor(next="next")) for n in (1, 2)]
    stream = spec(also=(second,), deletions=tuple(gone))
    checkpoint = begin(stream, settled=None, watermark=None, held=True, **NOW)
    paths = []
    while checkpoint.phase in {"list", "deletions"}:
        paths.append(reader(checkpoint, stream).path)
        checkpoint = advance(checkpoint, stream, Page([], None, None, T, entries=1))
    assert paths == ["/x", "/archived", "/gone/1", "/gone/2"]
    assert not checkpoint.doubtful


def test_deletions_are_asked_for_since_the_last_reading_within_the_providers_window() -> None:
    week = Deletions(path="/g", records="data", paginator=Cursor(next="n"), window_seconds=7 * 86_400)
    stream = spec(modified="at", incremental=changes(overlap_seconds=60), deletions=(week,))
    checkpoint = advance(begun(stream), stream, Page([], None, None, None, entries=1))
    assert checkpoint.phase == "deletions"
    assert checkpoint.values(stream)["since_ms"] == milliseconds(T - timedelta(seconds=60))
    first = begin(stream, settled=None, watermark=None, **NOW)
    ended = advance(first, stream, Page([], None, None, None, entries=1))
    assert ended.values(stream)["since_ms"] == milliseconds(T - timedelta(days=7))


def test_a_list_of_what_only_events_date_is_read_up_to_its_beginning() -> None:
    from trunkline.runs.checkpoint import watermark_of

    stream = spec(incremental=changes(events=Events()))
    first = begin(stream, settled=None, watermark=None, **NOW)
    done = advance(first, stream, Page([], None, None, T, entries=1))
    assert watermark_of(done, None) == T
