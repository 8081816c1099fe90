"""What a manifest says once for all its streams.

`[each_stream]` holds members of a stream that every one has unless it says otherwise: tables are merged
member by member, anything else is replaced, `false` takes a table or list away, and a table with
`anew = true` takes the other's place whole. In its texts {stream} is the stream's name.
"""

from typing import Any

from trunkline.sdk.bounds import check_common

EACH = "each_stream"


def spread(raw: dict[str, Any]) -> dict[str, Any]:
    """The manifest with nothing left to be said once. ValueError where that would be too much."""
    common, streams = raw.get(EACH), raw.get("streams")
    if not isinstance(streams, list):
        return raw
    check_common(common, streams)
    if not isinstance(common, dict):
        return raw
    made = [
        _merged(_named(common, stream.get("name")), stream) if isinstance(stream, dict) else stream
        for stream in streams
    ]
    return {**{key: value for key, value in raw.items() if key != EACH}, "streams": made}


def _named(value: Any, name: Any) -> Any:
    if isinstance(value, str):
        return value.replace("{stream}", str(name))
    if isinstance(value, dict):
        return {key: _named(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, name) for item in value]
    return value


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    made = dict(common)
    for key, value in own.items():
        before = common.get(key)
        if value is False and isinstance(before, dict | list):
            made.pop(key, None)
        elif isinstance(value, dict) and value.get("anew") is True:
            made[key] = {name: item for name, item in value.items() if name != "anew"}
        else:
            mergeable = isinstance(value, dict) and isinstance(before, dict)
            made[key] = _merged(before or {}, value) if mergeable else value
    return made
