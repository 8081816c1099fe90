from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.recipes.coerce import coerce
from trunkline.recipes.target import EnumValue, TargetField

TYPES = ("string", "text", "integer", "number", "boolean", "datetime", "date", "enum", "json")
STATES = (EnumValue("open", "Open"), EnumValue("closed", "Done & dusted"))


def make(kind):
    return TargetField("f", "F", kind, enum_values=STATES if kind == "enum" else ())


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.from_regex(r"[-+0-9.eE:TZ ]{1,30}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(TYPES), ANY)
def test_any_value_gives_json_or_a_reason_and_the_stored_form_is_stable(kind, value):
    stored, problem = coerce(make(kind), value)
    assert problem is None or stored is None
    if problem is None and stored is not None:
        assert strictjson.problem(stored) is None
        assert coerce(make(kind), stored) == (stored, None)
    if problem is not None:
        assert len(problem) < 300
        assert "\x00" not in problem


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("empty", [None, ""])
def test_null_and_empty_text_are_no_value_in_every_type(kind, empty):
    assert coerce(make(kind), empty) == (None, None)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("string", "Zoë\n", "Zoë\n"),
        ("string", 5, "5"),
        ("string", 5.0, "5"),
        ("string", True, "true"),
        ("integer", "42", 42),
        ("integer", " -7 ", -7),
        ("integer", "42.00", 42),
        ("integer", 3.0, 3),
        ("integer", "١٢", 12),
        ("integer", str(2**63 - 1), 2**63 - 1),
        ("number", "1234.50", 1234.5),
        ("number", "5", 5),
        ("number", "5.0", 5),
        ("number", ".5", 0.5),
        ("number", "1e3", 1000),
        ("number", "0.1", 0.1),
        ("number", 10**20, 1e20),
        ("number", "98765432101234567", 98765432101234567),
        ("boolean", "true", True),
        ("boolean", "FALSE", False),
        ("boolean", 0, False),
        ("boolean", "Yes", True),
        ("datetime", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("datetime", "2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00.123000Z"),
        ("datetime", "2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"),
        ("datetime", "2024-05-01T10:00:00", "2024-05-01T10:00:00Z"),
        ("datetime", "2024-05-01", "2024-05-01T00:00:00Z"),
        ("datetime", "1714557600000", "2024-05-01T10:00:00Z"),
        ("datetime", 1714557600000, "2024-05-01T10:00:00Z"),
        ("datetime", 1714557600, "2024-05-01T10:00:00Z"),
        ("datetime", "1714557600123", "2024-05-01T10:00:00.123000Z"),
        ("date", "2024-05-01", "2024-05-01"),
        ("date", "2024-05-01T23:30:00-02:00", "2024-05-02"),
        ("date", "1714521600000", "2024-05-01"),
        ("enum", "open", "open"),
        ("enum", "OPEN", "open"),
        ("enum", "Done & Dusted", "closed"),
        ("json", {"a": [1]}, {"a": [1]}),
        ("json", "x", "x"),
    ],
)
def test_what_providers_send(kind, value, stored):
    found, problem = coerce(make(kind), value)
    assert problem is None
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("string", {"a": 1}, "an object is not text"),
        ("string", [1], "a list is not text"),
        ("string", "a\x00b", "NUL"),
        ("string", "x" * 1025, "1,025 characters; string holds at most 1,024"),
        ("text", "x" * 65_537, "at most 65,536"),
        ("integer", "1.5", "'1.5' is not a whole number"),
        ("integer", True, "true is not a whole number"),
        ("integer", "9" * 19, "within the range"),
        ("integer", 2**63, "within the range"),
        ("number", "abc", "'abc' is not a number"),
        ("number", "1,234.50", "'1,234.50' is not a number"),
        ("number", "1e999", "can be stored"),
        ("number", "nan", "is not a number"),
        ("number", "9" * 5000, "is not a number"),
        ("number", float("inf"), "can be stored"),
        ("boolean", "maybe", "'maybe' is not true or false"),
        ("boolean", 2, "2 is not true or false"),
        ("datetime", "tomorrow", "'tomorrow' is not a date and time"),
        ("datetime", "2024-02-30T00:00:00Z", "is not a date and time"),
        ("datetime", "2024-W01-1", "is not a date and time"),
        ("datetime", 10**15, "is not a date and time"),
        ("date", "01/05/2024", "is not a date (2024-05-01)"),
        ("enum", "opne", 'none of open, closed. Did you mean "open"?'),
        ("enum", ["open"], "a list is not one of the values"),
        ("json", {"a": "\x00"}, "NUL"),
    ],
)
def test_what_does_not_fit_says_so_in_words(kind, value, words):
    found, problem = coerce(make(kind), value)
    assert found is None
    assert words in problem


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_text_and_epoch_of_one_moment_are_stored_alike(moment):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    epoch = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    written = coerce(make("datetime"), moment.isoformat())
    assert written[1] is None
    assert coerce(make("datetime"), epoch) == coerce(make("datetime"), str(epoch)) == written
    assert date.fromisoformat(coerce(make("date"), epoch)[0]) == moment.date()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_value_through_text(value):
    stored, problem = coerce(make("number"), repr(value))
    assert problem is None
    assert stored == value
    assert msgspec.json.decode(msgspec.json.encode(stored)) == value
