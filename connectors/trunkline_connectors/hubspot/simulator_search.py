"""HubSpot's CRM search: filters, order and its limits."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from trunkline.sdk.simulator_clock import iso
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator_errors import invalid
from trunkline_connectors.hubspot.simulator_schema import MODIFIED, PROPERTIES, PropertyDef

SEARCH_LIMIT = 200
SEARCH_CAP = 10_000
"""after + limit may not go beyond (background knowledge, see provider-facts)."""
MAX_GROUPS = 6
MAX_FILTERS = 18
"""Over all groups."""

Operator = Literal[
    "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
]  # fmt: skip
Comparable = Decimal | int | str
Scalar = str | int | float | bool | None
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Filter(msgspec.Struct, rename="camel"):
    property_name: str
    operator: Operator
    value: Scalar = None
    high_value: Scalar = None
    values: list[Scalar] | None = None


class FilterGroup(msgspec.Struct):
    filters: list[Filter]


class Sort(msgspec.Struct, rename="camel"):
    property_name: str
    direction: Literal["ASCENDING", "DESCENDING"] = "ASCENDING"


class SearchBody(msgspec.Struct, rename="camel"):
    filter_groups: list[FilterGroup] = []
    sorts: list[str | Sort] = []
    query: str | None = None
    limit: int = 10
    after: str | int | None = None
    properties: list[str] | None = None


def value_of(kind: str, item: SimulatedObject, name: str) -> str | None:
    """A property's value; the system ones come from the object itself."""
    if name == "hs_object_id":
        return item.id
    if name == "createdate":
        return iso(item.created_at)
    if name == MODIFIED[kind]:
        return iso(item.updated_at)
    return item.values.get(name)


def start_of(body: SearchBody) -> int:
    """Checked offset of the page; raises 400."""
    if not 1 <= body.limit <= SEARCH_LIMIT:
        invalid(f"limit must be between 1 and {SEARCH_LIMIT}", "INVALID_LIMIT", "limit")
    after = "0" if body.after in {None, ""} else str(body.after)
    if not re.fullmatch(r"[0-9]{1,18}", after):
        invalid("after must be a number", "INVALID_AFTER", "after")
    if int(after) + body.limit > SEARCH_CAP:
        invalid(f"Paging beyond {SEARCH_CAP} results is not possible", "PAGING_LIMIT", "after")
    return int(after)


def matcher(kind: str, body: SearchBody) -> Callable[[SimulatedObject], bool]:
    """A predicate of all groups (OR) of all their filters (AND) and the query; raises 400."""
    if len(body.filter_groups) > MAX_GROUPS:
        invalid(f"At most {MAX_GROUPS} filterGroups are allowed", "TOO_MANY_GROUPS", "filterGroups")
    if sum(len(group.filters) for group in body.filter_groups) > MAX_FILTERS:
        invalid(f"At most {MAX_FILTERS} filters are allowed", "TOO_MANY_FILTERS", "filterGroups")
    groups = [[_predicate(kind, item) for item in group.filters] for group in body.filter_groups]
    needle = (body.query or "").casefold().strip()
    searchable = [d.name for d in PROPERTIES[kind].values() if d.searchable]

    def match(item: SimulatedObject) -> bool:
        if groups and not any(all(test(item) for test in group) for group in groups):
            return False
        return not needle or any(
            needle in (value_of(kind, item, name) or "").casefold() for name in searchable
        )

    return match


def order(kind: str, sorts: list[str | Sort]) -> tuple[Callable[[SimulatedObject], object], bool]:
    """Sort key and whether descending; without sorts, by id (oldest first). Nulls come first."""
    if len(sorts) > 1:
        invalid("Only one sort is allowed", "TOO_MANY_SORTS", "sorts")
    if not sorts:
        return (lambda item: int(item.id)), False
    given = sorts[0]
    if isinstance(given, str):
        given = Sort(given.removeprefix("-"), "DESCENDING" if given.startswith("-") else "ASCENDING")
    definition = _definition(kind, given.property_name, "sorts")

    read = _reader(kind, definition)

    def key(item: SimulatedObject) -> tuple[int, object, int]:
        value = read(item)
        if value is None:
            return (0, 0, int(item.id))
        # Two ranks: a number field may hold text, and the two do not compare.
        return (2 if isinstance(value, str) else 1, value, int(item.id))

    return key, given.direction == "DESCENDING"


