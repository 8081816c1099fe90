"""What a simulated provider holds, and the ground truth of every change to it."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from trunkline.sdk.simulator_clock import Now

Values = Mapping[str, Any]
"""JSON values by name."""
Change = Literal["created", "updated", "archived", "restored", "purged"]


class SimulatedObject(msgspec.Struct, frozen=True):
    """One state of one object: a change makes a new one, so a kept reference is a snapshot."""

    id: str
    values: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None


class LedgerEntry(msgspec.Struct, frozen=True):
    """One mutation after seeding. `sequence` counts from 1 without gaps over all accounts."""

    sequence: int
    at: datetime
    account: str
    change: Change
    object_type: str
    object_id: str
    before: SimulatedObject | None
    after: SimulatedObject


class UnknownObjectError(LookupError):
    """No such object in this account."""


class _Table:
    """Objects of one type in one account, in ascending numeric id order."""

    def __init__(self) -> None:
        self.objects: dict[str, SimulatedObject] = {}
        self.order: list[int] = []

    def put(self, item: SimulatedObject) -> None:
        if item.id not in self.objects:
            number = int(item.id)
            if self.order and number <= self.order[-1]:
                raise ValueError(f"id {item.id} is not above the last one; ids must ascend")
            self.order.append(number)
        self.objects[item.id] = item

    def remove(self, object_id: str) -> None:
        if self.objects.pop(object_id, None) is not None:
            self.order.remove(int(object_id))


class Store:
    """Objects by account and type, ids ascending numbers as text; every mutation goes to `ledger`."""

    def __init__(
        self, now: Now, first_id: int = 100_001, belongs: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """`belongs`: as of `Simulator`. Who makes an object moves the time of the one it belongs to."""
        self._now = now
        self._belongs = belongs or {}
        self._tables: dict[tuple[str, str], _Table] = {}
        self._next_id = first_id
        self.ledger: list[LedgerEntry] = []

    def seed(self, account: str, object_type: str, items: Iterable[SimulatedObject]) -> None:
        """The state before anything happened: no ledger entry."""
        table = self._table(account, object_type)
        for item in items:
            table.put(item)
            self._next_id = max(self._next_id, int(item.id) + 1)

    def get(self, account: str, object_type: str, object_id: str) -> SimulatedObject:
        try:
            return self._table(account, object_type).objects[object_id]
        except KeyError:
            raise UnknownObjectError(object_id) from None

    def walk(
        self, account: str, object_type: str, *, after: int = 0, archived: bool | None = False
    ) -> Iterator[SimulatedObject]:
        """Ascending by id, from above `after`; `archived=None` gives both kinds."""
        table = self._table(account, object_type)
        for number in table.order[bisect_right(table.order, after) :]:
            item = table.objects[str(number)]
            if archived is None or (item.archived_at is not None) == archived:
                yield item

    def count(self, account: str, object_type: str, *, archived: bool = False) -> int:
        return sum(1 for _ in self.walk(account, object_type, archived=archived))

    def create(self, account: str, object_type: str, values: Values) -> SimulatedObject:
        moment = self._now()
        item = SimulatedObject(str(self._next_id), dict(values), moment, moment)
        self._record("created", account, object_type, None, item)
        if object_type in self._belongs:
            kind, name = self._belongs[object_type]
            before = self.get(account, kind, str(item.values[name]))
            after = msgspec.structs.replace(before, updated_at=moment)
            self._record("updated", account, kind, before, after)
        return item

    def update(self, account: str, object_type: str, object_id: str, values: Values) -> SimulatedObject:
        """Merges `values`; values that change nothing are no mutation and leave `updated_at`."""
        before = self.get(account, object_type, object_id)
        merged = {**before.values, **values}
        if merged == before.values:
            return before
        after = msgspec.structs.replace(before, values=merged, updated_at=self._now())
        self._record("updated", account, object_type, before, after)
        return after

    def archive(self, account: str, object_type: str, object_id: str) -> SimulatedObject:
        before = self.get(account, object_type, object_id)
        if before.archived_at is not None:
            return before
        moment = self._now()
        after = msgspec.structs.replace(before, archived_at=moment, updated_at=moment)
        self._record("archived", account, object_type, before, after)
        return after

    def restore(self, account: str, object_type: str, object_id: str) -> SimulatedObject:
        before = self.get(account, object_type, object_id)
        if before.archived_at is None:
            return before
        after = msgspec.structs.replace(before, archived_at=None, updated_at=self._now())
        self._record("restored", account, object_type, before, after)
        return after

    def purge(self, account: str, object_type: str, object_id: str) -> None:
        """Gone without a trace: in no list, not even of the archived. Only the ledger knows."""
        before = self.get(account, object_type, object_id)
        self._record("purged", account, object_type, before, before)

    def newer_than(
        self, moment: datetime, account: str, object_type: str
    ) -> dict[str, SimulatedObject | None]:
        """What each object changed after `moment` was at that moment; None: it did not exist yet."""
        earlier: dict[str, SimulatedObject | None] = {}
        for entry in reversed(self.ledger):
            if entry.at <= moment:
                break
            if entry.account == account and entry.object_type == object_type:
                earlier[entry.object_id] = entry.before
        return earlier

    def replay(self, entries: Iterable[LedgerEntry]) -> None:
        """Takes up a kept ledger on the seed it was made on."""
        for entry in entries:
            self._apply(entry.change, entry.account, entry.object_type, entry.after)
            self.ledger.append(entry)

    def _table(self, account: str, object_type: str) -> _Table:
        return self._tables.setdefault((account, object_type), _Table())

    def _apply(self, change: Change, account: str, object_type: str, after: SimulatedObject) -> None:
        table = self._table(account, object_type)
        if change == "purged":
            table.remove(after.id)
        else:
            table.put(after)
        self._next_id = max(self._next_id, int(after.id) + 1)

    def _record(
        self,
        change: Change,
        account: str,
        object_type: str,
        before: SimulatedObject | None,
        after: SimulatedObject,
    ) -> None:
        self._apply(change, account, object_type, after)
        self.ledger.append(
            LedgerEntry(
                len(self.ledger) + 1, self._now(), account, change, object_type, after.id, before, after
            )
        )
