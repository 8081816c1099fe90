"""From a provider's page to records: which there are, which are gone, and where to go on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final

import msgspec

from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import Deletions, Events, Flag, Incremental, Read, StreamSpec, point
from trunkline.sdk.paging import Turn
from trunkline.sdk.pointers import equal, pointing
from trunkline.sdk.streams import Inside

MAX_ID: Final = 512
"""Characters of a record's id: it is part of a Postgres index entry (at most some 2,700 bytes)."""


class MalformedPageError(ValueError):
    """It is not what the manifest says a page is."""


class Item(msgspec.Struct, frozen=True):
    external_id: str
    document: dict[str, Any]
    modified_at: datetime | None
    parent: str | None = None
    """Whose it is, of a stream that is read for each record of another."""
    raw: msgspec.Raw | None = None
    """Its bytes as they came, where the document is nothing else."""
    whole: bool = True
    """Else `document` has only what the manifest points to."""


class Page(msgspec.Struct, frozen=True):
    """A page that was whole. `at`: the provider's own clock, from its Date header; `size`: its bytes."""

    items: list[Item]
    next: str | None
    total: int | None
    at: datetime | None
    gone: list[Item] = []
    """Records that it says are deleted; of a pass over deletions those are the `items`."""
    entries: int | None = None
    """How many it listed, where that is not how many items it has."""
    bookmark: str | None = None
    """Where the next run goes on from, if this is the last page."""
    size: int = 0
    parent: str | None = None
    """Whose records they are, of a stream that is read for each record of another."""
    missing: bool = False
    """The provider does not have that parent."""

    @property
    def count(self) -> int:
        return len(self.items) if self.entries is None else self.entries

    @property
    def blank(self) -> bool:
        return self.count == 0


_EntryReader = Callable[[Any, msgspec.Raw | None, bool], tuple[Item, bool] | None]


def entries_of(read: Read, body: Any) -> list[Any]:
    """Raises MalformedPageError."""
    listed = point(body, read.records)
    if not isinstance(listed, list):
        raise MalformedPageError("there is no list where the records should be")
    return listed


def page_of(
    spec: StreamSpec,
    read: Read,
    body: Any,
    at: datetime | None,
    turn: Turn,
    *,
    floor: datetime | None = None,
    size: int = 0,
    parent: str | None = None,
    raws: Sequence[msgspec.Raw] | None = None,
    whole: bool = True,
) -> Page:
    """`floor`: what was modified before is passed over; `parent`: whose records they are; `raws`, `whole`: as
    `PageReader` has them. Raises MalformedPageError.
    """
    listed = entries_of(read, body)
    total = point(body, read.total) if read.total else None
    events = read.events if isinstance(read, Incremental) else None
    if events is not None and events.newest_first:
        listed = listed[::-1]
    items: dict[str, Item] = {}
    gone: dict[str, Item] = {}
    reading = _entry_reader(spec, read) if events is None else partial(_read_event, spec, events)
    entries = listed if read.inside is None else _inside(read.inside, listed)
    for entry, raw in zip(entries, [None] * len(entries) if raws is None else raws, strict=True):
        found = reading(entry, raw, whole)
        if found is None:
            continue
        item, deleted = found
        if spec.parent is not None:
            document = item.document
            if document.get(spec.parent.field) is None:
                document = {**document, spec.parent.field: parent}
            item = msgspec.structs.replace(item, document=document, parent=parent)
        if floor is not None and item.modified_at is not None and item.modified_at < floor:
            continue
        before = items.get(item.external_id) or gone.get(item.external_id)
        if before is not None:
            if _older(item, before):
                continue  # named twice in a page: the newer form counts
            items.pop(item.external_id, None)
            gone.pop(item.external_id, None)
        (gone if deleted else items)[item.external_id] = item
    return Page(
        list(items.values()),
        turn.next,
        total if isinstance(total, int) and not isinstance(total, bool) else None,
        at,
        gone=list(gone.values()),
        entries=len(listed),
        bookmark=turn.mark if isinstance(read, Incremental) and read.bookmark else None,
        size=size,
        parent=parent,
    )


def _inside(inside: Inside, entries: list[Any]) -> list[dict[str, Any]]:
    """The records that lie in the entries, each with what it takes from its own."""
    made: list[dict[str, Any]] = []
    for entry in entries:
        found = point(entry, inside.list)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise MalformedPageError("an entry has no list of records")
        taken = {name: point(entry, pointer) for name, pointer in inside.carry.items()}
        made += [{**item, **taken} for item in found if inside.when is None or flagged(inside.when, item)]
    return made


def date_of(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _older(item: Item, before: Item) -> bool:
    return bool(item.modified_at and before.modified_at and item.modified_at < before.modified_at)


def _entry_reader(spec: StreamSpec, read: Read) -> _EntryReader:
    """What is the same for all entries of a page is looked up once."""
    pointer, when, only = spec.id, spec.deleted, None
    if isinstance(read, Deletions):
        pointer, when, only = read.id or spec.id, None, read.when
    id_of, modified_of = pointing(pointer), pointing(spec.modified) if spec.modified else None

    def read_entry(entry: Any, raw: msgspec.Raw | None, whole: bool) -> tuple[Item, bool] | None:
        if only is not None and not flagged(only, entry):
            return None
        modified = None if modified_of is None else parse_moment(modified_of(entry))
        item = Item(_id(id_of(entry)), entry, modified, None, raw, whole)
        return item, when is not None and flagged(when, entry)

    return read_entry


def _read_event(spec: StreamSpec, events: Events, entry: Any, *_: object) -> tuple[Item, bool] | None:
    kind = point(entry, events.type)
    if not isinstance(kind, str):
        raise MalformedPageError("an event has no type")
    deleted = any(_is(kind, pattern) for pattern in events.deleted)
    if events.only and not deleted and not any(_is(kind, pattern) for pattern in events.only):
        return None
    document = point(entry, events.object)
    if not isinstance(document, dict):
        raise MalformedPageError("an event holds no record")
    return Item(_id(point(document, spec.id)), document, parse_moment(point(entry, events.at))), deleted


def _is(kind: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return kind.endswith(pattern[1:]) if pattern.startswith("*") else kind == pattern


def flagged(flag: Flag, entry: Any) -> bool:
    found = point(entry, flag.pointer)
    return any(equal(found, value) for value in flag.equals)


def _id(found: Any) -> str:
    if type(found) is str and 0 < len(found) <= MAX_ID:
        return found
    if isinstance(found, bool) or not isinstance(found, str | int) or not 0 < len(str(found)) <= MAX_ID:
        raise MalformedPageError("an entry has no id that could be kept")
    return str(found)