def comparable(definition: PropertyDef, value: Scalar) -> Comparable | None:
    """Numbers as Decimal, times as int (ms since 1970), everything else case-folded text."""
    if value is None or value == "":
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if definition.type == "number":
        return _decimal(text) if _decimal(text) is not None else text
    if definition.type in {"datetime", "date"}:
        return _moment(text) if _moment(text) is not None else text
    return text.casefold()


def _definition(kind: str, name: str, field: str) -> PropertyDef:
    definition = PROPERTIES[kind].get(name)
    if definition is None:
        invalid(f"There is no property {name[:100]!r} on this object type", "PROPERTY_DOESNT_EXIST", field)
    return definition


def _reader(kind: str, definition: PropertyDef) -> Callable[[SimulatedObject], Comparable | None]:
    """The two system times skip the way over text: a search over 5,000 records would wait for it."""
    if definition.name == MODIFIED[kind]:
        return lambda item: _milliseconds(item.updated_at)
    if definition.name == "createdate":
        return lambda item: _milliseconds(item.created_at)
    return lambda item: comparable(definition, value_of(kind, item, definition.name))


def _predicate(kind: str, given: Filter) -> Callable[[SimulatedObject], bool]:
    definition = _definition(kind, given.property_name, "filterGroups")
    operator = given.operator
    name = definition.name

    read = _reader(kind, definition)

    if operator == "HAS_PROPERTY":
        return lambda item: read(item) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda item: read(item) is None
    if operator in {"IN", "NOT_IN"}:
        if not given.values:
            invalid(f"values is required for {operator}", "MISSING_VALUES", "values")
        wanted = {comparable(definition, value) for value in given.values}
        if operator == "IN":
            return lambda item: read(item) in wanted
        return lambda item: (value := read(item)) is not None and value not in wanted
    first = comparable(definition, given.value)
    if first is None:
        invalid(f"value is required for {operator}", "MISSING_VALUE", "value")
    if operator in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        if str(given.value).count("*") > 3:
            invalid("At most three wildcards are allowed", "TOO_MANY_WILDCARDS", "value")
        pattern = ".*".join(re.escape(part) for part in str(given.value).casefold().split("*"))
        token = re.compile(rf"(?<!\w){pattern}(?!\w)", re.DOTALL)
        wants = operator == "CONTAINS_TOKEN"
        return lambda item: (token.search((value_of(kind, item, name) or "").casefold()) is not None) == wants
    if operator == "BETWEEN":
        high = comparable(definition, given.high_value)
        if high is None:
            invalid("highValue is required for BETWEEN", "MISSING_HIGH_VALUE", "highValue")
        low_test, high_test = _COMPARISONS["GTE"], _COMPARISONS["LTE"]
        return lambda item: _compare(read(item), first, low_test) and _compare(read(item), high, high_test)
    if operator == "NEQ":
        return lambda item: read(item) != first
    return lambda item: _compare(read(item), first, _COMPARISONS[operator])


_COMPARISONS: Mapping[str, Callable[[int], bool]] = {
    "EQ": lambda sign: sign == 0,
    "LT": lambda sign: sign < 0,
    "LTE": lambda sign: sign <= 0,
    "GT": lambda sign: sign > 0,
    "GTE": lambda sign: sign >= 0,
}


def _compare(left: Comparable | None, right: Comparable, holds: Callable[[int], bool]) -> bool:
    """False where the two sides are of different kinds, or there is no value."""
    if isinstance(left, str) and isinstance(right, str):
        return holds((left > right) - (left < right))
    if left is None or isinstance(left, str) or isinstance(right, str):
        return False
    return holds((left > right) - (left < right))


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(text: str) -> int | None:
    if re.fullmatch(r"-?[0-9]{1,16}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
