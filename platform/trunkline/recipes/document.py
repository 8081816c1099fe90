"""The provider's document as recipes see it."""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Map
from typing import Any

from trunkline.recipes.definition import SourceField
from trunkline.sdk.pointers import point

LIFTED = "properties"  # HubSpot keeps an object's own fields in a map of this name
Lookup = Callable[[str], Any]
"""A record's field by its name; None where it has none."""
_EXAMPLE = 80  # characters of an example that still fit beside a field's name


def laid_out(document: dict[str, Any], values: str) -> dict[str, Any]:
    """With the fields where `flatten` finds them. `values`: pointer to the object that they lie in, as the
    stream's manifest has it; empty: beside each other in the document itself.
    """
    if values in ("", LIFTED):
        return document
    found = point(document, values)
    return {**document, LIFTED: found} if isinstance(found, dict) else document


def flatten(document: Map[str, Any]) -> dict[str, Any]:
    """`record`: the members of `properties` lifted to the top. A top-level member wins over a lifted one."""
    lifted = document.get(LIFTED)
    if not isinstance(lifted, Map):
        return dict(document)
    return {**lifted, **{name: value for name, value in document.items() if name != LIFTED}}


def lookup(document: Map[str, Any]) -> Lookup:
    """`flatten(document).get`, by the quickest way there."""
    lifted = document.get(LIFTED)
    if type(lifted) is not dict and not isinstance(lifted, Map):
        return document.get
    flat = {**lifted, **document}
    flat[LIFTED] = lifted.get(LIFTED)
    return flat.get


def discover_fields(documents: Sequence[Map[str, Any]]) -> tuple[SourceField, ...]:
    """The field picker's entries as far as real records show them, in alphabetical order.

    For providers that do not describe their fields, and for examples where they do. The type is that of the
    first value that is not null; fields that are always null are `string`.
    """
    found: dict[str, SourceField] = {}
    for document in documents:
        for name, value in flatten(document).items():
            known = found.get(name)
            if known is None or (known.example is None and value not in (None, "")):
                found[name] = SourceField(name, _label(name), _type(value), example(value))
    return tuple(found[name] for name in sorted(found))


def example(value: Any) -> str | None:
    """A value as short text for people; None for null, empty and structured values."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _EXAMPLE else f"{text[: _EXAMPLE - 1]}…"


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else name


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "json" if isinstance(value, (dict, list)) else "string"
