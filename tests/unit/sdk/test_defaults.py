"""What a manifest says once, or shortly."""

import msgspec
import pytest

from trunkline.sdk.bounds import MOST
from trunkline.sdk.defaults import spread, words


def one(common, **own):
    return spread({"each_stream": common, "streams": [{"name": "deals", **own}]})["streams"][0]


def test_tables_are_merged_and_texts_name_the_stream():
    made = one({"list": {"path": "/{stream}", "query": {"a": 1}}}, list={"query": {"b": 2}})
    assert made == {"name": "deals", "label": "Deals", "list": {"path": "/deals", "query": {"a": 1, "b": 2}}}


def test_false_takes_away_and_anew_takes_the_place():
    common = {"list": {"path": "/x", "query": {"a": 1}}, "incremental": {"path": "/y"}}
    made = one(common, incremental=False, list={"anew": True, "path": "/z"})
    assert made == {"name": "deals", "label": "Deals", "list": {"path": "/z"}}
    inner = one(common, list={"query": {"anew": True, "b": 2}})
    assert inner["list"] == {"path": "/x", "query": {"b": 2}}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("first_name", "First name"),
        ("AccountId", "Account id"),
        ("email", "Email"),
        ("createdAt", "Created at"),
        ("__", ""),
    ],
)
def test_a_name_in_words(name, label):
    assert words(name) == label


def test_a_field_may_be_its_name_or_a_list():
    made = one(
        {},
        label="Sales",
        fields=["amount", ["dealname", "Name"], ["closed", "Closed", "date"], {"name": "stage"}],
    )
    assert made["label"] == "Sales"
    assert made["fields"] == [
        {"name": "amount", "label": "Amount"},
        {"name": "dealname", "label": "Name"},
        {"name": "closed", "label": "Closed", "type": "date"},
        {"name": "stage", "label": "Stage"},
    ]


def test_further_reads_go_where_the_list_goes():
    listed = {"path": "/{stream}", "query": {"a": 1}, "records": "data", "page_size": 50, "cap": 9}
    made = one(
        {"list": listed},
        incremental={"query": {"b": 2}, "page_size": 10},
        deletions=[{"query": {"c": 3}}, {"path": "/gone"}],
    )
    way = {"path": "/deals", "records": "data"}
    assert made["incremental"] == {**way, "page_size": 10, "query": {"b": 2}}
    assert made["deletions"] == [
        {**way, "page_size": 50, "query": {"c": 3}},
        {"path": "/gone", "records": "data", "page_size": 50},
    ]


def action(common, **own):
    return spread({"each_action": common, "actions": [{"name": "act", **own}]})["actions"][0]


def test_actions_share_too_and_have_only_the_parts_that_they_name():
    common = {
        "path": "/{stream}",
        "scopes": ["{stream}.write"],
        "find": {"records": "data", "bucket": "search"},
        "input": [{"name": "fields", "type": "map"}, {"name": "id", "required": True}],
    }
    made = action(
        common, stream="deals", input=["fields", ["stage", "dealstage"], {"name": "id", "help": "Which"}]
    )
    assert made == {
        "name": "act",
        "stream": "deals",
        "path": "/deals",
        "scopes": ["deals.write"],
        "input": [
            {"name": "fields", "label": "Fields", "type": "map"},
            {"name": "stage", "label": "Stage", "sent_as": "dealstage"},
            {"name": "id", "label": "Id", "required": True, "help": "Which"},
        ],
    }
    found = action(common, stream="deals", find={"path": "/{stream}/search", "bucket": "own"})
    assert found["find"] == {"records": "data", "bucket": "own", "path": "/{stream}/search"}
    assert action({"path": "/{stream}"})["path"] == "/{stream}"


def test_a_recipe_is_called_by_its_stream():
    raw = {
        "streams": [
            {"name": "deals", "label": "Sales", "discovery": {}, "fields": ["stage"]},
            {"name": "notes"},
        ],
        "recipes": [
            {"stream": "deals", "fields": ["stage", ["name", "dealname"]]},
            {"stream": "notes", "key": "all", "name": "All notes", "fields": {"text": "body"}},
        ],
    }
    made = spread(raw)
    assert made["recipes"][0] == {
        "key": "deals", "name": "Sales", "stream": "deals", "fields": {"stage": "stage", "name": "dealname"},
    }  # fmt: skip
    assert made["recipes"][1] == raw["recipes"][1]
    # what is mapped is asked for, where the provider itself says which fields there are
    assert [field["name"] for field in made["streams"][0]["fields"]] == ["stage", "dealname"]
    assert "fields" not in made["streams"][1]
    with pytest.raises(msgspec.ValidationError, match='"name" is there twice'):
        spread({"recipes": [{"fields": ["name", ["name", "title"]]}]})


def test_kinds_and_fetches_stand_for_one_of_each_object():
    hooks = {
        "objects": {"deal": "deals", "person": "people"},
        "kinds": [
            {"type": "deal.lost", "stream": "deals", "ids": ["id"]},
            {"type": ["{object}.made", "{object}.changed"], "ids": ["id"]},
        ],
        "fetches": [{"path": "/{stream}"}],
    }
    made = spread({"webhooks": hooks})["webhooks"]
    assert [(kind["type"], kind["stream"]) for kind in made["kinds"]] == [
        ("deal.lost", "deals"), ("deal.made", "deals"), ("person.made", "people"), ("deal.changed", "deals"),
        ("person.changed", "people"),
    ]  # fmt: skip
    assert made["fetches"] == [
        {"stream": "deals", "path": "/deals"}, {"stream": "people", "path": "/people"},
    ]  # fmt: skip
    kinds = [{"type": ["{object}"] * MOST}]
    many = {"objects": {f"o{n}": "deals" for n in range(MOST)}, "kinds": kinds}
    with pytest.raises(ValueError, match=r"more than 500 entries, written out - at `\$.webhooks.kinds`"):
        spread({"webhooks": many})
    with pytest.raises(ValueError, match="at most 60 characters"):
        spread({"webhooks": {"objects": {"x" * 61: "deals"}, "kinds": []}})


def test_the_scopes_asked_for_are_those_that_are_needed():
    raw = {
        "auth": {"kind": "oauth2"},
        "account": {"scopes": ["me"]},
        "streams": [{"name": "a", "scopes": ["read", "me"]}, {"name": "b"}],
        "webhooks": {"registration": {"scopes": ["hooks"]}},
        "actions": [{"scopes": ["write"]}],
    }
    assert spread(raw)["auth"] == {"kind": "oauth2", "scopes": ["me", "read", "hooks"]}
    assert spread({**raw, "auth": {"kind": "oauth2", "scopes": ["all"]}})["auth"]["scopes"] == ["all"]
    assert spread({**raw, "auth": {"kind": "basic"}})["auth"] == {"kind": "basic"}


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], [[]], [{}], {"stream": []}, [{"stream": {}, "fields": [[1, 2]]}]]
)
def test_what_does_not_fit_is_left_as_it_is(odd):
    for key in ("streams", "actions", "recipes", "webhooks", "auth", "each_stream", "each_action", "account"):
        spread({"streams": [{"name": "a", "discovery": {}}], "recipes": [{"stream": "a"}], key: odd})
    spread({"streams": [{"name": "a", "discovery": odd, "list": odd, "fields": odd, "deletions": odd}]})
    spread({"webhooks": {"objects": odd, "kinds": odd, "fetches": odd}, "auth": {"kind": "oauth2"}})
    spread({"each_action": {"input": odd}, "actions": [{"input": odd, "find": odd, "stream": odd}]})
