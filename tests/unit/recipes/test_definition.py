import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.recipes.definition import (
    Mapping,
    RecipeDefinition,
    SourceField,
    convert,
    decode,
    encode,
    validate,
)
from trunkline.recipes.errors import DefinitionError, InvalidDefinitionError
from trunkline.recipes.target import TargetField, TargetModel, built_in_models

CONTACT = built_in_models()["contact"]
FIELDS = tuple(SourceField(name, name) for name in ("id", "email", "firstname", "lastname", "lifecyclestage"))
STRICT = TargetModel("m", "Model", 1, (TargetField("key", "Key", "string", required=True),))


def recipe(*mappings, **changes):
    return RecipeDefinition("contacts", "contact", mappings or (Mapping("email", source="email"),), **changes)


def found(definition, model=CONTACT, fields=FIELDS):
    return {error.path: error.message for error in validate(definition, fields, model)}


def test_a_good_definition_has_no_errors():
    definition = recipe(
        Mapping("email", source="email"),
        Mapping("full_name", "expression", expression="record.firstname + ' ' + record['lastname']"),
        Mapping("country", "constant", constant="DE"),
        Mapping("is_customer", "constant", constant=True),
        Mapping("phone", "expression", expression="source.properties.anything", default="none"),
        filter="record.lifecyclestage == 'lead'",
    )
    assert found(definition) == {}


@pytest.mark.parametrize(
    ("definition", "path", "words"),
    [
        (recipe(Mapping("emial", source="email")), "mappings.0.target", 'Did you mean "email"?'),
        (recipe(Mapping("email", source="emial")), "mappings.0.source", 'Did you mean "email"?'),
        (recipe(Mapping("email", source="")), "mappings.0.source", "Choose a field"),
        (
            recipe(Mapping("email", source="id"), Mapping("email", source="id")),
            "mappings.1.target",
            "already mapped",
        ),
        (recipe(Mapping("email", "expression")), "mappings.0.expression", "Enter an expression"),
        (
            recipe(Mapping("email", "expression", expression="record.firstnam")),
            "mappings.0.expression",
            'no field "firstnam". Did you mean "firstname"?',
        ),
        (recipe(Mapping("email", "constant")), "mappings.0.constant", "Enter the value"),
        (recipe(Mapping("birth_date", "constant", constant="x")), "mappings.0.constant", "not a date"),
        (recipe(Mapping("is_customer", source="id", default="x")), "mappings.0.default", "true or false"),
        (recipe(filter=""), "filter", "Enter"),
        (recipe(filter="record.x == 1"), "filter", 'no field "x"'),
        (recipe(filter="x" * 5000), "filter", "4,096"),
        (RecipeDefinition("", "contact", (Mapping("email", source="id"),)), "stream", "Choose"),
        (RecipeDefinition("contacts", "deal", (Mapping("email", source="id"),)), "model", '"deal"'),
        (RecipeDefinition("contacts", "contact", ()), "mappings", "at least one"),
        (recipe(*[Mapping("email", source="id")] * 201), "mappings", "at most 200"),
    ],
)
def test_each_error_points_to_its_form_field(definition, path, words):
    errors = found(definition)
    assert path in errors, errors
    assert words in errors[path]


def test_a_required_field_must_be_mapped():
    definition = RecipeDefinition("contacts", "m", (Mapping("other", source="id"),))
    assert "Key is required" in found(definition, STRICT)["mappings"]


def test_unknown_fields_of_the_provider_are_taken_on_trust():
    assert found(recipe(Mapping("email", source="whatever"), filter="record.what == 1"), fields=()) == {}


SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
MAPPING = st.builds(
    Mapping, target=st.text(), kind=st.sampled_from(["field", "expression", "constant"]), source=st.text(),
    expression=st.text(), constant=SCALAR, default=SCALAR,
)  # fmt: skip
DEFINITION = st.builds(
    RecipeDefinition, stream=st.text(), model=st.text(), mappings=st.lists(MAPPING, max_size=4).map(tuple),
    filter=st.none() | st.text(),
)  # fmt: skip


@given(DEFINITION)
def test_any_definition_survives_json_and_validation_never_crashes(definition):
    assert convert(msgspec.json.decode(encode(definition))) == definition
    for error in validate(definition, FIELDS, CONTACT):
        assert isinstance(error, DefinitionError)
        assert error.message


@pytest.mark.parametrize(
    ("data", "path", "words"),
    [
        ('{"stream": "a", "model": "b"}', "mappings", "required"),
        ('{"stream": "a", "model": "b", "mappings": [{"target": 1}]}', "mappings.0.target", "Expected `str`"),
        (
            '{"stream": "a", "model": "b", "mappings": [{"target": "a", "kind": "sql"}]}',
            "mappings.0.kind",
            "sql",
        ),
        (
            '{"stream": "a", "model": "b", "mappings": [{"target": "a", "srouce": ""}]}',
            "mappings.0.srouce",
            "no field",
        ),
        ('{"stream": "a", "stream": "b"}', "stream", "twice"),
        ("{", "", "Not valid JSON"),
    ],
)
def test_json_that_is_no_definition_names_the_form_field(data, path, words):
    with pytest.raises(InvalidDefinitionError) as caught:
        decode(data)
    [error] = caught.value.errors
    assert error.path == path
    assert words in error.message
