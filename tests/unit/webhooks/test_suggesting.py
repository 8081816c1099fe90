"""What a first event suggests: always something that reads that event, or nothing."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.errors import NotFoundError
from trunkline.sdk.own import Reading, own_manifest, read_back, written
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.event_repository import Queued
from trunkline.webhooks.events import split
from trunkline.webhooks.reading import told
from trunkline.webhooks.suggesting import MOST, pointers, suggest

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = st.sampled_from(
    [
        *("id", "data", "object", "record", "type", "deleted", "deleted_at", "updated_at", "timestamp"),
        "x y",
        "a.b",
        "",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**60)
    | st.text(max_size=12)
    | st.just("2026-03-01T10:00:00Z"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)


def queued() -> Queued:
    return Queued(
        id=UUID(int=1),
        type="event",
        body=None,
        key_version=1,
        occurred_at=None,
        received_at=MOMENT,
        label="initial",
        tries=0,
        attempts=0,
        replay_id=None,
    )


@pytest.mark.parametrize(
    ("document", "key", "record", "at", "gone", "gone_when"),
    [
        ({"id": 7, "name": "x"}, "id", None, None, None, ()),
        ({"order_number": "A-1", "updatedAt": 1_700_000_000}, "order_number", None, "updatedAt", None, ()),
        (
            {"type": "order.paid", "data": {"object": {"id": "1", "deleted": False}}},
            *("data.object.id", "data.object", None, "data.object.deleted", ("true",)),
        ),
        (
            {"event": "user.changed", "time": "2026-01-01", "payload": {"uuid": "u"}},
            *("payload.uuid", "payload", "time", "event", ("user.deleted",)),
        ),
        ({"id": "1", "data": {"colour": "red"}}, "id", None, None, None, ()),
        ({"data": {"id": "1", "deleted_at": None}}, "data.id", "data", None, "data.deleted_at", ("*",)),
    ],
)
def test_usual_forms(
    document: Any, key: str, record: str | None, at: str | None, gone: str | None, gone_when: tuple[str, ...]
) -> None:
    found = suggest(document)
    assert found is not None
    assert (found.key, found.record, found.at, found.gone, found.gone_when) == (
        key,
        record,
        at,
        gone,
        gone_when,
    )


@pytest.mark.parametrize(
    "document", [None, 1, "x", [], [{"id": 1}], {}, {"data": {}}, {"id": None}, {"id": True}]
)
def test_nothing_to_go_by(document: Any) -> None:
    assert suggest(document) is None


@given(JSON)
def test_whatever_comes_it_reads_that_event(document: Any) -> None:
    assert len(pointers(document)) <= MOST
    reading = suggest(document)
    if reading is None:
        return
    assert read_back(written(reading)) == reading
    hooks = own_manifest(written(reading)).webhooks
    assert hooks is not None
    (event,) = split(hooks, msgspec.json.encode(document), "msg_1")
    assert event.identity == split(hooks, msgspec.json.encode([document]), "msg_1")[0].identity
    said = told(hooks, queued(), document)
    assert said is not None
    assert len(said.ids) == 1
    assert said.at is not None  # of its own, or when it came


@given(st.text(max_size=60) | st.just('{"key":"a b"}') | st.just('{"key":"a","gone":"b"}'))
def test_a_name_that_says_nothing_is_no_connector(version: str) -> None:
    connectors = Connectors([])
    try:
        manifest = connectors.get(f"custom@{version}")
    except NotFoundError:
        return
    assert not version
    assert manifest.streams == ()
    assert not manifest.asks


def test_only_the_chosen_types_count_and_a_flag_is_looked_for_in_each() -> None:
    reading = Reading(key="id", type="type", only=("a.*", "b"), gone="off", gone_when=("true", "1"))
    hooks = own_manifest(written(reading)).webhooks
    assert hooks is not None
    for document, means in (
        ({"id": 1, "type": "a.x"}, False),
        ({"id": 1, "type": "a.x", "off": True}, True),
        ({"id": 1, "type": "b", "off": 1}, True),
        ({"id": 1, "type": "b", "off": "no"}, False),
        ({"id": 1, "type": "bb"}, None),
        ({"id": 1, "type": ["a.x"]}, None),
        ({"id": 1}, None),
    ):
        said = told(hooks, queued(), document)
        assert (None if said is None else said.rule.deleted) == means, document
