"""Contracts of events: what fits has no deviation, what deviates is named, and nobody's file or payload hurts."""

import json
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trunkline.sdk.contracts import (
    DIALECT,
    LIMIT,
    LOOKED_AT,
    MOST,
    Contract,
    ContractError,
    Deviation,
    decoded,
    problems,
    read_contract,
)

NAMES = st.sampled_from(["id", "objectId", "data", "items", "status", "meta", "version", "at"])
FEW = settings(max_examples=60, deadline=None)
PERSONAL = "ada.lovelace@example.com"
VALUES = {
    "string": st.one_of(st.text(max_size=5), st.just(PERSONAL)),
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda one: one % 1 != 0),
    "boolean": st.booleans(),
    "null": st.none(),
}
leaves = st.one_of(
    st.sampled_from(sorted(VALUES)).map(lambda kind: {"type": kind}),
    st.lists(st.sampled_from(["open", "closed", "2.0", "2022-06-20"]), min_size=1, unique=True).map(
        lambda values: {"enum": values}
    ),
    st.sampled_from(["event", "v1"]).map(lambda value: {"const": value}),
)


@st.composite
def objects(draw: Any, inner: Any) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, min_size=1, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    return {"type": "object", "properties": properties, "required": required}


schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(objects(inner), inner.map(lambda item: {"type": "array", "items": item})),
    max_leaves=6,
)
events = objects(schemas)


