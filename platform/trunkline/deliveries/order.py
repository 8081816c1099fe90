"""Which of what waits may go now, where an endpoint asks for an order. Pure.

One may go once nothing before it that still waits has a key of its own: so one that is not taken holds up its
keys, what shares a key with those that it holds up, and nothing else. Given up, it holds up nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.deliveries.catalogue import TEST

Ordering = Literal["none", "record", "connection", "tenant"]


def record_key(record: UUID) -> int:
    """Half of its id, the random one, without the sign: read in a fifteenth of the time. Two records with one
    key would wait for each other in vain, and that is all.
    """
    return record.int & (2**63 - 1)


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is not at its end."""

    id: UUID
    number: int
    next_at: datetime
    subject: str
    type: str
    record_keys: Sequence[int] = ()


def keys_of(ordering: Ordering, one: Waiting) -> Sequence[object]:
    """By record: each that it tells of; what tells of none has its subject, such as a connection. A test has
    its own, so that it shows at once how the endpoint stands.
    """
    if one.type == TEST or ordering == "none":
        return (one.id,)
    if ordering == "tenant":
        return ("",)
    if ordering == "record" and one.record_keys:
        return one.record_keys
    return (one.subject,)


class Queue:
    """All that waits passes by, in the order of the facts, until as many as are wanted are found."""

    def __init__(self, ordering: Ordering, now: datetime, wanted: int) -> None:
        self._ordering = ordering
        self._now = now
        self._wanted = wanted
        self._held: set[object] = set()
        self.ready: list[UUID] = []
        self.next_at: datetime | None = None
        """When the first of those may go that only their time keeps back."""

    def pass_by(self, waiting: Iterable[Waiting]) -> bool:
        """Whether more are wanted."""
        for one in waiting:
            keys = keys_of(self._ordering, one)
            if self._held.isdisjoint(keys):
                if one.next_at <= self._now:
                    self.ready.append(one.id)
                    if len(self.ready) == self._wanted:
                        return False
                elif self.next_at is None or one.next_at < self.next_at:
                    self.next_at = one.next_at
            self._held.update(keys)
        return True
