"""Pages that are skimmed: nothing is read differently for it, only later."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.runs.documents import MalformedPageError, Page, entries_of, page_of
from trunkline.runs.skimming import PageReader, read_whole
from trunkline.sdk.manifest import FailureRule, Manifest
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
    Parent,
    Read,
    StreamSpec,
)
from trunkline_connectors.catalogue import manifests

MANIFEST = msgspec.structs.replace(next(one for one in manifests() if one.name == "hubspot"), failures=())
LIST = Read(path="/x", records="data", paginator=Cursor(next="next"))


def spec(**more: Any) -> StreamSpec:
    given = {
        "name": "x",
        "label": "X",
        "fields": (Field(name="a", label="A"),),
        "list": LIST,
        "modified": "properties.at",
        "deleted": Flag(pointer="archived"),
    }
    return StreamSpec(**(given | more))


def read_page(
    content: bytes, *, skim: bool, stream: StreamSpec | None = None
) -> tuple[Page, Any, PageReader]:
    stream = stream or spec()
    reader = PageReader(MANIFEST, stream, stream.list, skim=skim)
    body = reader(content)
    entries_of(stream.list, body)
    found = page_of(stream, stream.list, body, None, Turn(None), raws=reader.raws, whole=reader.whole)
    return found, body, reader


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"id": st.integers(1, 30) | st.text("ab\x00é", max_size=3)},
    optional={
        "properties": JSON | st.fixed_dictionaries({"at": st.just("2026-11-01T00:00:00Z") | JSON, "x": JSON}),
        "archived": st.booleans() | JSON,
        "more": JSON,
    },
)
BODIES = st.fixed_dictionaries(
    {"data": st.lists(RECORDS | JSON, max_size=5) | st.none()}, optional={"next": JSON, "é": JSON}
)


@given(BODIES, st.booleans(), st.booleans())
def test_a_skimmed_page_is_the_page(body: Any, ascii_only: bool, at_the_top: bool) -> None:
    stream = spec()
    if at_the_top:
        stream, body = spec(list=Read(path="/x", records="", paginator=Cursor(next="next"))), body["data"]
    content = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    results = []
    for skim in (False, True):
        try:
            page, read, _ = read_page(content, skim=skim, stream=stream)
            items = [(one.external_id, one.document, one.modified_at) for one in read_whole(page.items)]
            rest = (
                {name: value for name, value in read.items() if name != "data"}
                if body and not at_the_top
                else 0
            )
            results.append((items, [one.external_id for one in page.gone], page.count, rest))
        except (MalformedPageError, strictjson.JSONLimitError):
            results.append("refused")
    assert results[0] == results[1]


CONTENT = (
    b'{"data": [{"id": 1, "z":2,  "properties": {"at": "2026-11-01", "b": [1]}}, {"id":2}], "next": "c"}'
)


def test_of_what_is_skimmed_only_what_is_pointed_to_is_read_and_the_bytes_are_kept() -> None:
    page, body, reader = read_page(CONTENT, skim=True)
    assert not reader.whole
    assert body["next"] == "c"
    assert [one.document for one in page.items] == [{"id": 1, "properties": {"at": "2026-11-01"}}, {"id": 2}]
    assert [one.whole for one in page.items] == [False, False]
    assert bytes(page.items[0].raw or b"") == CONTENT[10:73]
    (first,) = read_whole(page.items[:1])
    assert (first.whole, first.raw, first.modified_at) == (True, page.items[0].raw, page.items[0].modified_at)
    assert first.document == {"id": 1, "z": 2, "properties": {"at": "2026-11-01", "b": [1]}}


def test_the_bytes_are_kept_of_what_is_read_whole_too() -> None:
    page, _, reader = read_page(CONTENT, skim=False)
    assert reader.whole
    assert [one.raw for one in page.items] == [one.raw for one in read_page(CONTENT, skim=True)[0].items]


@pytest.mark.parametrize("inside", [b"1e400", b"[" * 70 + b"]" * 70, b'"\xff"'])
def test_a_record_that_cannot_be_read_is_refused_once_it_is_to_be_read_whole(inside: bytes) -> None:
    content = b'{"data":[{"id":1},{"id":2,"x":%s}]}' % inside
    with pytest.raises(strictjson.JSONLimitError):
        read_page(content, skim=False)
    page, _, _ = read_page(content, skim=True)
    assert [one.document for one in read_whole(page.items[:1])] == [{"id": 1}]
    with pytest.raises(MalformedPageError):
        read_whole(page.items)


@pytest.mark.parametrize(
    "content",
    [
        b'{"data":[{"id":1}]',
        b'{"data":[{"id":1}}',
        b"",
        b'{"data":[{"id":1}],"n":1e400}',
        rb'{"data":[{"id":1,"x":"\ud800"}]}',
    ],
)
def test_a_page_that_was_cut_is_refused_at_once(content: bytes) -> None:
    with pytest.raises(strictjson.JSONLimitError):
        read_page(content, skim=True)


def kept(
    stream: StreamSpec, read: Read, manifest: Manifest = MANIFEST, content: bytes = CONTENT
) -> tuple[bool, bool]:
    """Whether it is skimmed, and whether the bytes of its records are kept."""
    reader = PageReader(manifest, stream, read, skim=True)
    reader(content)
    return not reader.whole, reader.raws is not None


def test_what_is_not_as_it_came_keeps_no_bytes() -> None:
    by = Cursor(next="next")
    stream = spec()
    assert kept(stream, LIST) == (True, True)
    assert kept(stream, Read(path="/x", records="data", paginator=LastId())) == (True, True)
    inside = Read(path="/x", records="data", paginator=by, inside=Inside(list="in"))
    assert kept(stream, inside) == (False, False)
    events = Incremental(path="/x", records="data", paginator=by, events=Events())
    assert kept(stream, events) == (False, False)
    assert kept(stream, Deletions(path="/x", records="data", paginator=by)) == (False, False)
    assert kept(spec(parent=Parent(stream="y", field="of")), LIST) == (False, False)
    deep = Read(path="/x", records="a.b", paginator=by)
    assert kept(stream, deep, content=b'{"a":{"b":[{"id":1}]}}') == (False, False)


def test_where_a_sign_of_failure_may_lie_in_the_records_they_are_read_whole() -> None:
    def signed(pointer: str) -> Manifest:
        rule = FailureRule(equals={pointer: "x"}, failure="forbidden")
        return msgspec.structs.replace(MANIFEST, failures=(rule,))

    assert kept(spec(), LIST, signed("status")) == (True, True)
    assert kept(spec(), LIST, signed("data.0.error")) == (False, True)
    top = Read(path="/x", records="", paginator=Cursor(next="next"))
    assert kept(spec(list=top), top, signed("0.error"), b'[{"id":1}]') == (False, True)
    assert kept(spec(list=top), top, content=b'[{"id":1}]') == (True, True)


@pytest.mark.parametrize("more", [{"id": "values.0.id"}, {"id": ""}, {"modified": "a..b"}])
def test_what_lies_in_a_list_is_not_skimmed(more: dict[str, str]) -> None:
    assert kept(spec(**more), LIST) == (False, True)
