import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.kernel.strictjson import JSONLimitError, canonical, decode, fingerprint

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
DOCUMENT = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(DOCUMENT)
def test_every_document_within_the_limits_comes_back_as_it_was(document):
    data = json.dumps(document)
    assert decode(data, unique_keys=True) == document
    assert strictjson.problem(document) is None


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_anything_else_is_refused_and_never_crashes(data):
    try:
        value = decode(data, unique_keys=True)
    except JSONLimitError:
        return
    assert strictjson.problem(value) is None


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_64_is_the_last_that_passes(opening, closing):
    assert decode(opening * 64 + "1" + closing * 64) is not None
    for depth in (65, 900, 2_000, 200_000):
        with pytest.raises(JSONLimitError, match="deeper than 64"):
            decode(opening * depth + "1" + closing * depth)


def test_many_containers_side_by_side_are_not_deep():
    assert len(decode("[" + ",".join(["{}"] * 500) + "]")) == 500


def test_duplicate_keys_are_refused_only_where_asked():
    data = b'{"a": {"b": 1, "b": 2}}'
    assert decode(data) == {"a": {"b": 2}}
    with pytest.raises(JSONLimitError, match='"b" appears twice'):
        decode(data, unique_keys=True)
    with pytest.raises(JSONLimitError, match="twice"):
        decode(b'{"a":1, "\\u0061":2}', unique_keys=True)


def test_nul_is_refused_with_its_path_or_replaced():
    data = rb'{"a": [{"b": "x\u0000y"}], "k\u0000": 1}'
    with pytest.raises(JSONLimitError, match=r"a\.0\.b contains a NUL"):
        decode(data)
    assert decode(data, nul="replace") == {"a": [{"b": "x␀y"}], "k␀": 1}
    assert decode(rb'"\\u0000"') == r"\u0000", "an escaped backslash is no NUL"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**30])
def test_integers_beyond_64_bits(number):
    with pytest.raises(JSONLimitError, match="beyond 64 bits"):
        decode(f'{{"n": {number}}}')
    assert decode(f'{{"n": {number}}}', long_integers="text") == {"n": str(number)}


@pytest.mark.parametrize("before", range(8))
def test_integers_beyond_64_bits_are_found_wherever_they_stand(before):
    data = b" " * before + b"[%d]" % 2**63
    with pytest.raises(JSONLimitError, match="beyond 64 bits"):
        decode(data)


def test_the_ends_of_int64_pass():
    assert decode(f"[{2**63 - 1}, {-(2**63)}]") == [2**63 - 1, -(2**63)]


@pytest.mark.parametrize("data", ["NaN", "Infinity", "1e400", '"\\ud800"', "{", "", b"\xff", "[1,]"])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(JSONLimitError):
        decode(data)


def test_a_lone_surrogate_in_a_python_string_is_refused():
    with pytest.raises(JSONLimitError):
        decode('"\ud800"')


@given(st.dictionaries(TEXT, DOCUMENT, max_size=8))
def test_the_order_of_keys_changes_neither_bytes_nor_fingerprint(document):
    turned = dict(reversed(document.items()))
    assert canonical(document) == canonical(turned)
    assert fingerprint(document) == fingerprint(turned)
    assert len(fingerprint(document)) == 16
    assert msgspec.json.decode(canonical(document)) == document


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1}, {"a": "1"}), ({"a": None}, {}), ([1, 2], [2, 1]), (1, True)]
)
def test_different_values_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": b"x"}, "a is of type bytes"),
        ({1: 2}, "key that is not text"),
        ([float("inf")], "not a finite"),
        ([2**70], "beyond 64 bits"),
        ("\x00", "NUL"),
    ],
)
def test_problem_names_what_is_not_json(value, words):
    assert words in strictjson.problem(value)


def test_problem_answers_for_any_depth():
    value = []
    for _ in range(100_000):
        value = [value]
    assert "deeper" in strictjson.problem(value)
    while value:  # taken apart by hand, as freeing it in one go recurses
        value = value[0]


JSON_VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ab0') | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[]{}"\\'), inner),
    max_leaves=60,
)


@given(JSON_VALUES)
def test_what_is_outside_strings_has_the_brackets_of_the_structure_only(value):
    def brackets(item):
        if isinstance(item, dict):
            return 2 + sum(map(brackets, item.values()))
        return 2 + sum(map(brackets, item)) if isinstance(item, list) else 0

    outside = strictjson._outside_strings(json.dumps(value).encode())
    assert sum(outside.count(one) for one in (b"[", b"]", b"{", b"}")) == brackets(value)


@given(JSON_VALUES, st.booleans())
def test_the_brackets_of_the_structure_are_found_in_their_order(value, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    bare = json.dumps(_without_text(value))
    assert strictjson._brackets(raw).decode() == "".join(one for one in bare if one in "[]{}")


def _without_text(value):
    if isinstance(value, dict):
        return {str(number): _without_text(one) for number, one in enumerate(value.values())}
    return [_without_text(one) for one in value] if isinstance(value, list) else 0


@pytest.mark.parametrize("depth", [1, 31, 32, 33, 63, 64, 65, 66, 200])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"[\\"]{":', "}]")])
def test_depth_is_told_to_the_level(depth: int, opening: str, closing: str) -> None:
    levels = depth // 2 if opening.startswith("[{") else depth
    text = opening * levels + "0" + closing * levels
    deep = levels * (2 if opening.startswith("[{") else 1) > strictjson.MAX_DEPTH
    if deep:
        with pytest.raises(strictjson.JSONLimitError, match="nested deeper"):
            strictjson.decode(text)
    else:
        assert strictjson.decode(text) == json.loads(text)


def test_junk_brackets_in_strings_hide_no_depth() -> None:
    text = '["]",' * 100 + "0" + ',"["]' * 100
    with pytest.raises(strictjson.JSONLimitError, match="nested deeper"):
        strictjson.decode(text)
