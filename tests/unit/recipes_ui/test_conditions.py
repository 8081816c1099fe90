"""Conditions and their CEL: each is read back as what it was, and values stay values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.recipes.expression import references
from trunkline_ui.recipes.conditions import OPERATORS, Condition, from_cel, problems, quoted, to_cel, words

FIELDS = st.sampled_from(["email", "hs_lead_status", "a name", 'qu"ote', "in", "naïve", "_x"])
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(sorted(OPERATORS)))
    kind = OPERATORS[name].kind
    value = {
        "none": st.just(""),
        "text": TEXTS,
        "number": st.integers(-(10**9), 10**9).map(str) | st.sampled_from(["1.5", "-0.25"]),
        "date": st.dates().map(lambda day: day.isoformat()),
    }[kind]
    return Condition(draw(FIELDS), name, draw(value))


@given(st.lists(conditions(), min_size=1, max_size=5))
def test_round_trip(given_conditions: list[Condition]) -> None:
    assert problems(given_conditions) == []
    text = to_cel(given_conditions)
    assert from_cel(text) == tuple(given_conditions)


@given(st.lists(conditions(), min_size=1, max_size=5))
def test_exactly_the_chosen_fields_are_read(given_conditions: list[Condition]) -> None:
    """No value can name a field of its own, whatever quotes it holds."""
    plain = [one for one in given_conditions if one.field not in {'qu"ote', "naïve"}]
    if plain:
        found = references(to_cel(plain))
        assert found.record == {one.field for one in plain}
        assert not found.source


@given(TEXTS)
def test_a_quoted_text_has_no_bare_quote(text: str) -> None:
    inside = quoted(text)[1:-1].replace("\\\\", "")
    assert '"' not in inside.replace('\\"', "")
    assert "\n" not in inside


@given(st.text(max_size=80))
def test_other_expressions_stay_expressions(text: str) -> None:
    found = from_cel(text)
    assert found is None or to_cel(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        '(text(record.a) == "b")x',
        '(text(record.a) == "b") || (text(record.b) == "c")',
        '(record.a != null && record.b != "" && number(record.a) > 1.0)',
        " && ".join(['(text(record.a) != "")'] * 6),
    ],
)
def test_near_misses_are_no_conditions(text: str) -> None:
    assert from_cel(text) is None


def test_problems_name_their_control() -> None:
    wrong = [
        Condition("", "is", "x"),
        Condition("a", "nonsense", "x"),
        Condition("a", "is", ""),
        Condition("a", "above", "many"),
        Condition("a", "after", "2026-02-30"),
        Condition("a", "contains", "x" * 301),
        Condition("a", "empty"),
    ]
    assert [error.path for error in problems(wrong)] == [
        "conditions.0.field",
        "conditions.1.operator",
        "conditions.2.value",
        "conditions.3.value",
        "conditions.4.value",
        "conditions.5.value",
    ]


def test_in_words() -> None:
    assert words(Condition("a", "above", "5"), "Amount") == "Amount is greater than 5"
    assert words(Condition("a", "is", "x"), "Name") == "Name is “x”"
    assert words(Condition("a", "empty"), "Name") == "Name is empty"
