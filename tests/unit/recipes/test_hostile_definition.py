"""Whatever is sent as a mapping or a model: it is read, or every error names a field. Nothing else is raised."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.recipes import definition, target
from trunkline.recipes.errors import InvalidDefinitionError

GOOD: dict[str, Any] = {
    "stream": "contacts",
    "model": "contact",
    "mappings": [
        {"target": "email", "source": "email"},
        {"target": "name", "kind": "expression", "expression": "1"},
    ],
}
MODEL = target.built_in_models()["contact"]
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["\x00", "\ud800", "record." * 500, "(" * 500, "x" * 5000, 10**400])
)
JSON = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["stream", "model", "mappings", "filter", "target", "kind", "source", "expression", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def judge(raw: bytes) -> None:
    try:
        found = definition.decode(raw)
    except InvalidDefinitionError as error:
        messages = [one.message for one in error.errors]
    else:
        messages = ["read"]
        assert all(one.path and one.message for one in definition.validate(found, [], MODEL))
    assert all(messages)


@given(JSON | st.fixed_dictionaries({name: st.just(value) | JSON for name, value in GOOD.items()}))
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_or_named_as_wrong(raw: Any) -> None:
    judge(json.dumps(raw).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_named_as_wrong(raw: bytes) -> None:
    judge(raw)


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("target", "kind", "source", "expression", "constant", "default"), SCALAR)
    )
)
@settings(max_examples=150, deadline=None)
def test_any_mapping_names_its_place(mapping: dict[str, Any]) -> None:
    judge(json.dumps(GOOD | {"mappings": [mapping]}).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"stream": 1, "model": "contact", "mappings": []}', "stream"),
        ('{"stream": "a", "model": "contact", "mappings": [{"target": 1}]}', "mappings.0.target"),
        ('{"stream": "a", "model": "contact", "mappings": [{}]}', "mappings.0.target"),
        (
            '{"stream": "a", "model": "contact", "mappings": [{"target": "a", "kind": "sql"}]}',
            "mappings.0.kind",
        ),
        ('{"stream": "a", "model": "contact", "mappings": [], "admin": 1}', "admin"),
        ('{"stream": "a", "stream": "b", "model": "contact", "mappings": []}', "stream"),
        ('{"stream": "\\u0000"}', "stream"),
        ("[" * 5000, ""),
        ("", ""),
    ],
)
def test_the_field_is_named(text: str, path: str) -> None:
    with pytest.raises(InvalidDefinitionError) as caught:
        definition.decode(text)
    assert [one.path for one in caught.value.errors] == [path]


@given(JSON)
@settings(max_examples=150, deadline=None)
def test_any_model_is_read_or_named_as_wrong(raw: Any) -> None:
    messages = ["read"]
    try:
        target.declare_model(raw)
    except InvalidDefinitionError as error:
        messages = [one.message for one in error.errors]
    assert all(messages)
