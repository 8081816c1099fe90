"""The JSON Schema of a manifest, for editors."""

from typing import Any

import msgspec

from trunkline.sdk.defaults import EACH
from trunkline.sdk.manifest import Manifest


def manifest_schema() -> dict[str, Any]:
    """Draft 2020-12. What `[each_stream]` may say at all is open: each stream must be whole in the end."""
    schema = msgspec.json.schema(Manifest)
    parts = schema["$defs"]
    parts["Manifest"]["properties"][EACH] = {
        "type": "object",
        "description": "What every stream has unless it says otherwise.",
    }
    # what a stream says itself may be a part of what it has in the end, or false to have none of it
    for name in ("Read", "Incremental", "Deletions", "Discovery"):
        parts[name]["required"] = []
        # of a part that stands in place of all that was said once
        parts[name]["properties"]["anew"] = {"const": True}
    stream = parts["StreamSpec"]
    stream["required"] = [name for name in stream["required"] if name in {"name", "label"}]
    for name in ("discovery", "incremental", "deletions", "also", "deleted"):
        stream["properties"][name] = {"anyOf": [stream["properties"][name], {"const": False}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:trunkline:connector-manifest:1",
        "title": "A connector's manifest",
        **schema,
    }
