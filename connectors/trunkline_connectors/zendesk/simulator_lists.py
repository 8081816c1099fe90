"""How the simulated Zendesk pages: by cursor, by offset, and through its exports."""

from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlencode

from trunkline.sdk.simulator_gate import PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline.sdk.simulator_trouble import Document, Page, aged, played
from trunkline_connectors.zendesk.simulator_desk import Body, Desk, cursor_of, generated, parts_of, stamp
from trunkline_connectors.zendesk.simulator_errors import error, invalid

Render = Callable[[SimulatedObject], Body]
MAX_PAGE = 100
OFFSET_PAGES = 100
"""An offset page after this one is refused."""


def older(item: Document) -> Document:
    def written(moment: datetime) -> str:
        return stamp(moment)

    return aged(item, {"updated_at": written}, "subject" if "subject" in item else "name")


def listed(
    request: AnyRequest, origin: str, key: str, items: Sequence[SimulatedObject], render: Render
) -> Body:
    """A page of a whole list: by cursor where `page[size]` is given, else by offset."""
    query = {name: str(value) for name, value in request.query_params.items()}
    path = f"{origin}{request.scope['path']}"
    if "page[size]" in query or "page[after]" in query:
        return _by_cursor(request, query, path, key, items, render)
    number, size = whole(query.get("page", "1"), "page"), whole(query.get("per_page", "100"), "per_page")
    if number > OFFSET_PAGES:
        invalid("Number of page exceeds the limit of 100. Use cursor pagination instead.")
    if not (1 <= size <= MAX_PAGE and number):
        invalid("page and per_page must be between 1 and 100")
    end = number * size

    def at(page: int) -> str:
        return f"{path}?{urlencode({**query, 'page': page})}"

    return {
        key: [render(item) for item in items[end - size : end]],
        "next_page": at(number + 1) if end < len(items) else None,
        "previous_page": at(number - 1) if number > 1 else None,
        "count": len(items),
    }


def _by_cursor(
    request: AnyRequest,
    query: dict[str, str],
    path: str,
    key: str,
    items: Sequence[SimulatedObject],
    render: Render,
) -> Body:
    size = whole(query.get("page[size]", "100"), "page[size]")
    if not 1 <= size <= MAX_PAGE:
        invalid("page[size] must be between 1 and 100")

    def read(cursor: str) -> Page:
        start = int(parts_of(cursor, 1)[0]) if cursor else 0
        found = [item for item in items if int(item.id) > start]
        more = cursor_of(found[size - 1].id) if len(found) > size else None
        return Page([render(item) for item in found[:size]], more)

    cursor = query.get("page[after]", "")
    page = read(cursor)
    last = cursor_of(page.items[-1]["id"]) if page.items else None
    fault = request.scope.get(PAGE_FAULT)
    if fault:
        refused = error(400, "InvalidPaginationParameter", "page[after] is not valid")
        page = played(str(fault), page, cursor, read, older=older, refused=refused)
    after = page.next or last
    following = {**query, "page[after]": page.next} if page.next else None
    return {
        key: page.items,
        "meta": {
            "has_more": page.next is not None,
            "after_cursor": after,
            "before_cursor": cursor_of(page.items[0]["id"]) if page.items else None,
        },
        "links": {"prev": None, "next": f"{path}?{urlencode(following)}" if following else None},
    }


def export_by_cursor(request: AnyRequest, desk: Desk, account: str, kind: str, origin: str) -> Body:
    """`start_time` begins, `cursor` goes on. An empty page gives no cursor back."""
    query = {name: str(value) for name, value in request.query_params.items()}
    size = whole(query.get("per_page", "1000"), "per_page")
    since = 0
    cursor = query.get("cursor", "")
    if not cursor:
        since = whole(query.get("start_time", ""), "start_time")
        desk.check_start(since)

    def read(at: str) -> Page:
        after = None
        if at:
            moment, _, number, _ = parts_of(at, 4)
            after = (int(moment.removesuffix(".0")), int(number))
        found, last = desk.exported(account, kind, since, after, size)
        end = cursor_of(f"{generated(found[-1])}.0", "", found[-1].id, "") if found else None
        ended[end] = last
        return Page([desk.render(account, kind, item) for item in found], end)

    ended: dict[str | None, bool] = {}
    page = read(cursor)
    last = ended[page.next]
    fault = request.scope.get(PAGE_FAULT)
    if fault:
        refused = error(400, "InvalidValue", "Invalid cursor")
        page = played(str(fault), page, cursor, read, older=older, refused=refused)
        last = True if fault == "void" else last
    path = f"{origin}/api/v2/incremental/{kind}/cursor.json"
    return {
        kind: page.items,
        "after_url": f"{path}?{urlencode({'cursor': page.next})}" if page.next else None,
        "after_cursor": page.next,
        "before_url": None,
        "before_cursor": None,
        "end_of_stream": last,
    }


def export_by_time(
    request: AnyRequest, desk: Desk, account: str, kind: str, origin: str, *, name: str = "", render: Render
) -> Body:
    """Pages overlap: the next begins with the second that this one ended in. `name`: of the export, where it
    is not the kind's.
    """
    name = name or kind
    query = {key: str(value) for key, value in request.query_params.items()}
    size = whole(query.get("per_page", "1000"), "per_page")
    since = whole(query.get("start_time", ""), "start_time")
    desk.check_start(since)
    found, last = desk.exported(account, kind, since, None, size)
    if not last and generated(found[-1]) == since:
        # Everything of this second: the next page could not get beyond it otherwise.
        found, last = desk.exported(account, kind, since, None, 1000)
    end = generated(found[-1]) if found else None
    path = f"{origin}/api/v2/incremental/{name}.json"
    kept = {key: value for key, value in query.items() if key in {"per_page", "include"}}
    return {
        name: [render(item) for item in found],
        "next_page": None if end is None else f"{path}?{urlencode({'start_time': end, **kept})}",
        "count": len(found),
        "end_of_stream": last,
        "end_time": end,
    }


def whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        invalid(f"{name} must be a whole number")
    return int(text)
