"""Leasing due work fairly, for the free slots of one worker process."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.work import backlog
from trunkline.work.backlog import HandOut
from trunkline.work.fairness import Candidate, Caps, InFlight, choose

HANDED_SECONDS = 5.0
"""A hand-out is begun within a second or two; one of a process that ended first waits no whole lease."""
_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)


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
        self._seconds = min(lease_seconds, HANDED_SECONDS)
        self._caps = caps
        self._after = _LAST

    async def lease(self, free: int) -> Batch | None:
        """At most `free` pieces of work; None when another process is dispatching right now."""
        async with self._db.system() as session:
            if not await backlog.one_at_a_time(session):
                return None
            candidates = await backlog.due(session, self._kinds)
            if not candidates:
                return Batch((), more=False)
            in_flight = await backlog.in_flight(session, self._kinds)
            backlogged, visited = len(candidates) >= backlog.WINDOW, None
            if backlogged:
                candidates, visited = await self._by_tenant(session, in_flight)
            tenants = {one.tenant_id for one in candidates}
            weights = await backlog.weights(session, tenants) if len(tenants) > 1 else {}
            chosen = choose(
                candidates, in_flight, free=free, caps=self._caps, after=self._after, weights=weights
            )
            handed = await backlog.hand_out(session, chosen, self._seconds) if chosen else []
        if chosen:
            self._after = max((one.tenant_id for one in chosen), key=lambda one: (one <= self._after, one))
        elif visited:
            self._after = visited
        return Batch(handed, more=backlogged or len(chosen) < len(candidates))

    async def _by_tenant(
        self, session: AsyncSession, in_flight: InFlight
    ) -> tuple[list[Candidate], UUID | None]:
        """Due rows of the tenants behind the one served last, from the beginning again at the end."""
        full = {
            "full_tenants": self._full(in_flight.tenants, self._caps.tenant),
            "full_connections": self._full(in_flight.connections, self._caps.connection),
        }
        start = _FIRST if self._after == _LAST else UUID(int=self._after.int + 1)
        found, visited = await backlog.due_by_tenant(session, self._kinds, start=start, **full)
        if visited is None and start != _FIRST:
            wrapped, visited = await backlog.due_by_tenant(session, self._kinds, start=_FIRST, **full)
            found += [one for one in wrapped if one.tenant_id < start]
        return found, visited

    async def take_back(self, handed: Sequence[HandOut]) -> None:
        async with self._db.system() as session:
            await backlog.take_back(session, handed)

    async def overdue_unknown(self, known: Sequence[str] = ()) -> dict[str, int]:
        async with self._db.system() as session:
            return await backlog.overdue_unknown(session, [*self._kinds, *known])

    @staticmethod
    def _full(counts: Mapping[UUID, int], cap: int) -> list[UUID]:
        return [one for one, count in counts.items() if count >= cap]
