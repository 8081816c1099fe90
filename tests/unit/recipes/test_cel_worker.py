"""The parts of the child that need no process."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.recipes import cel_worker
from trunkline.recipes.cel_worker import Check, default, frame, number, plain, read_frame, text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x" * 65_537, "65,537 characters"),
        ([0] * 501, "501 items"),
        ({str(i): i for i in range(501)}, "501 items"),
        (2**63, "beyond 64 bits"),
        (float("nan"), "finite"),
        ({1: 2}, "keys are not text"),
        (bytearray(b"x"), "bytes"),
        (timedelta(1), "a duration"),
        (object(), "not a plain value"),
    ],
)
def test_results_beyond_a_limit_stay_inside(value, words):
    with pytest.raises(ValueError, match=words):
        plain(value)


def test_the_depth_of_a_result_is_bounded():
    value = 1
    for _ in range(32):
        value = [value]
    assert plain(value) == value
    with pytest.raises(ValueError, match="deeper than 32"):
        plain([value])


def test_maps_are_sorted_and_times_are_text():
    result = plain({"b": datetime(2024, 5, 1, tzinfo=UTC), "a": {"d": 1, "c": 2}})
    assert list(result) == ["a", "b"]
    assert list(result["a"]) == ["c", "d"]
    assert result["b"] == "2024-05-01T00:00:00Z"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_whatever_leaves_is_json(value):
    try:
        result = plain(value)
    except ValueError:
        return
    problem = strictjson.problem(result)
    assert problem is None or "NUL" in problem


def test_the_functions_of_our_own():
    assert [text(value) for value in (None, True, 5, 5.0, 1.5, "x")] == ["", "true", "5", "5", "1.5", "x"]
    assert text(datetime(2024, 5, 1, tzinfo=UTC)) == "2024-05-01T00:00:00Z"
    assert [default(value, "d") for value in (None, "", 0, False, [], "x")] == ["d", "d", 0, False, [], "x"]
    assert [number(value) for value in (None, "", "1.5", " 2 ", 3)] == [None, None, 1.5, 2.0, 3.0]
    for odd in ("x", "1_000", "nan", "inf", "0x10", "1,5"):
        with pytest.raises(ValueError, match="not a number"):
            number(odd)


def test_frames_end_cleanly_where_the_input_does():
    whole = frame(Check("1"))
    stream = io.BytesIO(whole + whole)
    assert read_frame(stream) == read_frame(stream) == whole[4:]
    assert read_frame(stream) is None
    assert all(read_frame(io.BytesIO(whole[:cut])) is None for cut in range(len(whole)))


def test_the_worker_imports_nothing_of_the_platform():
    lines = Path(cel_worker.__file__).read_text().splitlines()
    imported = [line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))]
    assert "msgspec" in imported
    assert "trunkline" not in imported
