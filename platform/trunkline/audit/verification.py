"""Does a tenant's log still say what was written? Read as it was hashed, in bounded memory.

What can be found out, and from what:

- an entry that was edited, removed, moved or put in: from the entries themselves;
- a tail that was cut off: from the tenant's head, and from heads that were signed before;
- a log that was written anew, head included: from signed heads alone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.audit import repository
from trunkline.audit.chain import GENESIS, link
from trunkline.audit.repository import Head, Link
from trunkline.kernel.db import Database

BATCH = 1000
"""Entries read at a time."""
PROGRESS = 50_000
MOST = 100
"""Faults of one tenant that are kept; the others are counted."""

Kind = Literal["edited", "missing", "moved", "cut", "head", "rewritten"]


class Fault(msgspec.Struct, frozen=True):
    sequence: int
    """Where; for what is missing, the first of it."""
    kind: Kind
    words: str


class Signed(msgspec.Struct, frozen=True):
    """What a signed head says of a tenant's log."""

    hash: bytes
    at: datetime
    """When it was signed."""


Heads = Mapping[int, Sequence[Signed]]
"""Of one tenant, by number. Several that differ: the log was written anew between two signings."""


class Result(msgspec.Struct, frozen=True):
    entries: int
    faults: list[Fault]
    more: int
    """Faults that are not listed."""


class Walk:
    """Over one tenant's links, in the order of their numbers."""

    def __init__(self, tenant_id: UUID, signed: Heads) -> None:
        self._tenant = tenant_id
        self._signed = signed
        self._hash: bytes | None = GENESIS
        self.last = self.entries = self.more = 0
        self.faults: list[Fault] = []

    def step(self, found: Link) -> None:
        self.entries += 1
        if found.sequence > self.last + 1:
            self._missing(self.last + 1, found.sequence - 1)
        follows = self._hash is None or found.previous == self._hash
        made = link(found.previous, self._tenant, found.sequence, found.at, found.fields)
        when = f"{found.at:%Y-%m-%d %H:%M:%S} UTC"
        if follows and made != found.hash:
            self._say(
                found.sequence, "edited", f"entry {found.sequence} ({when}) was changed after it was written"
            )
        elif not follows:
            self._say(
                found.sequence,
                "moved",
                f"entry {found.sequence} ({when}) does not follow entry {found.sequence - 1}: one of them "
                "was moved, replaced or put in",
            )
        for known in self._signed.get(found.sequence, ()):
            if known.hash != found.hash:
                self._say(
                    found.sequence,
                    "rewritten",
                    f"entry {found.sequence} is not the one that was signed on "
                    f"{known.at:%Y-%m-%d %H:%M:%S} UTC: the log up to it was written anew",
                )
        self.last, self._hash = found.sequence, found.hash

    def end(self, head: Head | None) -> Result:
        """`head`: the row that the log itself keeps, as of the same moment as the entries."""
        reached = max((number for number in self._signed if number > self.last), default=0)
        if reached:
            known = self._signed[reached][0]
            self._say(
                self.last + 1,
                "cut",
                f"entries {self.last + 1} to {reached} are missing at the end: the log had {reached} when it "
                f"was signed on {known.at:%Y-%m-%d %H:%M:%S} UTC",
            )
        if head is None:
            if self.last:
                self._say(self.last, "head", "the head of the log is gone")
        elif head.sequence > self.last:
            if head.sequence != reached:
                self._say(
                    self.last + 1,
                    "cut",
                    f"entries {self.last + 1} to {head.sequence} are missing at the end: the head says that "
                    f"there were {head.sequence}",
                )
        elif head.sequence < self.last:
            self._say(
                head.sequence + 1,
                "head",
                f"the head of the log stands at {head.sequence}, but it goes on to {self.last}",
            )
        elif self.last and head.hash != self._hash:
            self._say(self.last, "head", f"entry {self.last} is not the one that the head of the log names")
        return Result(self.entries, self.faults, self.more)

    def _missing(self, first: int, last: int) -> None:
        which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        self._say(first, "missing", f"{which} missing")
        self._hash = None

    def _say(self, sequence: int, kind: Kind, words: str) -> None:
        if len(self.faults) < MOST:
            self.faults.append(Fault(sequence, kind, words))
        else:
            self.more += 1


async def verify(
    db: Database,
    tenant_id: UUID,
    signed: Heads,
    say: Callable[[int, int], None] = lambda _done, _of: None,
) -> Result:
    """All of it as of one moment, while others go on writing. `say` hears of (done, of how many)."""
    walk = Walk(tenant_id, signed)
    async with db.tenant(tenant_id) as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        head = await repository.head(session, tenant_id)
        while found := await repository.links(session, tenant_id, walk.last, BATCH):
            for one in found:
                walk.step(one)
            if walk.entries % PROGRESS < len(found):
                say(walk.entries, head.sequence if head else walk.entries)
    return walk.end(head)
