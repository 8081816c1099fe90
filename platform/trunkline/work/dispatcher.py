"""Leasing due work fairly, for the free slots of one worker process."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.work import backlog, due
from trunkline.work.backlog import HandOut
from trunkline.work.due import Round
from trunkline.work.fairness import Candidate, Caps, InFlight, choose

HANDED_SECONDS = 5.0
"""A hand-out is begun within a second or two; one of a process that ended first waits no whole lease."""
GOES = 20
"""Looks in one round at tenants further on, while those looked at are all at their caps."""
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
        self._each = due.PER_TENANT

    async def lease(self, free: int) -> Batch | None:
        """At most `free` pieces of work; None when another process is dispatching right now."""
        async with self._db.system() as session:
            if not await backlog.one_at_a_time(session, self._lane):
                return None
            found = None if self._long else await self._at_a_glance(session)
            chosen: list[Candidate] = []
            for _ in range(GOES):
                found = found or await self._by_tenant(session, free)
                chosen = choose(
                    found.due,
                    found.in_flight,
                    free=free,
                    caps=self._caps,
                    after=self._after,
                    weights=found.weights,
                )
                more = found.full or found.visited is not None or len(chosen) < len(found.due)
                self._go_on(chosen, found.visited)
                if chosen or found.visited is None:
                    break
                found = None
            handed = await backlog.hand_out(session, chosen, self._seconds) if chosen else []
        return Batch(handed, more=more)

    def _go_on(self, chosen: Sequence[Candidate], visited: UUID | None) -> None:
        """Behind the last tenant served; what slept may be of one further on, who does not count for that."""
        served = [one.tenant_id for one in chosen]
        if visited is not None:
            served = [one for one in served if self._turn(one) <= self._turn(visited)] or [visited]
        if served:
            self._after = max(served, key=self._turn)

    def _turn(self, tenant: UUID) -> tuple[bool, UUID]:
        return tenant <= self._after, tenant

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

    async def _by_tenant(self, session: AsyncSession, free: int) -> Round:
        """Of the tenants behind the one served last, from the beginning again at the end."""
        if self._asleep:
            await due.rouse(session, self._lane, self._kinds)
        start = _FIRST if self._after == _LAST else UUID(int=self._after.int + 1)
        rows = due.rows_for(free)
        found = await due.by_tenant(
            session,
            self._lane,
            self._kinds,
            start=start,
            caps=self._caps,
            rows=rows,
            each=min(free, self._each),
        )
        self._long, self._asleep = found.full or found.visited is not None, found.asleep
        fair = due.NARROW if found.visited else rows // max(1, found.tenants)
        self._each = min(max(fair, due.NARROW), due.PER_TENANT)
        return found

    async def take_back(self, handed: Sequence[HandOut]) -> None:
        async with self._db.system() as session:
            await backlog.take_back(session, handed)

    async def overdue_unknown(self, known: Sequence[str] = ()) -> dict[str, int]:
        async with self._db.system() as session:
            return await backlog.overdue_unknown(session, [*self._kinds, *known])
