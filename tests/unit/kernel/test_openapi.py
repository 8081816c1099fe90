"""Schemas in words."""

import pytest

from trunkline.kernel.openapi import complete, kind


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "format": "uuid"}, "string (uuid)"),
        ({"type": ["integer", "null"]}, "integer or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Run"}}, "list of Run"),
        ({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Run"}]}, "null or Run"),
        ({"enum": ["a", "b"]}, "a | b"),
        ({"const": 1}, "1"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map of string"),
        ({}, "any"),
        (None, "any"),
    ],
)
def test_a_schema_reads_as_words(schema: dict | None, words: str) -> None:
    assert "".join(text for text, _ in kind(schema)) == words


def test_a_reference_links_to_its_schema() -> None:
    assert kind({"type": "array", "items": {"$ref": "#/components/schemas/Run"}})[1] == ("Run", "Run")


def test_only_errors_that_are_sent_are_declared_and_twice_changes_nothing() -> None:
    own = {"description": "x", "content": {"application/problem+json": {}}}
    document = {
        "paths": {
            "/v1/a": {
                "get": {"responses": {"200": {}, "400": {"content": {"application/json": {}}}, "409": own}}
            }
        }
    }
    responses = complete(document)["paths"]["/v1/a"]["get"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "409", "500", "503"}
    assert "application/json" not in responses["400"]["content"]
    assert responses["409"] is own
    assert complete(document)["paths"]["/v1/a"]["get"]["responses"] == responses
