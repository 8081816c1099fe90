from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.recipes.guards import Guard, GuardError
from trunkline.recipes.results import Program


def prepare(document, *expressions, chosen=None):
    return msgspec.msgpack.decode(Guard(Program(b"", expressions, chosen)).prepare(document))


def nested(depth, inner=1):
    for _ in range(depth):
        inner = [inner]
    return inner


def test_only_named_fields_are_sent_and_missing_ones_are_null():
    document = {"id": "1", "properties": {"email": "a", "note": "x" * 100_000}}
    assert prepare(document, "record.email", chosen="record.phone == null") == {
        "record": {"email": "a", "phone": None},
        "source": {},
    }


def test_the_whole_record_and_the_source_are_sent_when_they_are_used():
    document = {"id": "1", "properties": {"email": "a"}}
    assert prepare(document, "record.size() + record.phone.size()", "source.id") == {
        "record": {"id": "1", "email": "a", "phone": None},
        "source": document,
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\x00", "record.a contains a NUL"),
        ({"\x00": 1}, "a key of record.a contains a NUL"),
        (nested(32), "nested deeper than 32"),
        (list(range(501)), "record.a is a list of 501 items; expressions take at most 500"),
        ("é" * 8193, "record.a has 16,386 bytes; expressions take texts of at most 16 KB"),
        (2**63, "record.a is a whole number beyond 64 bits"),
        ([b"x"], r"record.a\[0\] is of type bytes"),
        ({1: 2}, "a key that is not text"),
        ([["x" * 16_000] * 70], "at most 1 MB"),
        ([[0] * 500] * 50, "more than 20,000 values"),
    ],
)
def test_each_limit_by_name(value, words):
    with pytest.raises(GuardError, match=words):
        prepare({"a": value}, "record.a")
    prepare({"a": value, "b": 1}, "record.b")


def test_what_is_just_within_the_limits_passes():
    for value in (nested(31), [0] * 500, "é" * 8192, 2**63 - 1, -(2**63)):
        assert prepare({"a": value}, "record.a")["record"]["a"] == value


def test_values_that_json_does_not_know_are_converted():
    document = {
        "d": Decimal("1.10"),
        "t": datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        "n": datetime(2024, 5, 1, 12),
        "u": (1, 2),
        "day": date(2024, 5, 1),
    }
    assert prepare(document, "record.d", "record.t", "record.n", "record.u", "record.day")["record"] == {
        "d": "1.10",
        "t": "2024-05-01T10:00:00Z",
        "n": "2024-05-01T12:00:00Z",
        "u": [1, 2],
        "day": "2024-05-01",
    }
    assert prepare({"t": datetime(2024, 5, 1, tzinfo=UTC)}, "record.t")["record"]["t"].endswith("Z")


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_key_that_cannot_be_told_is_refused_before_its_value():
    with pytest.raises(GuardError, match=r"a key of record\.a contains a NUL character"):
        prepare({"a": {"\x00": b""}}, "record.size()")


@given(ODD)
def test_any_value_is_sent_or_refused_with_words(value):
    try:
        sent = prepare({"a": value}, "record.size()", "source.size()")
    except GuardError as refused:
        sent = dict.fromkeys(("record", "source"), str(refused).replace("NUL", "nul"))
    assert set(sent) == {"record", "source"}
    assert "NUL" not in (strictjson.problem(sent) or "")


def test_a_very_deep_record_is_refused_not_followed():
    with pytest.raises(GuardError, match="deeper"):
        prepare({"a": nested(10_000)}, "record.a")
