"""What can be wrong with a list page that HTTP calls a success; each is played upon the true page.

For providers whose pages are a list of documents and a cursor for the next. The order of ids must ascend.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply

Document = dict[str, Any]
OLDER = timedelta(days=1)


class Page(msgspec.Struct, frozen=True):
    items: list[Document]
    next: str | None
    """None on the last page."""


def played(
    fault: str,
    page: Page,
    cursor: str,
    read: Callable[[str], Page],
    *,
    older: Callable[[Document], Document],
    refused: Reply,
    before: Callable[[str], str] | None = None,
) -> Page:
    """`page`: the true one at `cursor`, where the empty string is the beginning; `read`: any other page of
    the list; `before`: the cursor of the page before one, where it can be told; `refused`: the answer to a
    cursor that is no longer valid. A fault that does not fit the page leaves it as it is.
    """
    if fault == "empty" and page.next:
        return Page([], cursor) if cursor else page
    if fault == "void":
        return Page([], None)
    if fault == "cursor" and cursor:
        raise RefusedError(refused)
    if fault == "loop" and page.next and cursor:
        return Page(page.items, cursor)
    if fault == "twice":
        return Page([form for item in page.items for form in (item, older(item))], page.next)
    if fault == "stale":
        return Page([older(item) for item in page.items], page.next)
    if fault == "overlap" and cursor and before is not None:
        return Page([*read(before(cursor)).items[-10:], *page.items], page.next)
    if fault == "big" and page.next:
        second = read(page.next)
        return Page([*page.items, *second.items], second.next)
    return page


def aged(item: Document, times: Mapping[str, Callable[[datetime], object]], text: str) -> Document:
    """The document as it might have been a day before: `times` says how each of its times is written, and
    `text` names a member that people change.
    """
    made = dict(item)
    for name, write in times.items():
        value = made.get(name)
        if isinstance(value, str) and value:
            moment = datetime.fromisoformat(value)
            made[name] = write(moment - OLDER)
    if text in made:
        made[text] = "An older form"
    return made
