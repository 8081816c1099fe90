from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import Failed, Mapped
from trunkline.runs.drift import (
    Drift,
    KnownField,
    accepted,
    caution,
    compare,
    evidence,
    filters_on,
    parts,
)
from trunkline.runs.planning import Outcome, keeping

T = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NAMES = st.sampled_from(["a", "b", "c", "d"])
FIELDS = st.dictionaries(
    NAMES,
    st.builds(
        KnownField,
        type=st.sampled_from(["string", "number", "enum"]),
        label=st.just("Field"),
        options=st.lists(st.sampled_from(["x", "y", "z"]), unique=True).map(tuple),
    ),
)


def recipe(*mappings: Mapping, **more: Any) -> RecipeInForce:
    return RecipeInForce(
        recipe_id=uuid4(),
        name="Recipe",
        connection_id=uuid4(),
        stream="contacts",
        model="contact",
        enabled=True,
        version=1,
        schedule_seconds=60,
        definition=RecipeDefinition("contacts", "contact", mappings, **more),
        created_by="Ada",
        created_at=T,
    )


@given(FIELDS, FIELDS)
def test_what_was_accepted_is_no_difference_any_more(held: Any, seen: Any) -> None:
    used = recipe(Mapping("email", source="a"))
    found = compare(held, seen, [used], T)
    assert compare(accepted(held, found), seen, [used], T) == []
    assert all(one.verdict == "ignore" for one in found if one.field != "a")
    raw = msgspec.json.decode(msgspec.json.encode(found))
    assert msgspec.convert(raw, list[Drift]) == found
    again = compare(held, seen, [used], datetime(2027, 1, 1, tzinfo=UTC), found)
    assert [one.since for one in again] == [T for _ in again]


@given(
    st.dictionaries(NAMES, st.one_of(st.none(), st.integers())),
    st.dictionaries(NAMES, st.one_of(st.none(), st.integers())),
    st.sets(NAMES),
)
def test_a_field_that_is_gone_for_good_empties_nothing(now: Any, before: Any, targets: Any) -> None:
    outcome = Outcome(recipe_id=uuid4(), version=1, model="m", results={"1": Mapped(now), "2": Mapped(now)})
    made = keeping(outcome, targets, {"1": before}).results
    assert made["2"] == Mapped(now), "there was nothing to keep"
    data = made["1"].data  # type: ignore[union-attr]
    for name in targets:
        assert data.get(name) is not None or (now.get(name) is None and before.get(name) is None)
    assert all(data[name] == value for name, value in now.items() if value is not None)


def test_the_rules_of_a_recipe_decide() -> None:
    held = {"a": KnownField("enum", "A", ("x",)), "b": KnownField("string", "B")}
    seen = {"a": KnownField("enum", "A", ("x", "y"))}
    both = (Mapping("email", source="b"), Mapping("phone", "expression", expression="record.a"))
    verdicts = {one.field: one.verdict for one in compare(held, seen, [recipe(*both)], T)}
    assert verdicts == {"a": "quarantine", "b": "pause"}
    other = recipe(*both, on_changed="quarantine", on_new_value="pause")
    verdicts = {one.field: one.verdict for one in compare(held, seen, [other], T)}
    assert verdicts == {"a": "pause", "b": "quarantine"}
    assert [one.verdict for one in compare(held, seen, [recipe(*both), other], T)] == ["pause", "pause"]


def test_a_new_value_is_refused_only_where_nothing_comes_of_it() -> None:
    held = {"a": KnownField("enum", "A", ("x",))}
    seen = {"a": KnownField("enum", "A", ("x", "y", "z"))}
    used = recipe(Mapping("email", "expression", expression="record.a == 'y' ? 'why' : ''"))
    judge = caution(held, compare(held, seen, [used], T), [used])
    documents = [{"a": "x"}, {"properties": {"a": "y"}}, {"a": "x;z"}, {"a": None}]
    results = [
        Mapped({"email": None}),
        Mapped({"email": "why"}),
        Mapped({"email": None}),
        Mapped({"email": None}),
    ]
    made = judge.judged(used, documents, results)
    assert [isinstance(one, Failed) for one in made] == [False, False, True, False]


def test_what_a_page_says_of_its_fields() -> None:
    held = {
        "a": KnownField("enum", "A", ("x", "y")),
        "b": KnownField("string", "B"),
        "c": KnownField("string", "C", gone=True),
    }
    asked = ["a", "b", "c", "unknown"]
    assert evidence(held, asked, ["a"], []) == set()
    assert evidence(held, asked, ["a"], [{"a": "x", "b": None}]) == set()
    assert evidence(held, asked, ["a"], [{"a": "x"}, {"a": "x;y"}]) == {"b"}
    assert evidence(held, asked, ["a"], [{"a": "new", "b": "1"}]) == {"a"}
    assert evidence(held, asked, [], [{"a": "new", "b": "1"}]) == set(), "no recipe uses it"


def test_a_filter_that_reads_a_field_is_found() -> None:
    used = recipe(Mapping("email", source="b"), filter="record.a == 'x' && source.properties.d != null")
    assert filters_on([used], {"a"}) == filters_on([used], {"d"}) == ["Recipe"]
    assert filters_on([used], {"b"}) == []
    assert parts("x;y") == {"x", "y"}
    assert parts(None) == parts(7) == set()
