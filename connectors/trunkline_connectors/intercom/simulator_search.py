"""Intercom's search: nested filters, its limits, and days instead of moments for contacts."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from trunkline_connectors.intercom.simulator_errors import invalid
from trunkline_connectors.intercom.simulator_schema import CONTACTS, CONVERSATIONS, TICKETS

Doc = dict[str, Any]
Test = Callable[[Doc], bool]
MAX_DEPTH, MAX_FILTERS = 2, 15
LARGEST = 2e11
"""No moment that a calendar holds has as many seconds."""
_TIMES = frozenset({"created_at", "updated_at", "last_seen_at", "signed_up_at", "waiting_since"})
_OPERATORS = frozenset({"=", "!=", "IN", "NIN", "<", ">", "~", "!~", "^", "$"})
FIELDS = {
    CONTACTS: {
        "id", "role", "name", "email", "email_domain", "phone", "external_id", "owner_id", "created_at",
        "updated_at", "signed_up_at", "last_seen_at", "unsubscribed_from_emails",
    },
    CONVERSATIONS: {
        "id", "created_at", "updated_at", "state", "open", "read", "priority", "admin_assignee_id",
        "source.body", "source.subject", "waiting_since", "title",
    },
    TICKETS: {
        "id", "created_at", "updated_at", "open", "category", "ticket_type_id", "admin_assignee_id", "state",
        "title", "ticket_attribute",
    },
}  # fmt: skip


def compiled(kind: str, query: Any, zone: str) -> Test:
    """Raises 400. A contact's times match by whole days of the workspace's own time zone."""
    return _group(kind, query, ZoneInfo(zone), 0)


def _group(kind: str, query: Any, zone: ZoneInfo, depth: int) -> Test:
    if not isinstance(query, dict) or "operator" not in query:
        invalid("query must be an object with field, operator and value", "query")
    if query["operator"] not in {"AND", "OR"}:
        return _filter(kind, query, zone)
    parts = query.get("value")
    if not isinstance(parts, list) or not parts:
        invalid("value must be a list of filters", "value")
    if depth >= MAX_DEPTH:
        invalid(f"Queries can be nested {MAX_DEPTH} levels deep at most", "query")
    if len(parts) > MAX_FILTERS:
        invalid(f"A group has {MAX_FILTERS} filters at most", "query")
    tests = [_group(kind, part, zone, depth + 1) for part in parts]
    hold = all if query["operator"] == "AND" else any
    return lambda document: hold(test(document) for test in tests)


def _filter(kind: str, given: Doc, zone: ZoneInfo) -> Test:
    name, operator, wanted = str(given.get("field")), str(given["operator"]), given.get("value")
    if name not in FIELDS[kind] and not name.startswith("custom_attributes."):
        invalid(f"Field {name[:100]!r} is not searchable", "field")
    if operator not in _OPERATORS:
        invalid(f"Operator {operator[:20]!r} is not known", "operator")
    if operator in {"IN", "NIN"}:
        if not isinstance(wanted, list):
            invalid("value must be a list", "value")
        texts = {_text(item) for item in wanted}
        return lambda document: (_text(value_of(document, name)) in texts) == (operator == "IN")
    if name in _TIMES:
        return _time(kind, name, operator, wanted, zone)
    if operator in {"<", ">"}:
        bound = _number(wanted)
        return lambda document: _ordered(value_of(document, name), bound, operator)
    return lambda document: _matches(value_of(document, name), operator, wanted)


def _time(kind: str, name: str, operator: str, wanted: Any, zone: ZoneInfo) -> Test:
    moment = _number(wanted)

    def measured(seconds: float) -> float:
        if kind != CONTACTS:
            return seconds
        return datetime.fromtimestamp(seconds, UTC).astimezone(zone).date().toordinal()

    bound = measured(moment)

    def holds(document: Doc) -> bool:
        held = value_of(document, name)
        if held is None:
            return operator == "!="
        place = measured(held)
        return {"<": place < bound, ">": place > bound, "=": place == bound}.get(operator, place != bound)

    return holds


def value_of(document: Doc, name: str) -> Any:
    if name == "state" and "ticket_state" in document:
        return document["ticket_state"]["category"]
    if name == "title" and "ticket_attributes" in document:
        return document["ticket_attributes"]["_default_title_"]
    if name == "ticket_type_id":
        return document["ticket_type"]["id"]
    held: Any = document
    for part in name.split(".", 1):
        held = held.get(part) if isinstance(held, dict) else None
    return held


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).casefold() if not isinstance(value, bool) else str(value).lower()


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = LARGEST
    if not abs(number) < LARGEST:
        invalid("value must be a number of seconds or the like", "value")
    return number


def _ordered(held: Any, bound: float, operator: str) -> bool:
    if not isinstance(held, int | float):
        return False
    return held < bound if operator == "<" else held > bound


def _matches(held: Any, operator: str, wanted: Any) -> bool:
    text, sought = _text(held), _text(wanted)
    if operator in {"=", "!="}:
        return (text == sought) == (operator == "=")
    if operator == "!~":
        return text is None or (sought or "") not in text
    if text is None or sought is None:
        return False
    return {"~": sought in text, "^": text.startswith(sought)}.get(operator, text.endswith(sought))
