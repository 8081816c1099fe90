"""What a connector can write, as a manifest says it.

Templates are those of streams (`trunkline.sdk.streams`), filled with the inputs by their names and the
connection's values. Besides them: {call_key}, which is the same however often a call is sent and differs
between calls; {call_ms}, {call_s}, {call_iso}, when it was asked for; {found}, the id of what `find` found
(in `change`); {<input>_quoted}, a text with quotes and backslashes escaped, for query languages; {others},
an object of all inputs that nothing else of what is sent names, as the provider calls them, a map's members
among them. A member named "..." takes in the members of the object that it stands for.
"""

from typing import Annotated, Any, Literal

import msgspec

from trunkline.sdk.authentication import Name
from trunkline.sdk.templates import holes

Kind = Literal["string", "number", "integer", "boolean", "enum", "datetime", "date", "list", "map"]
CALL_NAMES = frozenset({"call_key", "call_ms", "call_s", "call_iso"})
OTHERS = "others"


class ActionInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller gives. A list is of texts; a map is of the account's own fields: name -> plain value."""

    name: Name
    label: str
    sent_as: str = ""
    """The provider's name for it among {others}; empty: the same."""
    type: Kind = "string"
    required: bool = False
    help: str = ""
    max_length: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1000
    """Characters of a text; entries of a list or map."""
    options: tuple[str, ...] = ()
    """Of an enum: nothing else is taken."""
    values: dict[str, Any] = {}
    """Option -> what the provider calls it, where that is something else."""
    pairs: tuple[str, str] | None = None
    """A map is sent as a list of objects with these two members: ("id", "value")."""
    prefix: str = ""
    """Before each name of a map."""
    example: Any = None
    """Given in documentation and tests; "@contacts" is the id of a live record of that stream."""


class Find(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How what was written is found again: the first entry that matches."""

    method: Literal["GET", "POST"] = "GET"
    path: str
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    records: str
    """Pointer to the list of entries, or to the one there is; empty: the answer itself."""
    id: str = "id"
    """Pointer in an entry."""
    match: dict[str, str] = {}
    """Pointer in an entry -> template of what must be there, letter case, blanks and markup aside."""
    since: str | None = None
    """Pointer to the time of an entry that must not be older than the call."""
    full: int = 0
    """Entries of a page: where that many come and none matches, it may be on another one. 0: they are few."""
    absent: bool = False
    """404 says that there is none."""
    settle_seconds: Annotated[int, msgspec.Meta(ge=0, le=300)] = 2
    """How long after a lost answer the provider may still be at it, or its index behind."""
    bucket: str = "default"
    cost: int = 1


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent in place of the action where `find` found something: {found} is its id."""

    method: Literal["POST", "PUT", "PATCH"] = "PUT"
    path: str
    body: dict[str, Any] | None = None
    """The action's own by default."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several inputs in one request: {items} in the action's body is the list of `item`, filled for each.

    {item_key} in `item` comes back where `key` points; without it results are in the order of the items.
    """

    most: Annotated[int, msgspec.Meta(ge=2, le=200)] = 100
    item: dict[str, Any]
    results: str
    """Pointer to the list of what was written; empty: the answer itself."""
    key: str | None = None
    """Pointer in a result."""
    ok: str | None = None
    """Pointer in a result; where it is false, the item was refused."""
    why: str = ""
    """Pointer in such a result to what the manifest's `refusals` look into."""
    errors: str | None = None
    """Pointer to a list of refusals beside the results."""
    error_key: str | None = None
    """Pointer, in one, to the {item_key} it is of, or to a list of them."""


class Refusals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the provider says which value it does not accept."""

    list: str = ""
    """Pointer to the list of them, or to the only one; empty: the body itself."""
    field: str
    """Pointer in one to its name for the field, or to a list of names."""
    code: str = ""
    """Pointer in one to a word for programs."""
    keyed: bool = False
    """`list` points to an object: field -> list of what is wrong with it."""


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that can be written."""

    name: Name
    title: str
    description: str = ""
    stream: str = ""
    """Where what it writes is read again."""
    scopes: tuple[str, ...] = ()
    """That it needs beside those of streams; asked for only where somebody wants the action."""
    input: tuple[ActionInput, ...]
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    path: str
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    headers: dict[str, str] = {}
    encoding: Literal["json", "form"] = "json"
    """form: names with brackets, `metadata[plan]`."""
    id: str = "id"
    """Pointer, in the answer (of a batch: in a result), to the id of what was written; or "{name}"."""
    fields: dict[str, str] = {}
    """The provider's name for a field -> our input, where the body does not tell."""
    repeat: Literal["same", "key", "find", "never"]
    """What becomes of a call whose answer was lost. same: sent again, for twice is as once. key: sent again,
    and the provider knows it by {call_key}. find: looked up, and sent again only if it is not there. never:
    nobody can tell, so that a person decides."""
    key_seconds: Annotated[int, msgspec.Meta(ge=60)] = 86_400
    """How long the provider remembers {call_key}."""
    find: Find | None = None
    change: Change | None = None
    """Then `find` is asked before anything is sent."""
    batch: Batch | None = None
    bucket: str = "default"
    cost: int = 1

    @property
    def templates(self) -> tuple[Any, ...]:
        """All that is filled in to write."""
        own = (self.path, self.query, self.body or {}, self.headers, self.id if "{" in self.id else "")
        batch = () if self.batch is None else (self.batch.item,)
        change = () if self.change is None else (self.change.path, self.change.body or {})
        return (*own, *batch, *change)

    @property
    def others(self) -> tuple[ActionInput, ...]:
        """What {others} is made of."""
        named = holes(list(self.templates))
        return tuple(one for one in self.input if not {one.name, f"{one.name}_quoted"} & named)

    def given(self, name: str) -> ActionInput | None:
        return next((one for one in self.input if one.name == name), None)
