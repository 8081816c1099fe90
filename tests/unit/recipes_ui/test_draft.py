"""The wizard's form: what it carries comes back, and what is not its own is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.kernel.errors import BadInputError
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.errors import DefinitionError
from trunkline.recipes.target import TargetField, built_in_models
from trunkline_ui.recipes.draft import (
    MAX_CONTROLS,
    Draft,
    control_of,
    literal,
    of_definition,
    of_form,
    written,
)

MODELS = built_in_models()
# What a form can hold: no NUL, and browsers send every line end as CR LF.
TEXT = st.text(
    st.characters(exclude_characters="\x00\r", exclude_categories=("Cs",)), min_size=1, max_size=60
)
CODE = TEXT.map(str.strip).filter(bool)


def constants(field: TargetField) -> st.SearchStrategy[Any]:
    if field.type == "boolean":
        return st.booleans()
    if field.type == "integer":
        return st.integers(-(10**17), 10**17)
    if field.type == "number":
        return st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
    return TEXT


@st.composite
def definitions(draw: st.DrawFn) -> RecipeDefinition:
    model = MODELS[draw(st.sampled_from(sorted(MODELS)))]
    mappings = []
    for field in model.fields:
        kind = draw(st.sampled_from(["none", "field", "expression", "constant"]))
        default = draw(st.none() | constants(field))
        if kind == "field":
            mappings.append(Mapping(field.name, "field", source=draw(CODE), default=default))
        elif kind == "expression":
            mappings.append(Mapping(field.name, "expression", expression=draw(CODE), default=default))
        elif kind == "constant":
            mappings.append(Mapping(field.name, "constant", constant=draw(constants(field)), default=default))
    return RecipeDefinition("contacts", model.name, tuple(mappings), draw(st.none() | CODE))


@settings(max_examples=40, deadline=None)
@given(
    definitions(),
    CODE.map(lambda name: " ".join(name.split())).filter(bool),
    st.sampled_from([60, 300, 3600]),
)
def test_a_definition_survives_the_form(definition: RecipeDefinition, name: str, schedule: int) -> None:
    draft = of_definition(definition, name=name, schedule=schedule, based_on=7)
    back = of_form(draft.pairs())
    assert back.definition(MODELS[definition.model]) == definition
    assert (back.name, back.schedule, back.based_on) == (name, schedule, 7)
    assert of_form(back.pairs()) == back


@settings(max_examples=40, deadline=None)
@given(definitions())
def test_each_step_carries_what_the_others_show(definition: RecipeDefinition) -> None:
    draft = of_definition(definition, name="n", schedule=60)
    for step in ("source", "mapping", "filter", "review"):
        hidden = draft.hidden(step)
        shown = [pair for pair in draft.pairs() if pair not in hidden]
        assert of_form([*shown, *hidden]).definition(MODELS[definition.model]) == definition


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=50) | st.binary(max_size=5)), max_size=40))
def test_any_form_is_read_or_refused_with_a_sentence(items: list[tuple[str, Any]]) -> None:
    try:
        draft = of_form(items)
    except BadInputError:
        return
    assert of_form(draft.pairs()) == draft


@pytest.mark.parametrize(
    "items",
    [
        [(f"x{n}", "") for n in range(MAX_CONTROLS + 1)],
        [("name", "a\x00b")],
        [("n\x00", "a")],
        [("filter", "x" * 9000)],
        [("m.email.kind", "sql")],
        [("m.email.colour", "red")],
        [("m.Email.kind", "field")],
        [("c.10.field", "x")],
        [("schedule", "٣")],
        [("schedule", "1e3")],
        [("name", object())],
    ],
)
def test_what_no_form_of_ours_sends(items: list[tuple[str, Any]]) -> None:
    with pytest.raises(BadInputError):
        of_form(items)


def test_the_last_value_of_a_name_counts_and_lines_end_in_one_character() -> None:
    draft = of_form([("filter", "a"), ("filter", "b\r\nc")])
    assert draft.filter == "b\nc"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", True),
        ("boolean", "perhaps", "perhaps"),
        ("integer", "42", 42),
        ("integer", "4.5", "4.5"),
        ("integer", "007", "007"),
        ("number", "4.5", 4.5),
        ("number", "nan", "nan"),
        ("number", "1_000", "1_000"),
        ("string", "42", "42"),
        ("string", "", None),
    ],
)
def test_constants_have_the_field_s_type_where_they_can(kind: Any, text: str, value: Any) -> None:
    found = literal(TargetField("a", "A", kind), text)
    assert found == value
    assert type(found) is type(value)
    assert value is None or written(found) == text


def test_errors_lead_to_the_control() -> None:
    model = MODELS["contact"]
    draft = of_form(
        [("m.email.kind", "field"), ("m.phone.kind", "expression"), ("model", "contact"), ("stream", "s")]
    )
    definition = draft.definition(model)

    def control(path: str) -> tuple[str, str]:
        return control_of(DefinitionError(path, ""), definition, model)

    assert control("mappings.0.source") == ("m-email-source", "mapping")
    assert control("mappings.1.expression") == ("m-phone-expression", "mapping")
    assert control("mappings.1.target") == ("m-phone-kind", "mapping")
    assert control("filter") == ("filter", "filter")
    assert control("conditions.2.value") == ("c-2-value", "filter")
    assert control("name") == ("name", "filter")
    required = msgspec.structs.replace(
        model, fields=tuple(msgspec.structs.replace(f, required=f.name == "city") for f in model.fields)
    )
    missing = DefinitionError("mappings", "City is required; map something to it.")
    assert control_of(missing, definition, required) == ("m-city-kind", "mapping")


def test_empty_conditions_rows_are_dropped() -> None:
    draft = of_form([("c.0.operator", "is"), ("c.1.field", "a"), ("c.1.operator", "filled")])
    assert [one.field for one in draft.conditions] == ["a"]
    assert Draft().problems() == []
