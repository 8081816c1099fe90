"""What a connection sends with every call: its authorization, and its provider's own headers."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.sdk.authentication import ApiKey, Auth, Basic
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.templates import fill_text

VALUES = "values"
"""Member of a connection's config: what stands for the placeholders of its manifest."""
WAY = "way"
"""Member of it: the key of the way in which access was given; the usual one without."""

GIVEN = "given"
"""Member of it: the version of its connector that access was given to, where it speaks another."""


def values_of(manifest: Manifest, config: Mapping[str, Any]) -> dict[str, str]:
    """What stands for placeholders in calls of a connection with that config."""
    kept = config.get(VALUES)
    values = {name: value for name, value in kept.items() if isinstance(value, str)} if kept else {}
    if manifest.api is not None:
        values["api_version"] = manifest.api.version
    return values


def way_of(manifest: Manifest, config: Mapping[str, Any]) -> Auth:
    key = config.get(WAY)
    return manifest.way(key if isinstance(key, str) else "")


def call_headers(manifest: Manifest, way: Auth, token: str, values: Mapping[str, str]) -> dict[str, str]:
    """Of a JSON call. `token`: the access token, or of a key the JSON of what the customer typed."""
    made = {"accept": "application/json"}
    for name, template in manifest.headers.items():
        text = fill_text(template, values)
        if text is not None:
            made[name.lower()] = text
    if isinstance(way, ApiKey | Basic):
        secrets: dict[str, str] = msgspec.json.decode(token, type=dict[str, str])
        given = {**values, **secrets}
        if isinstance(way, Basic):
            pair = f"{fill_text(way.username, given) or ''}:{fill_text(way.password, given) or ''}"
            made["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            for name, template in way.headers.items():
                made[name.lower()] = fill_text(template, given) or ""
    else:
        made["authorization"] = fill_text(way.header, {"token": token}) or ""
    return made
