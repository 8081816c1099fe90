"""Stripe's search language: `field:'value'`, `field>10`, `metadata['key']:'value'`, with AND or with OR."""

import re
from collections.abc import Callable
from typing import Any

from trunkline_connectors.stripe.simulator_errors import invalid

Doc = dict[str, Any]
Test = Callable[[Doc], bool]
_CLAUSE = re.compile(
    r"""\s*(-)?([a-z_]+)(?:\[(['"])([^'"\]]{1,40})\3\])?\s*(:|~|<=|>=|<|>)\s*"""
    r"""(?:(['"])((?:\\.|(?!\6).)*)\6|(-?[0-9]+|null|true|false))\s*"""
)
_JOIN = re.compile(r"(AND|OR)\b", re.IGNORECASE)
MAX_CLAUSES = 10


def compiled(query: str, fields: tuple[str, ...]) -> Test:
    """Raises 400. AND and OR cannot be mixed."""
    tests: list[Test] = []
    joins: set[str] = set()
    at = 0
    while True:
        found = _CLAUSE.match(query, at)
        if found is None:
            invalid("We were unable to parse your search query.", "query")
        tests.append(_test(found, fields))
        at = found.end()
        if at == len(query):
            break
        join = _JOIN.match(query, at)
        if join is None:
            invalid("We were unable to parse your search query.", "query")
        joins.add(join[1].upper())
        at = join.end()
    if len(tests) > MAX_CLAUSES or len(joins) > 1:
        invalid("A query has at most ten clauses, and AND and OR cannot be mixed.", "query")
    hold = any if joins == {"OR"} else all
    return lambda document: hold(test(document) for test in tests)


def _test(found: re.Match[str], fields: tuple[str, ...]) -> Test:
    negated, name, _, key, operator, _, text, bare = found.groups()
    if name not in fields or (name == "metadata") != (key is not None):
        invalid(f"Field `{name[:50]}` is an unsupported search field for this resource.", "query")
    wanted = re.sub(r"\\(.)", r"\1", text) if text is not None else bare

    def value(document: Doc) -> Any:
        return document["metadata"].get(key) if name == "metadata" else document.get(name)

    def holds(document: Doc) -> bool:
        held = value(document)
        if bare == "null":
            return held is None
        if held is None:
            return False
        if operator == "~":
            return len(wanted) >= 3 and wanted.casefold() in str(held).casefold()
        if isinstance(held, bool):
            return wanted == ("true" if held else "false")
        if isinstance(held, int):
            return re.fullmatch(r"-?[0-9]{1,18}", wanted) is not None and _compare(
                held, operator, int(wanted)
            )
        return operator == ":" and str(held).casefold() == wanted.casefold()

    return lambda document: holds(document) != bool(negated)


def _compare(held: int, operator: str, wanted: int) -> bool:
    if operator == ":":
        return held == wanted
    if operator.startswith(">"):
        return held > wanted or (operator == ">=" and held == wanted)
    return held < wanted or (operator == "<=" and held == wanted)
