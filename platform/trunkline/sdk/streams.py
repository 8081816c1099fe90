"""How a stream is read, as a manifest says it.

A template is a JSON value. A string that is exactly "{name}" is replaced by the value, whatever its kind; in
longer text {name} is replaced by its text. What has no value is dropped with its key. Names: {page_size},
{cursor}, {offset}, {page}, {properties} (the fields asked for: a list in a body, comma-joined in text),
{since_iso}, {since_ms}, {since_s}, {since_date}, {now_iso}, {now_ms}, {now_s}, and the connection's values.
"""

from typing import Annotated, Any, Literal

import msgspec


class Cursor(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """The body names the next page's cursor, for {cursor}."""

    next: str
    """Pointer; absent, null or empty on the last page."""
    more: str | None = None
    """Pointer; where it is false, this was the last page whatever `next` says."""
    end: str | None = None
    """Pointer; where it is true, likewise (end_of_stream)."""
    scroll: bool = False
    """The cursor may stay the same from page to page, and a page without entries is the last."""


class Link(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """An address of the next page, on the same host: in the Link header (RFC 8288), or in the body."""

    next: str | None = None
    """Pointer to it, absolute or relative; without one, the Link header's rel="next"."""
    more: str | None = None
    end: str | None = None
    """As with a cursor."""


class Offset(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """{offset}: records before the page. It ends by `more`, by the read's `total`, or on a short page."""

    next: str | None = None
    """Pointer to the next offset, where the provider says it."""
    more: str | None = None


class Numbered(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="page"
):
    """{page}: the page's number. It ends by `pages`, by `more`, or on a short page."""

    first: int = 1
    pages: str | None = None
    """Pointer to how many pages there are."""
    more: str | None = None


class LastId(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="last_id"
):
    """{cursor}: the id of the last entry of the page before."""

    more: str | None = "has_more"
    id: str = "id"
    """Pointer in an entry."""


class Locator(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """A header of the answer names the next page's cursor; "null" or absent on the last one."""

    header: str


class Whole(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """There is one page."""


Paginator = Cursor | Link | Offset | Numbered | LastId | Locator | Whole


class Flag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sign in a record that it is deleted: `equals` names the values at `pointer`, any of them."""

    pointer: str
    equals: tuple[str, ...] = ("true",)


class Inside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The records are not a page's entries, but lie in them: the comments in a ticket's events."""

    list: str
    """Pointer, in an entry, to the list."""
    when: Flag | None = None
    """Items without the flag are passed over."""
    carry: dict[str, str] = {}
    """What a record takes from the entry around it: its name in the record -> pointer in the entry."""


class Large(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another way to read a list whose first page says in `total` that it is long."""

    above: Annotated[int, msgspec.Meta(ge=1)]
    """Records."""
    hook: str
    """One of the connector's own hooks, see `trunkline.sdk.hooks`; a partner's package has none."""


class Read(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to read a stream, page by page."""

    method: Literal["GET", "POST"] = "GET"
    path: str
    """Template; what is filled in is quoted."""
    query: dict[str, Any] = {}
    """Template. A list is joined by commas, or sent once an item where the name ends with []."""
    first: dict[str, Any] = {}
    """Template: in the query of the first page only."""
    body: dict[str, Any] | None = None
    """Template of a JSON body."""
    headers: dict[str, str] = {}
    records: str
    """Pointer to the page's list of documents; empty where the page is that list."""
    inside: Inside | None = None
    total: str | None = None
    """Pointer to how many there are in all."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    paginator: Paginator
    bucket: str = "default"
    cost: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    """What a call takes of rates that count costs."""
    cap: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Results after which the provider stops; the read re-anchors on the last resume value."""
    ascending: bool = False
    """Of a list: in ascending order of the ids, as numbers. A page that is not shows that pages shifted."""
    large: Large | None = None
    """Of a list: where it is long, it is read in another way."""


class Events(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The read's entries are events: what each happened to is the record."""

    object: str = "data.object"
    """Pointer to the record in an event."""
    type: str = "type"
    at: str = "created"
    """Pointer to the time of the event, which counts as the record's last change."""
    only: tuple[str, ...] = ()
    """Types that count, "*" at either end stands for anything; none given: all."""
    deleted: tuple[str, ...] = ()
    """Types that say that the record is gone."""
    newest_first: bool = True


class Incremental(Read, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only what changed since: {since_iso} and its like in the templates."""

    order: Literal["ascending", "any"] = "ascending"
    """ascending: by the stream's `modified`; each page asks anew from the last one's latest time, so nothing
    shifts past us. any: the provider's cursor is followed from end to end."""
    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=31 * 86_400)] = 0
    """Read again this far back: the provider's index lags."""
    lag_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    """Ask for nothing newer than this: the provider refuses it."""
    granularity: Literal["exact", "day"] = "exact"
    """day: the provider compares whole days, in some time zone; asked for from the start of the day before,
    and compared here. Implies order any."""
    bookmark: bool = False
    """The cursor at the end is kept, and the next run goes on from it; since counts for the first one only. A
    null cursor keeps the one before. Implies order any."""
    events: Events | None = None
    """Implies order any."""

    @property
    def anchored(self) -> bool:
        plain = self.granularity == "exact" and not self.bookmark and self.events is None
        return self.order == "ascending" and plain


class Deletions(Read, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pass that lists what is gone. {since_iso} and its like: since the last complete reading."""

    id: str | None = None
    """Pointer to the record's id in an entry; the stream's own by default."""
    at: str | None = None
    """Pointer to the time of the deletion."""
    when: Flag | None = None
    """Entries without the flag are passed over."""
    window_seconds: int | None = None
    """How far back the provider can tell."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    type: Literal["string", "number", "boolean", "datetime", "date", "enum", "json"] = "string"
    options: tuple[str, ...] = ()
    """Values of an enumeration, where the provider lists them."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the provider lists an account's own fields."""

    path: str
    records: str
    name: str = "name"
    label: str = "label"
    type: str = "type"
    """Pointer to the provider's word for the type; `types` says what it means."""
    types: dict[str, str] = {}
    options: str | None = None
    """Pointer to an enumeration's list of values."""
    option: str = ""
    """Pointer to the value in an entry of that list."""
    bucket: str = "default"
    cost: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class Parent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream's `list` is read once for each record of another stream that is held: a ticket's comments.

    Of the parents only those that changed are asked again, and what a parent's list does not name any more is
    gone. A parent that is deleted takes its children along.
    """

    stream: str
    field: str
    """{field} is the parent's id in the templates. Under this name a record carries it, if it has no such
    member of its own."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    description: str = ""
    scopes: tuple[str, ...] = ()
    id: str = "id"
    """Pointer to the record's id."""
    modified: str | None = None
    """Pointer to the time of the last change."""
    values: str = ""
    """Pointer to the object that holds the fields by name; empty: the document itself."""
    fields: tuple[Field, ...]
    """Fields always asked for. Others can be discovered and asked for when a recipe uses them."""
    discovery: Discovery | None = None
    parent: Parent | None = None
    list: Read
    also: tuple[Read, ...] = ()
    """Read after `list`, as parts of the same list: what the provider keeps apart (archived deals)."""
    incremental: Incremental | None = None
    also_incremental: tuple[Incremental, ...] = ()
    deletions: tuple[Deletions, ...] = ()
    """Read one after the other."""
    deleted: Flag | None = None
    """The provider leaves deleted records in its lists, flagged."""
    freshness_seconds: Annotated[int, msgspec.Meta(ge=60)] = 900
    complete_seconds: Annotated[int, msgspec.Meta(ge=3600)] = 86_400
    """A complete pass, which alone finds what was purged without a trace, comes at least this often."""

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def lists(self) -> tuple[Read, ...]:
        return self.list, *self.also

    @property
    def incrementals(self) -> tuple[Incremental, ...]:
        return () if self.incremental is None else (self.incremental, *self.also_incremental)
