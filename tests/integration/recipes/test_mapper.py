"""Definitions to entities, with the real evaluator behind."""

from importlib import resources
from pathlib import Path

import pytest

from trunkline.kernel.strictjson import canonical
from trunkline.recipes.definition import Mapping, RecipeDefinition, SourceField
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper, fingerprint
from trunkline.recipes.results import Failed, Filtered, Mapped
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import TargetField, TargetModel, built_in_models
from trunkline.sdk.manifest import load_manifest

CONTACT = built_in_models()["contact"]
COMPANY = built_in_models()["company"]


@pytest.fixture(scope="module")
async def mapper():
    async with Evaluator() as evaluator:
        yield RecipeMapper(evaluator)


class Untouchable(Evaluator):
    async def evaluate(self, program, records, fields=None):
        raise AssertionError("a recipe without expressions needs no process")


def hubspot(number, **properties):
    return {
        "id": str(number),
        "properties": {
            "email": f"Person{number}@Example.ORG",
            "firstname": f"First{number}" if number % 7 else None,
            "lastname": f"Łast{number}" if number % 5 else "",
            "phone": None,
            "lifecyclestage": ("lead", "customer", "subscriber")[number % 3],
            "createdate": "2024-05-01T10:00:00.000Z",
            "annualrevenue": "1234.50",
            "hs_language": "de",
            **properties,
        },
        "createdAt": "2024-05-01T10:00:00.000Z",
        "updatedAt": "2024-05-02T10:00:00Z",
        "archived": False,
    }


RECIPE = RecipeDefinition(
    "contacts",
    "contact",
    (
        Mapping("updated_at", source="updatedAt"),
        Mapping("email", "expression", expression="record.email.trim().lowerAscii()"),
        Mapping("first_name", source="firstname"),
        Mapping("last_name", source="lastname", default="–"),
        Mapping(
            "full_name",
            "expression",
            expression="(text(record.firstname) + ' ' + text(record.lastname)).trim()",
        ),
        Mapping("lifecycle_stage", source="lifecyclestage"),
        Mapping("country", "constant", constant="DE"),
        Mapping("created_at", source="createdate"),
    ),
    filter="record.lifecyclestage != 'subscriber'",
)


async def test_two_thousand_records_of_eight_fields_are_right(mapper):
    documents = [hubspot(number) for number in range(2000)]
    results = await mapper.map(RECIPE, CONTACT, documents)
    assert len(results) == 2000
    for number, result in enumerate(results):
        if number % 3 == 2:
            assert result == Filtered()
            continue
        first = f"First{number}" if number % 7 else None
        last = f"Łast{number}" if number % 5 else None
        assert result == Mapped(
            {
                "email": f"person{number}@example.org",
                "first_name": first,
                "last_name": last or "–",
                "full_name": " ".join(part for part in (first, last) if part) or None,
                "lifecycle_stage": ("lead", "customer")[number % 3],
                "country": "DE",
                "created_at": "2024-05-01T10:00:00Z",
                "updated_at": "2024-05-02T10:00:00Z",
            }
        )


async def test_the_output_is_in_the_order_of_the_model_whatever_the_order_of_the_recipe(mapper):
    turned = RecipeDefinition("contacts", "contact", RECIPE.mappings[::-1])
    [one] = await mapper.map(RECIPE, CONTACT, [hubspot(1)])
    [other] = await mapper.map(turned, CONTACT, [hubspot(1)])
    order = [field.name for field in CONTACT.fields if field.name in one.data]
    assert list(one.data) == list(other.data) == order
    assert fingerprint(one.data) == fingerprint(other.data)


async def test_a_map_as_a_result_is_the_same_bytes_every_time(mapper):
    recipe = RecipeDefinition(
        "contacts", "contact", (Mapping("attributes", "expression", expression="source"),)
    )
    seen = {canonical((await mapper.map(recipe, CONTACT, [hubspot(1)]))[0].data) for _ in range(5)}
    assert len(seen) == 1


async def test_without_expressions_no_process_is_asked():
    mapper = RecipeMapper(Untouchable())
    recipe = RecipeDefinition(
        "contacts", "contact", (Mapping("email", source="email"), Mapping("phone", source="nope"))
    )
    [result] = await mapper.map(recipe, CONTACT, [hubspot(1)])
    assert result == Mapped({"email": "Person1@Example.ORG", "phone": None})


