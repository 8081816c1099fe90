"""The JSON Schema of a manifest, for editors."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.sdk.defaults import EACH_ACTION, EACH_STREAM, OBJECTS
from trunkline.sdk.manifest import Manifest

_TEXT = {"type": "string"}
_PARTS = ("Read", "Incremental", "Deletions", "Discovery", "Find", "Change", "Batch")
_OWN = {
    "StreamSpec": {"name"},
    "Action": {"name", "title"},
    "SuggestedRecipe": {"stream", "model", "description"},
    "Field": {"name"},
    "ActionInput": {"name"},
    "Event": {"type", "ids"},
    "Fetch": {"path", "records"},
    **{name: set[str]() for name in _PARTS},
}
"""What a part must say itself; the rest it may have from what is said once, or have by default."""


def manifest_schema() -> dict[str, Any]:
    """Draft 2020-12. What `[each_stream]` and `[each_action]` may say at all is open: each stream and action
    must be whole in the end.
    """
    schema = msgspec.json.schema(Manifest)
    parts = schema["$defs"]
    for name, own in _OWN.items():
        parts[name]["required"] = sorted(own & set(parts[name].get("required", ())))
    manifest = parts["Manifest"]["properties"]
    for each, kind in ((EACH_STREAM, "stream"), (EACH_ACTION, "action")):
        words = f"What every {kind} has unless it says otherwise."
        manifest[each] = {"type": "object", "description": words}
    for name in _PARTS:
        # of a part that stands in place of all that was said once
        parts[name]["properties"]["anew"] = {"const": True}
    _or(
        parts["StreamSpec"],
        ("discovery", "parent", "incremental", "deletions", "also", "deleted"),
        {"const": False},
    )
    _or(parts["Action"], ("input", "find", "change", "batch", "body"), {"const": False})
    _short(parts["StreamSpec"]["properties"]["fields"], _TEXT, _list(1, 3))
    _short(parts["Action"]["properties"]["input"]["anyOf"][0], _TEXT, _list(1, 2))
    pairs = {"type": "array", "items": {"anyOf": [_TEXT, _list(2, 2)]}}
    _or(parts["SuggestedRecipe"], ("fields",), pairs)
    parts["Webhooks"]["properties"][OBJECTS] = {"type": "object", "additionalProperties": _TEXT}
    parts["Event"]["properties"]["type"] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:trunkline:connector-manifest:1",
        "title": "A connector's manifest",
        **schema,
    }


def members_of(path: str) -> list[str]:
    """Names that the part of a manifest at a path like `streams[2].list` may have, sorted; of a choice of
    parts those of each. Empty: any name, or there is no such part.
    """
    return sorted({name for one in _at(path) for name in one.get("properties", {})})


def choices_of(path: str) -> list[str]:
    """Of a value that is one of a few words: those."""
    return sorted({str(word) for one in _at(path) for word in one.get("enum", ())})


def _at(path: str) -> list[dict[str, Any]]:
    schema = manifest_schema()
    parts = list(_whole(schema, schema))
    for name in re.findall(r"[A-Za-z_]\w*", path):
        below = [one["properties"][name] for one in parts if name in one.get("properties", {})]
        parts = [one for part in below for one in _whole(schema, part)]
    return parts


def _whole(schema: dict[str, Any], part: Any) -> Iterator[dict[str, Any]]:
    """What a part refers to, chooses among or lists, down to objects and words."""
    if not isinstance(part, dict):
        return
    if "$ref" in part:
        yield from _whole(schema, schema["$defs"][part["$ref"].rpartition("/")[2]])
    for one in part.get("anyOf", ()):
        yield from _whole(schema, one)
    if "items" in part:
        yield from _whole(schema, part["items"])
    if part.keys() & {"properties", "enum"}:
        yield part


def _or(part: dict[str, Any], names: tuple[str, ...], other: dict[str, Any]) -> None:
    for name in names:
        part["properties"][name] = {"anyOf": [part["properties"][name], other]}


def _short(listed: dict[str, Any], *others: dict[str, Any]) -> None:
    listed["items"] = {"anyOf": [listed["items"], *others]}


def _list(least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": _TEXT, "minItems": least, "maxItems": most}
