"""What can be wrong with a list page that HTTP calls a success. Each is played upon the true page."""

from collections.abc import Callable
from datetime import datetime, timedelta

from trunkline.sdk.simulator_clock import iso
from trunkline_connectors.hubspot.simulator_crm import LIST_LIMIT, Body
from trunkline_connectors.hubspot.simulator_errors import refuse

_NAMES = ("jobtitle", "name", "dealname", "subject")
_TIMES = ("lastmodifieddate", "hs_lastmodifieddate")
OLDER = timedelta(days=1)
REPEATED = 10
"""Records of the page before that an overlapping page gives again."""


def played(fault: str, body: Body, after: str, read: Callable[[str], Body] | None) -> Body:
    """`body`: the true page after the cursor `after`; `read`: another page of the same list, where there is
    a list to read (a search has none). Raises the refusal of a cursor.
    """
    results = body["results"]
    if fault == "empty":
        # no results, but a next page at the same place under another cursor: nothing is lost by going on
        return {**body, "results": [], "paging": {"next": {"after": f"0{after or '0'}"[-18:]}}}
    if fault == "void":
        return {**{key: value for key, value in body.items() if key != "paging"}, "results": []}
    if fault == "cursor" and after:
        refuse(410, "EXPIRED_CURSOR", "The cursor is no longer valid")
    if fault == "loop" and "paging" in body:
        return {**body, "paging": {"next": {"after": "1"}}}
    if fault == "twice":
        return {**body, "results": [form for item in results for form in (item, older(item))]}
    if fault == "stale":
        return {**body, "results": [older(item) for item in results]}
    if read is None:
        return body
    if fault == "overlap" and after:
        before = read(str(max(0, int(after) - REPEATED)))["results"]
        return {**body, "results": [*(item for item in before if int(item["id"]) <= int(after)), *results]}
    if fault == "resorted" and after:
        return _resorted(after, read)
    if fault == "big" and "paging" in body:
        second = read(body["paging"]["next"]["after"])
        return {**second, "results": [*results, *second["results"]]}
    return body


def older(item: Body) -> Body:
    """As it might have been a day before its last change."""
    values = dict(item["properties"])
    for name in _TIMES:
        if values.get(name):
            values[name] = iso(datetime.fromisoformat(values[name]) - OLDER)
    for name in _NAMES:
        if name in values:
            values[name] = "An older form"
    return {**item, "properties": values}


def _resorted(after: str, read: Callable[[str], Body]) -> Body:
    """The list turned to descending order: what comes after the cursor is what was already given."""
    start = max(0, int(after) - 10 * LIST_LIMIT)
    earlier = [item for item in read(str(start))["results"] if int(item["id"]) < int(after)]
    return {"results": earlier[::-1]}
