import jsonschema_rs
import msgspec
import pytest

from trunkline.recipes.contracts import json_schema
from trunkline.recipes.errors import InvalidDefinitionError
from trunkline.recipes.target import BUILT_IN, TargetModel, built_in_models, check_model, declare_model

GOOD = {
    "name": "subscription",
    "label": "Subscription",
    "version": 1,
    "fields": [
        {"name": "plan", "label": "Plan", "type": "enum", "enum_values": [{"value": "pro", "label": "Pro"}]},
        {"name": "seats", "label": "Seats", "type": "integer", "required": True},
    ],
}


def changed(**changes):
    return {**GOOD, **changes}


def field(**changes):
    return changed(fields=[{**GOOD["fields"][1], **changes}])


def test_the_models_of_the_product_are_valid_and_say_what_their_odd_fields_mean():
    models = built_in_models()
    assert tuple(models) == BUILT_IN
    for name, model in models.items():
        assert model.name == name
        assert check_model(model) == []
        assert {"created_at", "updated_at", "attributes"} <= {each.name for each in model.fields}
    names = {each.name for each in models["contact"].fields}
    assert {"email", "first_name", "last_name", "full_name", "phone", "job_title", "company_name"} <= names
    assert models["contact"].field("nope") is None


def test_every_model_is_published_as_a_schema_that_entities_fit():
    for model in built_in_models().values():
        schema = json_schema(model)
        assert schema["$id"].endswith(f":{model.name}:{model.version}")
        check = jsonschema_rs.Draft202012Validator(schema)
        assert check.is_valid(dict.fromkeys((each.name for each in model.fields), None))
        assert not check.is_valid({"no such field": 1})
        for each in model.fields:
            assert check.is_valid({each.name: ["no", "scalar"]}) == (each.type == "json")


def test_a_declared_model_survives_json():
    model = declare_model(GOOD)
    assert declare_model(msgspec.json.decode(msgspec.json.encode(model))) == model
    assert isinstance(model, TargetModel)


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        (changed(name="Sub scription"), "name", "not a usable name"),
        (changed(name="a" * 64), "name", "not a usable name"),
        (changed(label=" "), "label", "label"),
        (changed(version=0), "version", "from 1"),
        (changed(version="1"), "version", "Expected `int`"),
        (changed(fields=[]), "fields", "at least one"),
        (changed(fields=GOOD["fields"] * 150), "fields", "at most 200"),
        (changed(fields=GOOD["fields"] * 2), "fields.2.name", "twice"),
        ({k: v for k, v in GOOD.items() if k != "label"}, "label", "required"),
        (changed(colour="red"), "colour", "no field"),
        (field(type="money"), "fields.0.type", "money"),
        (field(lable="x"), "fields.0.lable", "no field"),
        (field(name="drop table"), "fields.0.name", "not a usable name"),
        (field(label=""), "fields.0.label", "label"),
        (field(type="enum"), "fields.0.enum_values", "needs its values"),
        (field(enum_values=[{"value": "a"}]), "fields.0.enum_values", "Only a field of type enum"),
        (field(type="enum", enum_values=[{"value": "a"}] * 2), "fields.0.enum_values", "different"),
        ("text", "", "Expected `object`"),
    ],
)
def test_each_error_names_the_form_field(raw, path, words):
    with pytest.raises(InvalidDefinitionError) as caught:
        declare_model(raw)
    assert any(error.path == path and words in error.message for error in caught.value.errors), caught.value


def test_all_errors_come_at_once():
    with pytest.raises(InvalidDefinitionError) as caught:
        declare_model(changed(name="", label="", version=-1))
    assert [error.path for error in caught.value.errors] == ["name", "label", "version"]


BEFORE = {
    "account": (
        "name", "domain", "email", "phone", "status", "industry", "employees", "annual_revenue", "currency", "owner_id",
        "street", "postal_code", "city", "state", "country", "tags", "description", "attributes", "created_at",
        "updated_at",
    ),
    "company": (
        "name", "domain", "website", "phone", "industry", "company_type", "employees", "annual_revenue", "currency",
        "lifecycle_stage", "owner_id", "street", "postal_code", "city", "state", "country", "time_zone", "founded_year",
        "is_customer", "description", "attributes", "created_at", "updated_at",
    ),
}  # fmt: skip
"""What version 1 of each had."""


def test_a_newer_version_takes_all_that_the_one_before_took():
    for name, fields in BEFORE.items():
        model = built_in_models()[name]
        assert model.version == 2
        assert set(fields) <= {one.name for one in model.fields}
        assert not any(one.required for one in model.fields)
    for name in ("deal", "ticket"):
        model = built_in_models()[name]
        assert {"account_id", "company_id"} <= {one.name for one in model.fields}
