"""Which page comes next: from an answer to the next page's cursor, and from a cursor to a template's values.

A cursor is text, kept in checkpoints, whatever the paginator: the provider's own cursor, an offset, a page's
number, an id, or the path and query of an address.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trunkline.sdk.pointers import point
from trunkline.sdk.streams import Cursor, LastId, Link, Locator, Numbered, Offset, Paginator, Read

LONGEST = 8192
"""Characters of a cursor; addresses with one are the longest."""


class NoPageError(ValueError):
    """What says where to go on cannot be used."""


class Turn(msgspec.Struct, frozen=True):
    """`next`: None on the last page. `mark`: the provider's cursor, also of the last page."""

    next: str | None
    mark: str | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, as paginators look at it."""

    body: Any
    headers: Mapping[str, str]
    entries: Sequence[Any]
    here: str | None
    """The cursor that it was asked for by."""
    stay: Callable[[str], str | None]
    """Path and query of an address on the connection's own host; None for any other."""


def position(paginator: Paginator, cursor: str | None) -> dict[str, Any]:
    """For the read's templates. A link's cursor is an address, and takes the place of path and query."""
    if isinstance(paginator, Offset):
        return {"offset": int(cursor or 0)}
    if isinstance(paginator, Numbered):
        return {"page": int(cursor or paginator.first)}
    return {} if isinstance(paginator, Link) else {"cursor": cursor}


def turn(read: Read, seen: Seen) -> Turn:
    """Raises NoPageError."""
    found = _turn(read, seen)
    for text in (found.next, found.mark):
        if text is not None and (len(text) > LONGEST or not text.isprintable()):
            raise NoPageError("a cursor is too long or no text")
    return found


def ends_blank(read: Read) -> bool:
    """Whether a page without entries is a natural end: nothing else tells that there is none after it."""
    by = read.paginator
    if isinstance(by, Offset):
        return by.more is None and by.next is None and read.total is None
    if isinstance(by, Numbered):
        return by.more is None and by.pages is None
    return isinstance(by, Cursor) and by.scroll


def may_repeat(read: Read) -> bool:
    """Whether one cursor leads from page to page."""
    return isinstance(read.paginator, Cursor) and read.paginator.scroll


def _turn(read: Read, seen: Seen) -> Turn:
    by = read.paginator
    if isinstance(by, Cursor):
        cursor = _cursor(point(seen.body, by.next))
        ends = _ends(by, seen.body) or (by.scroll and not seen.entries)
        return Turn(None if ends else cursor, cursor)
    if isinstance(by, Link):
        found = linked(seen.headers.get("link")) if by.next is None else point(seen.body, by.next)
        if found in (None, "") or _ends(by, seen.body):
            return Turn(None)
        address = seen.stay(found) if isinstance(found, str) else None
        if address is None:
            raise NoPageError("the next page is said to be at an address that is not this provider's")
        return Turn(address)
    if isinstance(by, Offset):
        return Turn(_offset(by, read, seen))
    if isinstance(by, Numbered):
        return Turn(_numbered(by, read, seen))
    if isinstance(by, LastId):
        more = bool(seen.entries) if by.more is None else point(seen.body, by.more) is True
        if not more or not seen.entries:
            return Turn(None)
        last = _cursor(point(seen.entries[-1], by.id))
        if last is None:
            raise NoPageError("the last entry has no id to go on from")
        return Turn(last)
    if isinstance(by, Locator):
        found = seen.headers.get(by.header, "").strip()
        return Turn(None if found in {"", "null"} else found)
    return Turn(None)


def _ends(by: Cursor | Link, body: Any) -> bool:
    return (by.more is not None and point(body, by.more) is False) or (
        by.end is not None and point(body, by.end) is True
    )


def _cursor(found: Any) -> str | None:
    if found in (None, ""):
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise NoPageError("the next page's cursor is neither text nor a number")
    return str(found)


def _offset(by: Offset, read: Read, seen: Seen) -> str | None:
    if by.more is not None and point(seen.body, by.more) is not True:
        return None
    if by.next is not None:
        return _cursor(point(seen.body, by.next))
    reached = int(seen.here or 0) + len(seen.entries)
    total = _count(seen.body, read.total)
    if by.more is None and (len(seen.entries) < read.page_size if total is None else reached >= total):
        return None
    return str(reached)


def _numbered(by: Numbered, read: Read, seen: Seen) -> str | None:
    number = int(seen.here or by.first)
    pages = _count(seen.body, by.pages)
    if by.more is not None:
        last = point(seen.body, by.more) is not True
    elif pages is not None:
        last = number - by.first + 1 >= pages
    else:
        last = len(seen.entries) < read.page_size
    return None if last else str(number + 1)


def _count(body: Any, pointer: str | None) -> int | None:
    found = None if pointer is None else point(body, pointer)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def linked(header: str | None, relation: str = "next") -> str | None:
    """The target of that relation in a Link header (RFC 8288, 3); None without one."""
    rest = (header or "")[:LONGEST]
    while "<" in rest:
        target, _, rest = rest.partition("<")[2].partition(">")
        parameters, rest = _parameters(rest)
        if relation in parameters.get("rel", "").lower().split():
            return target.strip()
    return None


def _parameters(text: str) -> tuple[dict[str, str], str]:
    """Of one link, the first of a name counts; and what comes after its comma."""
    made: dict[str, str] = {}
    name, value, quoted, in_value, at = "", "", False, False, 0
    for at, sign in enumerate(text):
        if quoted:
            quoted = sign != '"'
            value += "" if sign == '"' else sign
        elif sign == '"' and in_value:
            quoted = True
        elif sign in ";,":
            made.setdefault(name.strip().lower(), value.strip())
            name, value, in_value = "", "", False
            if sign == ",":
                return made, text[at + 1 :]
        elif sign == "=" and not in_value:
            in_value = True
        elif in_value:
            value += sign
        else:
            name += sign
    made.setdefault(name.strip().lower(), value.strip())
    return made, ""
