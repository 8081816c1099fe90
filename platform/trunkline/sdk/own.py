"""The connector `custom`: a customer's own system, whose manifest is made of what the customer chose.

A connection speaks `custom@` and its reading, written out (`written`). So the name says all there is to know:
every process makes the same manifest of it, nothing is looked up, and another choice is another version.
Nothing can be asked of such a system; what it posts is all there is.
"""

from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from trunkline.sdk.authentication import ApiKey
from trunkline.sdk.manifest import Account, Manifest
from trunkline.sdk.streams import Read, StreamSpec, Whole
from trunkline.sdk.webhooks import Pattern, Webhooks

CUSTOM: Final = "custom"
STREAM: Final = "records"
LONGEST: Final = 4000
"""Characters of a reading, written out."""

Pointer = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_$@:/-]+(\.[A-Za-z0-9_$@:/-]+){0,9}$", max_length=200)
]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an event is read. Pointers into it; None: there is no such thing in it."""

    key: Pointer
    """The record's id."""
    record: Pointer | None = None
    """The record; None: the event is it."""
    at: Pointer | None = None
    """When it changed; None: when it came."""
    type: Pointer | None = None
    only: Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=20)] = ()
    """Types that count; none given: all."""
    gone: Pointer | None = None
    """What says that the record is gone, by one of `gone_when`."""
    gone_when: Annotated[tuple[Word, ...], msgspec.Meta(max_length=20)] = ()
    """Values, as text; "*": any but null."""
    event_id: Pointer | None = None
    """What tells an event from every other; None: the webhook-id that it was sent with."""
    label: Annotated[str, msgspec.Meta(max_length=60)] = ""
    """What its records are, in the customer's words."""

    def __post_init__(self) -> None:
        if self.gone is not None and not self.gone_when:
            raise ValueError("gone needs values by which it is told")
        if self.only and self.type is None:
            raise ValueError("only needs the pointer to an event's type")


def written(reading: Reading) -> str:
    """As a connection keeps it."""
    return msgspec.json.encode(reading).decode()


def read_back(version: str | None) -> Reading | None:
    """None: nothing was chosen yet. Raises ValueError for what is no reading."""
    if not version:
        return None
    try:
        return msgspec.json.decode(version[:LONGEST], type=Reading)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=512)
def own_manifest(version: str | None) -> Manifest:
    """`version`: what stands behind `custom@`; None: nothing was chosen yet, so that there is no stream.

    Raises ValueError.
    """
    reading = read_back(version)
    return Manifest(
        name=CUSTOM,
        label="Own system",
        version=version or "",
        category="Own systems",
        description="What a system of the customer's own posts to its address.",
        base_url="",
        hosts=(),
        auth=ApiKey(),
        account=Account(path="", id="", label=""),
        rates=(),
        streams=() if reading is None else (_stream(reading),),
        webhooks=_webhooks(reading),
    )


def _stream(reading: Reading) -> StreamSpec:
    label = reading.label or "Records"
    return StreamSpec(
        name=STREAM,
        label=label,
        description="What this system sends.",
        id=within(reading.key, reading.record) or reading.key,
        fields=(),
        list=Read(path="", records="", paginator=Whole()),
    )


def _webhooks(reading: Reading | None) -> Webhooks:
    made: dict[str, Any] = {
        "owner": "connection",
        "lenient": True,
        "signatures": ["standard-webhooks"],
        "keyed_by": "us",
        "type": ["type"],
        "at": "timestamp",
        "id_header": "webhook-id",
        "kinds": [],
        "retries": "As the sender's library does.",
    }
    if reading is not None:
        made |= {"type": [reading.type] if reading.type else [], "at": reading.at, "kinds": _kinds(reading)}
        if reading.event_id is not None:
            made |= {"id_header": None, "id": [reading.event_id]}
    return msgspec.convert(made, Webhooks)


def _kinds(reading: Reading) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for pattern in reading.only or ("*",):
        same = {"type": pattern, "stream": STREAM, "ids": [reading.key]}
        if reading.gone is not None:
            found.append(
                {**same, "deleted": True, "when": {"pointer": reading.gone, "equals": reading.gone_when}}
            )
        found.append({**same, "document": reading.record or ""})
    return found


def within(pointer: str, record: str | None) -> str | None:
    """The same place, seen from the record; None: it lies outside."""
    if record is None:
        return pointer
    return pointer[len(record) + 1 :] if pointer.startswith(f"{record}.") else None