def fitting(draw: Any, schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "const" in schema:
        return schema["const"]
    if schema["type"] == "array":
        return [fitting(draw, schema["items"]) for _ in range(draw(st.integers(0, 3)))]
    if schema["type"] != "object":
        return draw(VALUES[schema["type"]])
    made = {
        name: fitting(draw, one)
        for name, one in schema["properties"].items()
        if name in schema["required"] or draw(st.booleans())
    }
    # whatever else a provider says is its own business
    return made | draw(st.dictionaries(st.text("xyz", min_size=3, max_size=4), st.just(PERSONAL), max_size=2))


@st.composite
def cases(draw: Any) -> tuple[dict[str, Any], Any]:
    schema = draw(events)
    return schema, fitting(draw, schema)


def contract(schema: dict[str, Any], **definitions: Any) -> Contract:
    return Contract({"$schema": DIALECT, "$defs": definitions, "events": {"a.*": schema}})


def places(schema: dict[str, Any], value: Any, path: str = "") -> list[tuple[str, dict[str, Any], Any, Any]]:
    """(path, schema, holder, key) of everything below that the contract speaks of."""
    found = []
    if isinstance(value, dict):
        for name in schema.get("properties", {}):
            if name in value:
                inner, at = schema["properties"][name], f"{path}.{name}".removeprefix(".")
                found += [(at, inner, value, name), *places(inner, value[name], at)]
    elif isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            at = f"{path}[]"
            found += [(at, schema["items"], value, number), *places(schema["items"], one, at)]
    return found


@FEW
@given(cases())
def test_whatever_fits_has_no_deviation(case: tuple[dict[str, Any], Any]) -> None:
    schema, payload = case
    assert jsonschema_rs.is_valid(schema, payload), "the case itself"
    assert contract(schema).deviations("a.b", payload) == []


@FEW
@given(cases(), st.data())
def test_a_field_that_is_gone_is_named(case: tuple[dict[str, Any], Any], data: st.DataObject) -> None:
    schema, payload = case
    top = [("", schema, {"": payload}, ""), *places(schema, payload)]
    owed = [(at, holder[key], name) for at, one, holder, key in top for name in one.get("required", ())]
    assume(owed)
    at, holder, name = data.draw(st.sampled_from(owed))
    del holder[name]
    found = contract(schema).deviations("a.b", payload)
    assert found is not None
    assert [(one.field, one.change) for one in found] == [(f"{at}.{name}".removeprefix("."), "gone")]
    assert found[0].words == f"{found[0].field} is gone"


@FEW
@given(cases(), st.data())
def test_another_type_is_named_with_both(case: tuple[dict[str, Any], Any], data: st.DataObject) -> None:
    schema, payload = case
    typed = [one for one in places(schema, payload) if "type" in one[1]]
    assume(typed)
    at, inner, holder, key = data.draw(st.sampled_from(typed))
    wrong = [] if inner["type"] != "array" else {}
    holder[key] = wrong
    found = contract(schema).deviations("a.b", payload)
    assert found is not None
    assert [(one.field, one.change) for one in found] == [(at, "retyped")]
    assert found[0].found == ("a list" if wrong == [] else "an object")
    assert found[0].words.startswith(f"{at} is {found[0].found} now, no longer ")


@FEW
@given(cases(), st.data())
def test_a_new_value_is_named(case: tuple[dict[str, Any], Any], data: st.DataObject) -> None:
    schema, payload = case
    closed = [one for one in places(schema, payload) if "enum" in one[1] or "const" in one[1]]
    assume(closed)
    at, inner, holder, key = data.draw(st.sampled_from(closed))
    holder[key] = data.draw(st.sampled_from(["3.0", "archived", PERSONAL, "Ada", "0049 30 1234", 4930123456]))
    found = contract(schema).deviations("a.b", payload)
    assert found is not None
    assert [(one.field, one.change) for one in found] == [(at, "new_value")]
    plain = holder[key] in {"3.0", "archived"}
    assert found[0].found == (holder[key] if plain else "")
    assert all(str(value) in found[0].words for value in inner.get("enum", [inner.get("const")]))


@FEW
@given(
    cases(),
    st.recursive(
        st.sampled_from([PERSONAL, 7, None]),
        lambda one: st.lists(one) | st.dictionaries(st.sampled_from([PERSONAL, "id", "status"]), one),
        max_leaves=8,
    ),
)
def test_nothing_of_a_person_is_in_the_words(case: tuple[dict[str, Any], Any], said: Any) -> None:
    schema, _ = case
    found = contract(schema).deviations("a.b", said)
    assert found is not None
    assert (found == []) is jsonschema_rs.is_valid(schema, said)
    assert all(PERSONAL not in one.words for one in found)


ENVELOPE = {
    "type": "object",
    "required": ["objectId", "meta"],
    "properties": {
        "objectId": {"type": ["integer", "string"]},
        "meta": {"$ref": "#/$defs/meta"},
        "ids": {"type": "array", "items": {"type": "integer"}},
    },
}
META = {"type": "object", "required": ["version"], "properties": {"version": {"enum": ["1.0", "2.0"]}}}


def test_the_words_are_for_people() -> None:
    given = contract(ENVELOPE, meta=META)
    payload = {"object_id": 5, "meta": {"version": "3.0"}, "ids": ["7", 8], "email": PERSONAL}
    found = given.deviations("a.b", payload)
    assert found is not None
    assert [one.words for one in found] == [
        "objectId is gone; there is object_id instead",
        "meta.version has the new value 3.0; we know 1.0, 2.0",
        "ids[] is a text now, no longer a whole number",
    ]
    assert given.deviations("b.c", payload) is None, "the contract says nothing of it"
    (other,) = given.deviations("a.b", [payload]) or ()
    assert other == Deviation(field="The event", change="retyped", expected="an object", found="a list")


def test_the_first_entry_that_fits_counts() -> None:
    made = Contract(
        {"$schema": DIALECT, "events": {"a.b": {}, "a.*": {"type": "object"}, "*": {"type": "string"}}}
    )
    assert [made.entry(one) for one in ("a.b", "a.bc", "a.*", "c")] == ["a.b", "a.*", "a.*", "*"]


def test_a_large_payload_that_deviates_everywhere_is_looked_at_in_part() -> None:
    many = {f"field{number}": {"type": "string"} for number in range(500)}
    made = contract(
        {
            "type": "object",
            "required": sorted(many),
            "properties": many | {"ids": ENVELOPE["properties"]["ids"]},
        }
    )
    payload = {"ids": ["x"] * 100_000, "rest": [{"deep": PERSONAL}] * 50_000}
    found = made.deviations("a.b", payload)
    assert found is not None
    assert len(found) == MOST
    seen = made._seen(made.schema("a.*"), payload)
    assert set(seen) == {"ids"}
    assert len(seen["ids"]) == LOOKED_AT


def test_a_contract_may_speak_of_itself() -> None:
    tree = {"type": "object", "properties": {"of": {"$ref": "#/$defs/tree"}, "id": {"type": "integer"}}}
    made = contract({"$ref": "#/$defs/tree"}, tree=tree)
    payload: dict[str, Any] = {"id": "x"}
    for _ in range(60):
        payload = {"of": payload}
    (found,) = made.deviations("a.b", payload) or ()
    assert found.change == "retyped"
    assert len(found.words) <= 200


GOOD = {"$schema": DIALECT, "description": "x", "$defs": {"meta": META}, "events": {"a.*": ENVELOPE}}


@pytest.mark.parametrize(
    ("change", "at", "words"),
    [
        ({"$schema": "draft-07"}, ("$schema",), "which JSON Schema"),
        ({"more": 1}, ("more",), "no place"),
        ({"events": {}}, ("events",), "no event"),
        ({"events": {"a.*.b": {}}}, ("events", "a.*.b"), "no type of events"),
        ({"events": {"a": {"pattern": "(a+)+$"}}}, ("events", "a", "pattern"), "not taken"),
        ({"events": {"a": {"allOf": [{}, {}]}}}, ("events", "a", "allOf"), "not taken"),
        ({"events": {"a": {"$dynamicRef": "#x"}}}, ("events", "a", "$dynamicRef"), "not taken"),
        (
            {"events": {"a": {"$ref": "https://evil.example/x"}}},
            ("events", "a", "$ref"),
            "nothing in this file",
        ),
        ({"events": {"a": {"$ref": "#"}}}, ("events", "a", "$ref"), "nothing in this file"),
        (
            {"$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}},
            ("$defs", "x", "$ref"),
            "itself",
        ),
        ({"events": {"a": {"$ref": "#/$defs/meta", "type": "object"}}}, ("events", "a", "type"), "beside"),
        ({"events": {"a": {"type": "int"}}}, ("events", "a", "type"), "no type"),
        ({"events": {"a": {"type": []}}}, ("events", "a", "type"), "no type"),
        ({"events": {"a": {"required": ["b"]}}}, ("events", "a", "required"), "not described"),
        ({"events": {"a": {"enum": []}}}, ("events", "a", "enum"), "list of"),
        ({"events": {"a": {"enum": [{"x": 1}]}}}, ("events", "a", "enum"), "list of"),
        ({"events": {"a": {"const": []}}}, ("events", "a", "const"), "text or a number"),
        ({"events": {"a": {"items": 1}}}, ("events", "a", "items"), "object"),
        ({"$defs": []}, ("$defs",), "object"),
    ],
)
def test_what_it_may_not_say_is_refused_with_its_place(change: Any, at: tuple[str, ...], words: str) -> None:
    assert list(problems(GOOD)) == []
    with pytest.raises(ContractError, match=words) as refused:
        read_contract(json.dumps(GOOD | change).encode())
    assert refused.value.at == at


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": 1, "a": 2}',
        b'{"a":' * 5000,
        b"\xff",
        b'{"a": NaN}',
        b'{"a": "' + b"x" * LIMIT + b'"}',
    ],
)
def test_a_file_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(ContractError):
        decoded(raw)


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=6), st.sampled_from(["object", "#/$defs/a"])
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "enum", "const", "$ref", "a", "$defs", "events"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@FEW
@given(
    st.dictionaries(st.sampled_from(["$schema", "$defs", "events", "description"]), json_values), json_values
)
def test_whatever_a_partner_writes_is_used_or_refused(document: dict[str, Any], payload: Any) -> None:
    document = {**deepcopy(document), "$schema": DIALECT}
    try:
        made = Contract(document)
    except ContractError:
        assert list(problems(document))
        return
    for entry in made.events:
        found = made.deviations(entry.removesuffix("*"), payload)
        assert found is None or len(found) <= MOST
