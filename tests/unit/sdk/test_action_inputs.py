"""Whatever a caller gives is refused by the name of its field, or fits into the templates."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import strictjson
from trunkline.main import packages
from trunkline.sdk.action_inputs import blamed, call_values, check_input
from trunkline.sdk.actions import Action, ActionInput
from trunkline.sdk.templates import fill_body, fill_path, form_pairs, holes

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
ACTIONS = {
    f"{one.manifest.name}.{action.name}": action for one in packages() for action in one.manifest.actions
}
KINDS = ("string", "number", "integer", "boolean", "enum", "datetime", "date", "list", "map")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def action(*inputs: ActionInput, **more: Any) -> Action:
    body = {one.name: f"{{{one.name}}}" for one in inputs}
    return Action(
        **{
            "name": "act",
            "title": "Act",
            "path": "/x",
            "repeat": "same",
            "body": body,
            "input": inputs,
            **more,
        }
    )


def one(kind: str, **more: Any) -> ActionInput:
    options = ("a", "b") if kind == "enum" else ()
    return ActionInput(name="x", label="X", type=kind, options=options, **more)  # type: ignore[arg-type]


@given(kind=st.sampled_from(KINDS), value=JSON)
def test_what_is_not_refused_can_be_sent(kind: str, value: Any) -> None:
    act = action(one(kind))
    wrong = check_input(act, {"x": value})
    assert all(each.field == "x" or each.field.startswith("x.") for each in wrong)
    if wrong:
        return
    filled = fill_body(act.body, call_values(act, {"x": value}, "key", AT))
    assert strictjson.decode(strictjson.canonical(filled)) == ({} if value is None else {"x": value})


@given(name=st.sampled_from(sorted(ACTIONS)), given_=st.dictionaries(st.text(max_size=12), JSON, max_size=5))
def test_nothing_makes_our_own_actions_stumble(name: str, given_: dict[str, Any]) -> None:
    act = ACTIONS[name]
    known = {each.name for each in act.input}
    fields = {wrong.field.partition(".")[0] for wrong in check_input(act, given_)}
    assert {given for given in given_ if given not in known} <= {
        wrong.field for wrong in check_input(act, given_)
    } | {field for field in given_ if len(field) > 100}
    assert {each.name for each in act.input if each.required and not given_.get(each.name)} - {
        each.name for each in act.input if given_.get(each.name) in (0, False)
    } <= fields


@pytest.mark.parametrize(
    ("given_", "kind", "value", "words"),
    [
        ({"required": True}, "string", "", "required"),
        ({"max_length": 3}, "string", "four", "At most 3"),
        ({}, "string", 5, "a text"),
        ({}, "string", "a\0b", "cannot be sent"),
        ({}, "integer", 1.5, "whole number"),
        ({}, "integer", True, "whole number"),
        ({}, "number", float("inf"), "number"),
        ({}, "enum", "c", "one of a, b"),
        ({}, "boolean", "yes", "true or false"),
        ({}, "datetime", "2024-02-03T04:05:06", "with its zone"),
        ({}, "date", "1 May", "a day"),
        ({}, "list", ["a", 1], "list of texts"),
        ({"max_length": 1}, "list", ["a", "b"], "At most 1"),
        ({}, "map", ["a"], "an object"),
        ({}, "map", {"a": {"b": 1}}, "a text, a number"),
        ({}, "map", {"a\nb": 1}, "no name"),
    ],
)
def test_each_refusal_says_what_is_wanted(given_: Any, kind: str, value: Any, words: str) -> None:
    (wrong,) = check_input(action(one(kind, **given_)), {"x": value})
    assert words in wrong.message
    assert str(value) not in wrong.message or not isinstance(value, str) or len(value) < 3


def test_a_value_never_adds_a_segment_or_ends_a_quoted_text() -> None:
    act = action(one("string"))
    values = call_values(act, {"x": "a'b\"\\/..?c"}, "key", AT)
    assert fill_path("/things/{x}", values) == "/things/a%27b%22%5C%2F..%3Fc"
    assert values["x_quoted"] == "a\\'b\\\"\\\\/..?c"


def test_maps_and_enums_go_out_as_the_provider_has_them() -> None:
    fields = ActionInput(name="fields", label="F", type="map", pairs=("id", "value"))
    state = ActionInput(name="state", label="S", type="enum", options=("open",), values={"open": 2})
    act = action(fields, state)
    values = call_values(act, {"fields": {"12": "a", "cf_x": None}, "state": "open"}, "key", AT)
    assert values["fields"] == [{"id": 12, "value": "a"}, {"id": "cf_x", "value": None}]
    assert values["state"] == 2
    assert (values["call_key"], values["call_s"]) == ("key", int(AT.timestamp()))


def test_an_own_field_lies_beside_the_others_and_never_over_them() -> None:
    template = {"properties": {"name": "{name}", "...": "{fields}"}, "list": [{"to": "{missing}"}]}
    values = {"name": "Nora", "fields": {"name": "Eve", "plan": "team"}}
    assert fill_body(template, values) == {"properties": {"name": "Nora", "plan": "team"}}
    assert fill_body(template, {"name": "Nora"}) == {"properties": {"name": "Nora"}}


def test_others_are_what_nothing_else_names_as_the_provider_calls_it() -> None:
    inputs = (
        ActionInput(name="email", label="E"),
        ActionInput(name="first_name", label="F", sent_as="firstname"),
        ActionInput(name="phone", label="P"),
        ActionInput(name="fields", label="O", type="map", prefix="c_"),
    )
    act = action(*inputs, path="/people/{email}", body={"properties": "{others}"})
    assert act.others == inputs[1:]
    given = {"email": "n@a.example", "first_name": "Nora", "fields": {"plan": "team", "x": None}}
    values = call_values(act, given, "key", AT)
    assert fill_body(act.body, values) == {"properties": {"firstname": "Nora", "c_plan": "team", "c_x": None}}
    assert fill_body(act.body, call_values(act, {"email": "n@a.example"}, "key", AT)) == {"properties": {}}
    plain = action(*inputs[:3], ActionInput(name="fields", label="O", type="map"), body={"...": "{others}"})
    over = call_values(plain, {"phone": "1", "fields": {"phone": "2", "firstname": "Eve"}}, "key", AT)
    assert fill_body(plain.body, over) == {"phone": "1", "firstname": "Eve"}
    assert blamed(act, "properties.firstname") == "first_name"
    assert blamed(act, "phone") == "phone"
    assert blamed(act, "c_plan") == "fields.plan"


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_a_form_has_every_leaf_once(value: Any) -> None:
    def leaves(part: Any) -> int:
        if isinstance(part, dict):
            return sum(leaves(inner) for inner in part.values())
        return sum(leaves(inner) for inner in part) if isinstance(part, list) else 1

    pairs = form_pairs(value)
    assert len(pairs) == leaves(value)
    assert all(isinstance(name, str) and isinstance(text, str) for name, text in pairs)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("hubspot.upsert_contact", "firstname", "first_name"),
        ("hubspot.upsert_contact", "favourite_plan", "fields.favourite_plan"),
        ("salesforce.upsert_contact", "LastName", "last_name"),
        ("freshdesk.create_ticket", "description", "body"),
        ("zendesk.create_ticket", "requester_id", "requester_id"),
        ("stripe.update_customer", "metadata[plan]", "metadata.plan"),
        ("stripe.update_customer", "id", "customer_id"),
        ("intercom.upsert_contact", "<script>", None),
    ],
)
def test_a_refusal_is_told_in_the_callers_words(name: str, theirs: str, ours: str | None) -> None:
    assert blamed(ACTIONS[name], theirs) == ours


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_sends_what_it_asks_for(name: str) -> None:
    act = ACTIONS[name]
    used = holes(
        [*act.templates, act.find.query if act.find else {}, act.find.body or {} if act.find else {}]
    )
    sent = used | {hole.removesuffix("_quoted") for hole in used}
    if "others" in used:
        sent |= {each.name for each in act.others}
    assert {each.name for each in act.input} <= sent
