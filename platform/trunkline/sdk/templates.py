"""Filling a manifest's templates; what they are is said in `trunkline.sdk.manifest`."""

from collections.abc import Mapping
from typing import Any, Final

_DROP: Final = object()


def fill_body(template: Any, values: Mapping[str, Any]) -> Any:
    """JSON of the template. A member or item whose value is absent or None is dropped."""
    filled = _fill(template, values)
    return None if filled is _DROP else filled


def fill_query(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Query parameters of the template; lists joined by commas."""
    filled = fill_body(template, values) or {}
    return {name: _text(value) for name, value in filled.items()}


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        if template.startswith("{") and template.endswith("}") and template[1:-1].isidentifier():
            value = values.get(template[1:-1])
            return _DROP if value is None else value
        return template
    if isinstance(template, Mapping):
        members = {name: _fill(item, values) for name, item in template.items()}
        return {name: item for name, item in members.items() if item is not _DROP}
    if isinstance(template, list | tuple):
        items = [_fill(item, values) for item in template]
        return [item for item in items if item is not _DROP]
    return template
