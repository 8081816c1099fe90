"""Stripe's request bodies: forms whose names have brackets, with everything a string."""

import re
from collections.abc import Iterable
from typing import Any

from trunkline_connectors.stripe.simulator_errors import invalid

MAX_DEPTH = 6
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """a[b][c]=1 and a[]=2 and a[0][d]=3 as the objects and lists they stand for; raises 400."""
    top: dict[str, Any] = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        if found is None:
            invalid(f"Invalid request parameter name: {name[:100]}", name[:100])
        keys = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
        if len(keys) > MAX_DEPTH:
            invalid("Parameters are nested too deeply", found[1])
        _put(top, keys, value)
    return {name: _lists(value) for name, value in top.items()}


def _put(into: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        inner = into.setdefault(key or str(len(into)), {})
        if not isinstance(inner, dict):
            invalid(f"{keys[0]} is given twice", keys[0])
        into = inner
    into[keys[-1] or str(len(into))] = value


def _lists(value: Any) -> Any:
    """Objects whose names count from 0 are lists."""
    if not isinstance(value, dict):
        return value
    items = {name: _lists(item) for name, item in value.items()}
    if items and all(name == str(place) for place, name in enumerate(items)):
        return list(items.values())
    return items


def whole(value: Any, param: str) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
        invalid(f"Invalid integer: {str(value)[:100]}", param, "parameter_invalid_integer")
    return int(value)


def flag(value: Any, param: str) -> bool:
    if value not in {"true", "false"}:
        invalid(f"Invalid boolean: {str(value)[:100]}", param)
    return bool(value == "true")
