"""What is filled in without being asked: right where it is, and empty rather than wrong."""

import pytest

from trunkline.recipes.definition import RecipeDefinition, SourceField
from trunkline.recipes.target import TargetField, built_in_models
from trunkline_connectors.catalogue import manifests
from trunkline_ui.recipes.draft import Draft
from trunkline_ui.recipes.suggest import best, suggest_model, suggest_rows
from trunkline_ui.recipes.words import differences, filter_words

MODELS = built_in_models()
HUBSPOT = next(manifest for manifest in manifests() if manifest.name == "hubspot")


@pytest.mark.parametrize(
    ("target", "kind", "expected"),
    [
        ("postal_code", "string", "zip"),
        ("created_at", "datetime", "createdate"),
        ("company_name", "string", "company"),
        ("city", "string", "city"),
        ("is_customer", "boolean", None),
        ("state", "string", None),
        ("attributes", "json", None),
        ("email", "datetime", None),
    ],
)
def test_likeness(target: str, kind: str, expected: str | None) -> None:
    fields = [
        SourceField("id", "Record id"),
        SourceField("zip", "Postal Code"),
        SourceField("createdate", "Create Date", "datetime"),
        SourceField("company", "Company"),
        SourceField("city", "City"),
        SourceField("email", "Email"),
        SourceField("statement", "Statement"),
    ]
    found = best(TargetField(target, target.replace("_", " "), kind), fields)  # type: ignore[arg-type]
    assert (found.name if found else None) == expected


def test_every_stream_finds_its_model_and_sound_rows() -> None:
    for stream in HUBSPOT.streams:
        model = MODELS[suggest_model(HUBSPOT, stream.name, list(MODELS))]
        assert model.name == {"owners": "user", "companies": "account"}.get(
            stream.name
        ) or model.name.startswith(stream.name[:4])
        fields = [SourceField(field.name, field.label, field.type) for field in stream.fields]
        rows = suggest_rows(HUBSPOT, stream.name, model, fields)
        assert len(rows) >= 4
        assert {row.target for row in rows} <= {field.name for field in model.fields}
        sources = [row.source for row in rows if row.kind == "field"]
        assert len(sources) == len(set(sources)), "no field is used twice by itself"
        definition = Draft(stream=stream.name, model=model.name, rows=rows).definition(model)
        assert [m.target for m in definition.mappings] == [row.target for row in rows]


def test_differences_name_what_changed_only() -> None:
    model = MODELS["contact"]
    old = Draft(stream="s", model="contact", rows=suggest_rows(HUBSPOT, "contacts", model, ())).definition(
        model
    )
    new = RecipeDefinition("s", "contact", old.mappings[1:], 'record.a == "b"')
    rows = differences((old, 60), (new, 300), model)
    assert {row["field"]: row["change"] for row in rows} == {
        "Schedule": "changed",
        "Filter": "added",
        old.mappings[0].target: "removed",
    }
    assert differences((old, 60), (old, 60), model) == []
    assert filter_words('(text(record.a) != "")', {"a": "Label"}) == "Label is not empty"
    assert filter_words("record.a", {}) == ""
