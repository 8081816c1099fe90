"""What events say of records, and which of it is still news. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from trunkline.runs.documents import MAX_ID, Item
from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import StreamSpec, point
from trunkline.sdk.webhooks import Event as Rule
from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks.event_repository import HeldForm, Queued
from trunkline.webhooks.events import UnparsableError, time_of, type_of


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event and what it says of which records."""

    event: Queued
    rule: Rule
    ids: tuple[str, ...]
    document: dict[str, Any] | None
    at: datetime | None


def told(hooks: Webhooks, event: Queued, found: Any) -> Told | None:
    """`found`: its document. What can be read of it is: the ids that are ids; a record that is not where the
    manifest says is fetched, where it can be.

    None: no rule of the manifest wants it. Raises UnparsableError where it names no record at all.
    """
    kind, at = event.type, event.occurred_at
    if hooks.lenient:  # the manifest may be younger than the event
        kind, at = type_of(hooks, found), time_of(hooks, found) or event.received_at
    rule = hooks.kind(kind, found)
    if rule is None:
        return None
    ids: list[str] = []
    for pointer in rule.ids:
        value = point(found, pointer)
        ids += [str(one) for one in (value if isinstance(value, list) else [value]) if _is_id(one)]
    if not ids:
        raise UnparsableError(f"{' and '.join(rule.ids)} is missing, or no id")
    whole = None
    if rule.document is not None:
        whole = point(found, rule.document)
        if not isinstance(whole, dict):
            if not rule.deleted and hooks.fetch(rule.stream) is None:
                raise UnparsableError(f"{rule.document} is not a record")
            whole = None
    return Told(event=event, rule=rule, ids=tuple(dict.fromkeys(ids)), document=whole, at=at)


def _is_id(value: Any) -> bool:
    named = isinstance(value, str | int) and not isinstance(value, bool)
    return named and 0 < len(str(value)) <= MAX_ID


def item_of(spec: StreamSpec, one: Told) -> Item:
    """Of an event that brings the whole record."""
    assert one.document is not None
    modified = parse_moment(point(one.document, spec.modified)) if spec.modified else None
    return Item(one.ids[0], one.document, modified or one.at)


def newest(told: Sequence[Told], spec: StreamSpec) -> tuple[dict[str, Told], list[Told]]:
    """Of events that bring whole records or say that they are gone: the last word on each, and the rest.

    By the record's own time, then the event's, then the order of arrival.
    """
    last: dict[str, Told] = {}
    older: list[Told] = []
    for one in sorted(told, key=lambda one: _order(one, spec)):
        before = last.get(one.ids[0])
        if before is not None:
            older.append(before)
        last[one.ids[0]] = one
    return last, older


def _order(one: Told, spec: StreamSpec) -> tuple[float, int]:
    at = one.at
    if one.document is not None and not one.rule.deleted:
        at = item_of(spec, one).modified_at
    return (at or one.event.received_at).timestamp(), one.event.id.int


def stale(at: datetime | None, held: HeldForm | None) -> bool:
    """Whether what is held is newer than what an event of that time says.

    Strictly, unlike a page's: an event may come a day late, or be replayed a month later. What has no time of
    its own is as new as it was received.
    """
    if held is None or at is None:
        return False
    known = [moment for moment in (held.modified_at, held.deleted_at) if moment is not None]
    return max(known, default=held.received_at) > at


def buried(at: datetime | None, gone: Mapping[str, datetime], external_id: str) -> bool:
    """Whether a deletion that came before it said that the record, which is not held, is gone."""
    known = gone.get(external_id)
    return known is not None and (at is None or known >= at)
