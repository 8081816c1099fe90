"""Telling of a fact in the transaction that makes it: `emit`.

The event, its deliveries and the work that sends them are written as the transaction's last statements
(`kernel.db.at_end`): they commit with the fact or not at all. The tenant's counter of events and the rows of
work are taken in one order, that of `wake`, and after every other lock of the transaction, so that this can
be part of no deadlock.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import endpoint_repository, repository
from trunkline.deliveries.catalogue import patterns_of
from trunkline.deliveries.schemas import Event, Wanted
from trunkline.kernel.clock import now
from trunkline.kernel.db import at_end
from trunkline.kernel.ids import new_id
from trunkline.work import repository as work
from trunkline.work.due import SENDING

DELIVER = SENDING
"""Kind of work: key is the endpoint; one for each tenant and endpoint."""
WATCH = "watch_health"
PURGE = "purge_deliveries"
PRIORITY = -10
"""Before a tenant's other work, so that its lane finds it at once behind however much of that."""
PURGE_EVERY = timedelta(days=1)


def emit(
    session: AsyncSession,
    tenant_id: UUID,
    type_: str,
    data: msgspec.Struct,
    *,
    subject: UUID | str,
    positions: Sequence[int] = (),
    records: Sequence[UUID] = (),
    occurred_at: datetime | None = None,
    only: UUID | None = None,
) -> UUID:
    """Adds an event to the session's tenant; its id. Kept only where an endpoint asks for its type."""
    event = Event(
        type=type_,
        subject=str(subject),
        data=msgspec.to_builtins(data),
        positions=positions,
        records=records,
        occurred_at=occurred_at or now(),
        only=only,
        id=new_id(),
    )
    at_end(session, _write, (tenant_id, event))
    return event.id


async def _write(session: AsyncSession, added: list[tuple[UUID, Event]]) -> None:
    """Events of one transaction, in the order in which they were told of."""
    tenant_id = added[0][0]
    if any(tenant != tenant_id for tenant, _ in added):
        raise ValueError("a transaction tells of one tenant's facts")
    asking = await endpoint_repository.asking(session, tenant_id)
    kept = [
        (event, wanting) for _, event in added if (wanting := [one for one in asking if _wants(one, event)])
    ]
    sent: set[UUID] = set()
    first = await repository.numbers(session, tenant_id, len(kept)) if kept else 0
    for number, (event, wanting) in enumerate(kept, first):
        await repository.add_event(session, tenant_id, event, number)
        ready = [one for one in wanting if one.disabled_at is None]
        sent |= {one.id for one in ready}
        for one in ready:
            trigger = "event" if event.only is None else "test"
            await repository.add_delivery(session, tenant_id, event, number, one, trigger=trigger)
    watched = any(
        "health.changed" in one.types or "health.*" in one.types or "*" in one.types for one in asking
    )
    await wake(session, tenant_id, sent, purge=bool(kept), watch=watched and _may_move_health(added))


async def wake(
    session: AsyncSession, tenant_id: UUID, endpoints: set[UUID], *, purge: bool = False, watch: bool = False
) -> None:
    """Rows of work, always in this order."""
    if purge:
        await _ask(session, tenant_id, PURGE, "deliveries", due_at=now() + PURGE_EVERY)
    if watch:
        await _ask(session, tenant_id, WATCH, "health")
    for one in sorted(endpoints):
        await _ask(session, tenant_id, DELIVER, str(one), connection_id=one)


async def _ask(
    session: AsyncSession,
    tenant_id: UUID,
    kind: str,
    key: str,
    *,
    connection_id: UUID | None = None,
    due_at: datetime | None = None,
) -> None:
    await work.enqueue(
        session,
        tenant_id=tenant_id,
        kind=kind,
        key=key,
        due_at=due_at,
        connection_id=connection_id,
        args=None,
        priority=PRIORITY,
    )


def _wants(one: Wanted, event: Event) -> bool:
    if event.only is not None:
        return one.id == event.only
    if event.type in {"endpoint.failing", "endpoint.disabled"} and event.subject == str(one.id):
        return False  # that it takes nothing is for others to hear
    return event.occurred_at >= one.created_at and not set(patterns_of(event.type)).isdisjoint(one.types)


def _may_move_health(added: list[tuple[UUID, Event]]) -> bool:
    return any(event.type.startswith(("connection.", "run.", "review.")) for _, event in added)
