"""Zendesk's search, as far as connectors use it: keywords with : < > and free words."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk.simulator_desk import Body, Desk, stamp
from trunkline_connectors.zendesk.simulator_errors import invalid, too_many_results
from trunkline_connectors.zendesk.simulator_schema import ORGANIZATIONS, SINGULAR, TICKETS, USERS

SEARCH_LIMIT = 1000
"""Results that `/search` gives at most."""
_TERM = re.compile(r'([a-z_]+)(:|>=|<=|>|<)("[^"]*"|\S+)|"([^"]*)"|(\S+)')
_TIMES = {
    "updated": "updated_at",
    "created": "created_at",
    "updated_at": "updated_at",
    "created_at": "created_at",
}
_KINDS = {singular: kind for kind, singular in SINGULAR.items()}


def matching(desk: Desk, account: str, query: str, only: str = "") -> list[tuple[str, SimulatedObject]]:
    """(type, object) of everything that fits all terms; `only`: one type, whatever the query says."""
    tests: list[Callable[[str, SimulatedObject], bool]] = []
    kinds = [TICKETS, USERS, ORGANIZATIONS]
    for name, operator, value, quoted, word in _TERM.findall(query):
        text = (value or quoted or word).strip('"')
        if name == "type":
            if text not in _KINDS:
                invalid(f"type:{text[:50]} is not a type that can be searched")
            kinds = [_KINDS[text]]
        else:
            tests.append(_test(name, operator, text))
    if only:
        kinds = [_KINDS[only]] if only in _KINDS else []
    return [
        (kind, item)
        for kind in kinds
        for item in desk.live(account, kind)
        if all(test(kind, item) for test in tests)
    ]


def page(
    found: list[tuple[str, SimulatedObject]], number: int, size: int
) -> list[tuple[str, SimulatedObject]]:
    """Raises 422 beyond what search gives."""
    end = number * size
    if end > SEARCH_LIMIT and end - size >= SEARCH_LIMIT:
        too_many_results()
    return found[end - size : min(end, SEARCH_LIMIT)]


def result(desk: Desk, account: str, kind: str, item: SimulatedObject) -> Body:
    return {**desk.render(account, kind, item), "result_type": SINGULAR[kind]}


def _test(name: str, operator: str, text: str) -> Callable[[str, SimulatedObject], bool]:
    if name in _TIMES:
        moment = _moment(text)
        created = _TIMES[name] == "created_at"
        return lambda _, item: _holds(
            operator, stamp(item.created_at if created else item.updated_at), moment
        )
    if name:
        field = {"tags": "tags", "status": "status"}.get(name, name)
        wanted = text.casefold()
        return lambda _, item: wanted in _texts(item.values.get(field))
    needle = text.casefold()
    fields = ("subject", "description", "name", "email", "notes", "external_id")
    return lambda _, item: any(needle in held for field in fields for held in _texts(item.values.get(field)))


def _texts(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(item).casefold() for item in value]
    return [] if value is None else [str(value).casefold()]


def _holds(operator: str, left: str, right: str) -> bool:
    return {
        ":": left.startswith(right[:10]),
        ">": left > right,
        ">=": left >= right,
        "<": left < right,
        "<=": left <= right,
    }[operator]


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        invalid(f"{text[:50]} is not a date")
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
