import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.recipes.messages import compile_error, runtime_error


@given(st.text(), st.text())
def test_any_message_of_the_library_becomes_some_message(expression, raw):
    message, position = compile_error(expression, raw)
    assert isinstance(message, str)
    assert position is None or 0 <= position <= len(expression)
    runtime_error(raw)


@pytest.mark.parametrize(
    ("expression", "raw", "message", "position"),
    [
        (
            "1 +",
            "INVALID_ARGUMENT: ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'['}",
            "ends too early",
            3,
        ),
        (
            "text(1",
            "INVALID_ARGUMENT: ERROR: <input>:1:7: Syntax error: missing ')' at '<EOF>'",
            'A ")" is missing at the end.',
            6,
        ),
        (
            "(1 + 2 ? 3 : 4",
            "ERROR: <input>:1:8: Syntax error: missing ')' at '?'",
            'A ")" is missing before "?".',
            7,
        ),
        ("1 +\n foo", "ERROR: <input>:2:2: undeclared reference to 'foo' (in container '')", "record.foo", 5),
        (
            "trm(1)",
            "ERROR: <input>:1:4: undeclared reference to 'trm' (in container '')",
            'no function "trm"',
            3,
        ),
        (
            "x",
            "CANCELLED: Expression recursion limit exceeded. limit: 32 [CANCELLED]",
            "nested too deeply",
            None,
        ),
        ("x", "something new [INTERNAL]", "something new", None),
    ],
)
def test_compile_errors(expression, raw, message, position):
    words, place = compile_error(expression, raw)
    assert message in words
    assert place == position
    assert "INVALID_ARGUMENT" not in words
    assert "container" not in words


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            "UNKNOWN: No matching overloads found : (null_type).lowerAscii()",
            "lowerAscii() does not work on an empty value (null). Use default",
        ),
        (
            "UNKNOWN: No matching overloads found : _+_(string, int64)",
            "+ does not work on text and a whole number. Use number",
        ),
        ("filter: INVALID_ARGUMENT: divide by zero", "filter: it divides by zero"),
        ('NOT_FOUND: Key not found in map : "x"', 'there is no "x" in this record'),
        ("INTERNAL: Iteration budget exceeded [INTERNAL]", "too many list items"),
    ],
)
def test_runtime_errors(raw, message):
    assert message in runtime_error(raw)
