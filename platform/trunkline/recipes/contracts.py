"""A target model as JSON Schema (2020-12): the contract of what entities of it look like."""

from typing import Any, Final

from trunkline.recipes.target import TargetField, TargetModel

_TYPES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string", "maxLength": 1024},
    "text": {"type": "string", "maxLength": 65_536},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "json": {},
}


def json_schema(model: TargetModel) -> dict[str, Any]:
    """`$id` names the model and its version: what was once published never changes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:trunkline:model:{model.name}:{model.version}",
        "title": model.label,
        "description": model.description,
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in model.fields if field.required],
        "properties": {field.name: _field(field) for field in model.fields},
    }


def _field(field: TargetField) -> dict[str, Any]:
    kind: dict[str, Any] = _TYPES.get(field.type, {})
    if field.type == "enum":
        kind = {"enum": [value.value for value in field.enum_values]}
        if not field.required:
            kind["enum"].append(None)
    elif kind and not field.required:
        kind = {**kind, "type": [kind["type"], "null"]}
    words = {"title": field.label, **({"description": field.description} if field.description else {})}
    return {**words, **kind}
