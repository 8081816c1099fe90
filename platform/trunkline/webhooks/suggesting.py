"""What a first event suggests of how a customer's own system is to be read. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from trunkline.runs.moments import parse_moment
from trunkline.sdk.own import Reading
from trunkline.sdk.pointers import point

DEPTH: Final = 4
MOST: Final = 200
"""Pointers that are offered."""

_RECORDS = ("data.object", "data", "record", "object", "payload", "resource", "entity")
_KEYS = ("id", "uuid", "guid", "key", "external_id", "externalId", "number", "code", "sku", "email")
_TIMES = (
    *("updated_at", "updatedAt", "modified_at", "modifiedAt", "last_modified", "lastModified", "updated"),
    *("timestamp", "occurred_at", "occurredAt", "created_at", "createdAt", "created", "time", "date"),
)
_TYPES = ("type", "event", "event_type", "eventType", "topic", "action", "kind")
_GONE = ("deleted", "is_deleted", "isDeleted", "removed", "archived")
_GONE_AT = ("deleted_at", "deletedAt")


def pointers(document: Any) -> list[str]:
    """To everything in it, in its own order, lists as a whole."""
    found = []
    for pointer, _ in _walk(document, "", 0):
        found.append(pointer)
        if len(found) == MOST:
            break
    return found


def suggest(document: Any) -> Reading | None:
    """None: nothing in it could be a key."""
    if not isinstance(document, dict):
        return None
    record = next((one for one in _RECORDS if isinstance(point(document, one), dict)), None)
    inside = point(document, record) if record else document
    name = _key_of(inside)
    if name is None:
        record, name = None, _key_of(document)
    if name is None:
        return None
    base = f"{record}." if record else ""
    inside = point(document, record) if record else document
    kind = next((one for one in _TYPES if isinstance(document.get(one), str)), None)
    gone, gone_when = _gone_of(document, inside, base, kind)
    try:
        return msgspec.convert(
            {
                "key": base + name,
                "record": record,
                "at": _time_of(document, inside, base),
                "type": kind,
                "gone": gone,
                "gone_when": gone_when,
            },
            Reading,
        )
    except (msgspec.ValidationError, ValueError):
        return None  # names that no pointer can hold


def _key_of(inside: dict[str, Any]) -> str | None:
    usual = (one for one in _KEYS if _names(inside.get(one)))
    named = (one for one, value in inside.items() if _names(value))
    ends = (one for one in named if one.lower().endswith(("id", "number")))
    return next(usual, None) or next(ends, None)


def _names(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= 200


def _time_of(document: dict[str, Any], inside: dict[str, Any], base: str) -> str | None:
    """The record's own before the event's."""
    for one in _TIMES:
        if parse_moment(inside.get(one)) is not None:
            return base + one
    return next((one for one in _TIMES if parse_moment(document.get(one)) is not None), None)


def _gone_of(
    document: dict[str, Any], inside: dict[str, Any], base: str, kind: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """A flag in the record; else the type that would say so, by the way the others are written."""
    for one in _GONE:
        if isinstance(inside.get(one), bool):
            return base + one, ("true",)
    for one in _GONE_AT:
        if one in inside:
            return base + one, ("*",)
    noun, dot, _ = str(document.get(kind)).rpartition(".") if kind else ("", "", "")
    return (kind, (f"{noun}.deleted",)) if dot else (None, ())


def _walk(value: Any, base: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or depth == DEPTH:
        return
    for name, inner in value.items():
        if "." in name or not name:
            continue
        yield base + name, inner
        yield from _walk(inner, f"{base}{name}.", depth + 1)
