"""Leasing due work fairly, for the free slots of one worker process."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.work import backlog, due
from trunkline.work.backlog import HandOut
from trunkline.work.due import Round
from trunkline.work.fairness import Caps, InFlight, choose

HANDED_SECONDS = 5.0
"""A hand-out is begun within a second or two; one of a process that ended first waits no whole lease."""
_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)
_NOTHING = InFlight(tenants={}, connections={})


class Batch(msgspec.Struct, frozen=True):
    """What was leased. `more`: something due was left for want of a slot or because of a cap."""

    handed: Sequence[HandOut]
    more: bool


class Dispatcher:
    """Round-robin over tenants, with caps in flight per tenant and connection over all workers.

    Only `kinds` are leased, so that an older version leaves to a newer one what it does not know.
    """

    def __init__(self, db: Database, kinds: Sequence[str], *, lease_seconds: float, caps: Caps) -> None:
        self._db = db
        self._kinds = sorted(kinds)
        self._lane = due.lane_of(self._kinds)
        self._seconds = min(lease_seconds, HANDED_SECONDS)
        self._caps = caps
        self._after = _LAST
        self._long = False
        self._asleep = False

    async def lease(self, free: int) -> Batch | None:
        """At most `free` pieces of work; None when another process is dispatching right now."""
        async with self._db.system() as session:
            if not await backlog.one_at_a_time(session):
                return None
            found = await (self._by_tenant(session) if self._long else self._at_a_glance(session))
            if found is None:
                found = await self._by_tenant(session)
            chosen = choose(
                found.due,
                found.in_flight,
                free=free,
                caps=self._caps,
                after=self._after,
                weights=found.weights,
            )
            handed = await backlog.hand_out(session, chosen, self._seconds) if chosen else []
        if chosen:
            self._after = max((one.tenant_id for one in chosen), key=lambda one: (one <= self._after, one))
        elif found.visited:
            self._after = found.visited
        more = found.full or found.visited is not None or len(chosen) < len(found.due)
        return Batch(handed, more=more)

    async def _at_a_glance(self, session: AsyncSession) -> Round | None:
        """All that is due, if it is not much."""
        found = await due.at_a_glance(session, self._lane, self._kinds)
        if found.long:
            self._asleep = found.asleep
            return None
        tenants = {one.tenant_id for one in found.due}
        in_flight = await due.in_flight(session, self._kinds) if found.due else _NOTHING
        weights = await backlog.weights(session, tenants) if len(tenants) > 1 else {}
        return Round(found.due, in_flight, weights)

    async def _by_tenant(self, session: AsyncSession) -> Round:
        """Of the tenants behind the one served last, from the beginning again at the end."""
        if self._asleep:
            await due.rouse(session, self._lane, self._kinds)
        start = _FIRST if self._after == _LAST else UUID(int=self._after.int + 1)
        found = await due.by_tenant(session, self._lane, self._kinds, start=start, caps=self._caps)
        self._long, self._asleep = found.full or found.visited is not None, found.asleep
        return found

    async def take_back(self, handed: Sequence[HandOut]) -> None:
        async with self._db.system() as session:
            await backlog.take_back(session, handed)

    async def overdue_unknown(self, known: Sequence[str] = ()) -> dict[str, int]:
        async with self._db.system() as session:
            return await backlog.overdue_unknown(session, [*self._kinds, *known])
