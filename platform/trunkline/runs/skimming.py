"""Pages that are skimmed: of each record only what tells it apart is read, and its bytes are kept.

A record whose bytes are those of the last time is the one that is held, and is read no further: its limits
were checked when these bytes first came. All others are read whole, as strictly as ever, by `read_whole`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypedDict

import msgspec

from trunkline.kernel import strictjson
from trunkline.runs.documents import Item, MalformedPageError
from trunkline.sdk.manifest import Deletions, Incremental, Manifest, Read, StreamSpec
from trunkline.sdk.streams import LastId

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class PageReader:
    """Reads the answers of one call. After each: `raws`, the bytes of its entries in their order, where an
    entry is a record as it came; and whether they are `whole`, or have only what the manifest points to.
    """

    def __init__(self, manifest: Manifest, spec: StreamSpec, read: Read, *, skim: bool) -> None:
        plain = read.inside is None and spec.parent is None and not isinstance(read, Deletions)
        if isinstance(read, Incremental) and read.events is not None:
            plain = False
        self._records = read.records if plain and "." not in read.records else None
        self._heads = None
        if skim and self._records is not None and not _signed(manifest, self._records):
            self._heads = _heads(_pointers(spec, read))
        self.raws: Sequence[msgspec.Raw] | None = None
        self.whole = True

    def __call__(self, content: bytes) -> Any:
        """Raises JSONLimitError."""
        self.raws, self.whole = None, True
        if self._heads is not None and b"\\u0000" not in content:
            try:
                body = self._skimmed(content, self._heads)
            except _UNREADABLE:
                pass  # what is wrong with it is said below, if anything is
            else:
                self.whole = False
                return body
        body = strictjson.decode(content, nul="replace", long_integers="text")
        if self._records is not None:
            self.raws = _raws(content, self._records)
        return body

    def _skimmed(self, content: bytes, heads: "msgspec.json.Decoder[list[dict[str, Any]]]") -> Any:
        if not self._records:
            self.raws = _list(content)
            return heads.decode(content)
        members = _members.decode(content)
        listed = members.pop(self._records, None)
        if listed is None:
            raise msgspec.DecodeError("there is no such list")
        others = b",".join(b"%s:%s" % (msgspec.json.encode(name), raw) for name, raw in members.items())
        body = strictjson.decode(b"{%s}" % others, nul="replace", long_integers="text")
        self.raws = _list(listed)
        body[self._records] = heads.decode(listed)
        return body


def read_whole(items: Iterable[Item]) -> list[Item]:
    """As if they had not been skimmed. Raises MalformedPageError."""
    given = list(items)
    raws = [item.raw for item in given if not item.whole and item.raw is not None]
    if not raws:
        return given
    try:
        documents = iter(strictjson.decode(b"[%s]" % b",".join(raws), nul="replace", long_integers="text"))
    except strictjson.JSONLimitError as error:
        raise MalformedPageError(str(error)) from error
    return [
        item if item.whole else Item(item.external_id, next(documents), item.modified_at, raw=item.raw)
        for item in given
    ]


def _signed(manifest: Manifest, records: str) -> bool:
    """Whether a sign in a success could lie in the records."""
    pointers = [pointer for rule in manifest.failures for pointer in rule.equals]
    return any(not records or pointer.partition(".")[0] == records for pointer in pointers)


def _pointers(spec: StreamSpec, read: Read) -> frozenset[str]:
    found = {spec.id}
    if spec.modified:
        found.add(spec.modified)
    if spec.deleted is not None:
        found.add(spec.deleted.pointer)
    if isinstance(read.paginator, LastId):
        found.add(read.paginator.id)
    return frozenset(found)


# The types below are made of what a manifest says, so that mypy cannot follow: hence its silence there.


@lru_cache(maxsize=256)
def _heads(pointers: frozenset[str]) -> "msgspec.json.Decoder[list[dict[str, Any]]] | None":
    """Reads of each record what these lead to; None where that is the record itself, or lies in a list."""
    tree: dict[str, Any] = {}
    for pointer in sorted(pointers):
        parts = pointer.split(".")
        if not all(parts) or any(part.isdecimal() for part in parts):
            return None
        inner = tree
        for part in parts:
            inner = inner.setdefault(part, {})
    return msgspec.json.Decoder(list[_shape(tree)])  # type: ignore[misc]


def _shape(tree: dict[str, Any]) -> Any:
    """A member that leads on may be of another kind, or null: then nothing is found there."""
    members = {name: (_shape(inner) | None) if inner else Any for name, inner in tree.items()}
    return TypedDict("Head", members, total=False)  # type: ignore[operator]


@lru_cache(maxsize=256)
def _around(records: str) -> "msgspec.json.Decoder[dict[str, list[msgspec.Raw]]]":
    return msgspec.json.Decoder(TypedDict("Around", {records: list[msgspec.Raw]}, total=False))  # type: ignore[operator]


_entries = msgspec.json.Decoder(list[msgspec.Raw])


def _list(content: bytes) -> list[msgspec.Raw]:
    return _entries.decode(content)


def _raws(content: bytes, records: str) -> list[msgspec.Raw] | None:
    try:
        return _around(records).decode(content).get(records) if records else _list(content)
    except _UNREADABLE:
        return None
