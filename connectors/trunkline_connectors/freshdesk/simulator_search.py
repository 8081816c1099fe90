"""Freshdesk's filter queries: `field:value`, `:>` and `:<` for times, AND, OR and parentheses."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.freshdesk.simulator_desk import stamp
from trunkline_connectors.freshdesk.simulator_errors import invalid

PAGE = 30
PAGES = 10
MAX_QUERY = 512
_TOKEN = re.compile(r"\s*(\(|\)|AND\b|OR\b|([a-z_]+):([<>]?)('[^']*'|[^\s()]+))")
Test = Callable[[SimulatedObject], bool]


def matcher(query: str) -> Test:
    """Raises 400 for what is no query; it stands in double quotes."""
    if len(query) < 2 or query[0] != '"' or query[-1] != '"' or len(query) > MAX_QUERY:
        invalid("query", "The query must be in double quotes and have at most 512 characters")
    tokens = list(_tokens(query[1:-1]))
    test, rest = _either(tokens)
    if rest:
        invalid("query", f"The query cannot be understood from {rest[0][0][:50]!r} on")
    return test


def _tokens(text: str) -> Iterator[tuple[str, ...]]:
    position = 0
    text = text.strip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            invalid("query", f"The query cannot be understood at {text[position : position + 30]!r}")
        yield found.groups(default="")
        position = found.end()


def _either(tokens: list[tuple[str, ...]]) -> tuple[Test, list[tuple[str, ...]]]:
    test, rest = _every(tokens)
    while rest and rest[0][0] == "OR":
        other, rest = _every(rest[1:])
        test = _any_of(test, other)
    return test, rest


def _every(tokens: list[tuple[str, ...]]) -> tuple[Test, list[tuple[str, ...]]]:
    test, rest = _one(tokens)
    while rest and rest[0][0] == "AND":
        other, rest = _one(rest[1:])
        test = _all_of(test, other)
    return test, rest


def _one(tokens: list[tuple[str, ...]]) -> tuple[Test, list[tuple[str, ...]]]:
    if not tokens:
        invalid("query", "The query ends too early")
    text, name, operator, value = tokens[0]
    if text == "(":
        test, rest = _either(tokens[1:])
        if not rest or rest[0][0] != ")":
            invalid("query", "A parenthesis is not closed")
        return test, rest[1:]
    if not name:
        invalid("query", f"{text[:50]!r} is not expected here")
    return _term(name, operator, value.strip("'")), tokens[1:]


def _any_of(left: Test, right: Test) -> Test:
    return lambda item: left(item) or right(item)


def _all_of(left: Test, right: Test) -> Test:
    return lambda item: left(item) and right(item)


def _term(name: str, operator: str, value: str) -> Test:
    if name in {"created_at", "updated_at"}:
        created = name == "created_at"
        compare = {">": str.__gt__, "<": str.__lt__, "": str.__eq__}[operator]
        return lambda item: bool(
            compare(stamp(item.created_at if created else item.updated_at)[:10], value[:10])
        )

    def test(item: SimulatedObject) -> bool:
        held: Any = item.values.get(name, (item.values.get("custom_fields") or {}).get(name))
        held = item.values.get("tags") if name == "tag" else held
        if value == "null":
            return held is None
        if isinstance(held, list):
            return value in held
        text = str(held).lower() if isinstance(held, bool) else str(held)
        return held is not None and text.casefold() == value.casefold()

    return test
