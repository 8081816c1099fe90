"""What can be wrong with a list page that HTTP calls a success. Each is played upon the true page."""

from collections.abc import Callable
from typing import Any

from trunkline_connectors.stripe.simulator_errors import refuse

Doc = dict[str, Any]
_NAMES = ("name", "description", "nickname")


def played(fault: str, body: Doc, query: Doc, read: Callable[[Doc], Doc]) -> Doc:
    """`body`: the true page of `query`; `read`: another page of the same list."""
    data = body["data"]
    after = query.get("starting_after")
    if fault == "void":
        return {**body, "data": [], "has_more": False}
    if fault == "cursor" and after:
        refuse(400, f"No such object: '{str(after)[:100]}'", code="resource_missing", param="starting_after")
    if fault == "loop" and body["has_more"] and after:
        return {**read({**query, "starting_after": ""}), "has_more": True}
    if fault == "twice":
        return {**body, "data": [form for item in data for form in (item, older(item))]}
    if fault == "stale":
        return {**body, "data": [older(item) for item in data]}
    if fault == "big" and body["has_more"]:
        second = read({**query, "starting_after": data[-1]["id"]})
        return {**second, "data": [*data, *second["data"]]}
    return body


def older(item: Doc) -> Doc:
    """As it might have been before its last change; an event's are of its object."""
    if item.get("object") == "event":
        return {
            **item,
            "created": item["created"] - 86_400,
            "data": {"object": older(item["data"]["object"])},
        }
    return {**item, **{name: "An older form" for name in _NAMES if item.get(name)}}
