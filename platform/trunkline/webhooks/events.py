"""A verified body, taken apart into its events. Pure; whatever comes is hostile until it has passed here."""

import hashlib
from datetime import datetime
from typing import Any, Final

import msgspec

from trunkline.kernel import strictjson
from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import point
from trunkline.sdk.webhooks import Webhooks

MAX_NAME: Final = 200
"""Characters of an event's type, its id and its account as they are kept."""
IDENTITY_BYTES: Final = 16
UNTYPED: Final = "event"
"""The type of one that has none."""

_list = msgspec.json.Decoder(list[msgspec.Raw])


class UnparsableError(ValueError):
    """The message names what is wrong, and never quotes the body."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`raw`: the bytes as they were sent, of this event alone. `identity` is the same each time it comes."""

    raw: bytes
    type: str
    event_id: str
    identity: bytes
    account: str | None
    occurred_at: datetime | None


def document(raw: bytes) -> Any:
    """Raises UnparsableError."""
    try:
        return strictjson.decode(raw, nul="replace", long_integers="text")
    except strictjson.JSONLimitError as error:
        raise UnparsableError(str(error)) from None


def split(hooks: Webhooks, body: bytes, delivery_id: str | None = None) -> list[Event]:
    """`delivery_id`: out of the header that tells deliveries apart, where the provider has one.

    Raises UnparsableError: nothing of a body is taken unless all of it is understood.
    """
    if hooks.events:
        listed = point(document(body), hooks.events)
        if not isinstance(listed, list):
            raise UnparsableError(f"{hooks.events} is not a list of events")
        parts = [strictjson.canonical(one) for one in listed]
    elif body[:1] == b"[" or body.lstrip()[:1] == b"[":
        try:
            parts = [bytes(one) for one in _list.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnparsableError("it is not a list of JSON events") from None
    else:
        parts = [body]
    if len(parts) > hooks.most:
        raise UnparsableError(f"it holds more than {hooks.most} events")
    return [
        _event(hooks, part, f"{delivery_id}/{at}" if at else delivery_id) for at, part in enumerate(parts)
    ]


def _event(hooks: Webhooks, raw: bytes, delivery_id: str | None) -> Event:
    found = document(raw)
    if not isinstance(found, dict):
        raise UnparsableError("an event is not an object")
    kind = type_of(hooks, found)
    values: list[Any] = [point(found, pointer) for pointer in hooks.id]
    event_id = _name(values[0], hooks.id[0]) if values else None
    if hooks.id_header is not None:
        event_id = _name(delivery_id, hooks.id_header)
        values = [event_id]
    told = strictjson.canonical(values) if any(value is not None for value in values) else raw
    account = _name(point(found, hooks.account), hooks.account) if hooks.account else None
    if hooks.owner == "client" and account is None:
        raise UnparsableError(f"{hooks.account} is missing")
    return Event(
        raw=raw,
        type=kind,
        event_id=event_id or "",
        identity=hashlib.blake2b(told, digest_size=IDENTITY_BYTES).digest(),
        account=account,
        occurred_at=time_of(hooks, found),
    )


def type_of(hooks: Webhooks, found: Any) -> str:
    """Of an event. Raises UnparsableError."""
    if hooks.lenient:
        values = [point(found, pointer) for pointer in hooks.types]
        told = [str(one) for one in values if isinstance(one, str | int) and not isinstance(one, bool)]
        return ".".join(told)[:MAX_NAME] or UNTYPED
    names: list[str] = []
    for pointer in hooks.types:
        name = _name(point(found, pointer), pointer)
        if name is None:
            raise UnparsableError(f"{pointer} is missing")
        names.append(name)
    return ".".join(names)[:MAX_NAME]


def time_of(hooks: Webhooks, found: Any) -> datetime | None:
    """When an event happened, by its own word."""
    return parse_moment(point(found, hooks.at)) if hooks.at else None


def _name(value: Any, pointer: str) -> str | None:
    if value is None or (type(value) is str and 0 < len(value) <= MAX_NAME):  # nearly all there are
        return value
    if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= MAX_NAME:
        raise UnparsableError(f"{pointer} is not a text or number of at most {MAX_NAME} characters")
    return str(value)