async def test_errors_name_the_field_and_only_fail_their_record(mapper):
    recipe = RecipeDefinition(
        "companies",
        "company",
        (
            Mapping("name", "expression", expression="record.name.trim()"),
            Mapping("annual_revenue", source="annualrevenue"),
            Mapping("employees", "expression", expression="int(record.size)"),
        ),
    )
    good, bad = {"name": "A", "annualrevenue": "1.5", "size": "3"}, {"annualrevenue": "abc", "size": "many"}
    results = await mapper.map(
        recipe, COMPANY, [{"properties": good}, {"properties": bad}, {"properties": good}]
    )
    assert results[0] == results[2] == Mapped({"name": "A", "annual_revenue": 1.5, "employees": 3})
    errors = {error.target: error.message for error in results[1].errors}
    assert errors["annual_revenue"] == "annual_revenue: 'abc' is not a number"
    assert "text is not a whole number" in errors["employees"]
    assert "empty value (null)" in errors["name"]


async def test_a_record_that_fails_as_a_whole_has_one_error_without_a_field(mapper):
    results = await mapper.map(RECIPE, CONTACT, [hubspot(0, firstname="x" * 20_000), hubspot(1)])
    [error] = results[0].errors
    assert error.target == ""
    assert "record.firstname" in error.message
    assert isinstance(results[1], Mapped)


async def test_required_fields_and_defaults(mapper):
    model = TargetModel(
        "m", "M", 1, (TargetField("key", "Key", "string", required=True), TargetField("n", "N", "integer"))
    )
    recipe = RecipeDefinition("s", "m", (Mapping("key", source="a"), Mapping("n", source="n", default="7")))
    results = await mapper.map(recipe, model, [{"a": "x"}, {"a": ""}, {"a": "y", "n": "z"}])
    assert results[0] == Mapped({"key": "x", "n": 7})
    assert results[1].errors[0].message == "key: is required, but the field 'a' is empty"
    assert isinstance(results[2], Failed), "a default never hides a value that does not fit"


FIELDS = tuple(SourceField(name, name) for name in ("email", "firstname", "since"))


@pytest.mark.parametrize(
    ("target", "expression", "words"),
    [
        ("email", "record.emial", 'Did you mean "email"?'),
        ("email", "record.email.lower()", 'no function "lower"'),
        (
            "birth_date",
            "record.email == 'x'",
            "Date of birth is of type date, but the expression gives true or false",
        ),
        ("email", "record.email.split('@')", "gives a list"),
        ("is_customer", "timestamp(record.since)", "gives a date and time"),
        ("email", "record.?email", ".orValue"),
        ("email", "b'x'", "gives bytes"),
    ],
)
async def test_saving_points_to_the_expression_that_is_wrong(mapper, target, expression, words):
    recipe = RecipeDefinition(
        "contacts",
        "contact",
        (Mapping("phone", source="email"), Mapping(target, "expression", expression=expression)),
    )
    [error] = await mapper.validate(recipe, FIELDS, CONTACT)
    assert error.path == "mappings.1.expression"
    assert words in error.message


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("record.email + 'x'", "must be true or false; this is text"),
        ("record.email ==", "ends too early"),
        ("[1]", "a list"),
    ],
)
async def test_saving_points_to_the_filter(mapper, chosen, words):
    recipe = RecipeDefinition("contacts", "contact", (Mapping("email", source="email"),), filter=chosen)
    [error] = await mapper.validate(recipe, FIELDS, CONTACT)
    assert error.path == "filter"
    assert words in error.message


async def test_a_good_recipe_has_no_errors_and_says_what_it_reads(mapper):
    assert await mapper.validate(RECIPE, (), CONTACT) == []
    assert mapper.fields_used(RECIPE) == (
        "createdate",
        "email",
        "firstname",
        "lastname",
        "lifecyclestage",
        "updatedAt",
    )
    recipe = RecipeDefinition(
        "c", "contact", (Mapping("email", "expression", expression="source.properties.mail"),)
    )
    assert mapper.fields_used(recipe) == ("mail",)


MANIFESTS = sorted(Path(str(resources.files("trunkline_connectors"))).glob("*/manifest.toml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
async def test_every_recipe_that_a_connector_suggests_fits_its_stream_and_model(mapper, path):
    manifest = load_manifest(path)
    assert manifest.recipes
    for suggested in manifest.recipes:
        stream = manifest.stream(suggested.stream)
        fields = [
            SourceField(name, name)
            for name in (*stream.field_names, "id", "createdAt", "updatedAt", "archived")
        ]
        errors = await mapper.validate(definition_of(suggested), fields, built_in_models()[suggested.model])
        assert errors == [], suggested.key
