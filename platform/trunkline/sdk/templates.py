"""Filling a manifest's templates; what they are is said in `trunkline.sdk.streams`."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

_DROP: Final = object()
_HOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.\-]+")
SPREAD: Final = "..."
"""Name of a member whose own members are taken in; those beside it win."""


def fill_body(template: Any, values: Mapping[str, Any]) -> Any:
    """JSON of the template. A member or item whose value is absent or None is dropped; so is an object in a
    list that asks for values and has none of them, and a list of nothing but such.
    """
    filled = _fill(template, values)
    return None if filled is _DROP else filled


def fill_query(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Query parameters of the template. Lists are joined by commas; of a name that ends with [] they stay."""
    filled = fill_body(template, values) or {}
    return {
        name: [_text(item) for item in value]
        if name.endswith("[]") and isinstance(value, list | tuple)
        else _text(value)
        for name, value in filled.items()
    }


def fill_text(template: str, values: Mapping[str, Any]) -> str | None:
    """Text of the template; None where one of its values is absent."""
    filled = _fill(template, values)
    return None if filled is _DROP else _text(filled)


def fill_path(template: str, values: Mapping[str, Any]) -> str | None:
    """As `fill_text`, with every value quoted, so that none adds a segment or a query."""
    given = {name: values.get(name) for name in _HOLE.findall(template)}
    quoted = {name: quote(_text(value), safe="") for name, value in given.items() if value is not None}
    return fill_text(template, quoted)


def form_pairs(value: Any, name: str = "") -> list[tuple[str, str]]:
    """A JSON object as a form: names of what is nested in brackets, null as the empty text."""
    if isinstance(value, Mapping):
        return [
            pair
            for key, item in value.items()
            for pair in form_pairs(item, f"{name}[{key}]" if name else str(key))
        ]
    if isinstance(value, list | tuple):
        return [pair for at, item in enumerate(value) for pair in form_pairs(item, f"{name}[{at}]")]
    return [(name, "" if value is None else _text(value))]


def holes(template: Any) -> set[str]:
    """The names that a template asks for."""
    if isinstance(template, str):
        return set(_HOLE.findall(template))
    if isinstance(template, Mapping):
        return set().union(*(holes(item) for item in template.values())) if template else set()
    if isinstance(template, list | tuple):
        return set().union(*(holes(item) for item in template)) if template else set()
    return set()


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        return _fill_text(template, values)
    if isinstance(template, Mapping):
        members = {name: _fill(item, values) for name, item in template.items()}
        spread = members.pop(SPREAD, _DROP)
        own = {name: item for name, item in members.items() if item is not _DROP}
        return {**spread, **own} if isinstance(spread, Mapping) else own
    if isinstance(template, list | tuple):
        items = [_DROP if _vain(item, values) else _fill(item, values) for item in template]
        kept = [item for item in items if item is not _DROP]
        return _DROP if items and not kept and all(isinstance(one, Mapping) for one in template) else kept
    return template


def _vain(item: Any, values: Mapping[str, Any]) -> bool:
    asked = holes(item) if isinstance(item, Mapping) else set()
    return bool(asked) and all(values.get(name) is None for name in asked)


def _fill_text(template: str, values: Mapping[str, Any]) -> Any:
    whole = _HOLE.fullmatch(template)
    if whole is not None:
        value = values.get(whole[1])
        return _DROP if value is None else value
    names = _HOLE.findall(template)
    if any(values.get(name) is None for name in names):
        return _DROP
    return _HOLE.sub(lambda hole: _inside(values[hole[1]]), template)


def _inside(value: Any) -> str:
    """In the middle of text a list is of names: others, of whoever chose them, could say more than a name."""
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value if _WORD.fullmatch(_text(item)))
    return _text(value)
