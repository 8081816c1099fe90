"""SQL of events, deliveries and attempts; and of health as it was last told of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries.order import Waiting, record_key
from trunkline.deliveries.schemas import AttemptRow, DeliveryView, Due, Event, Wanted
from trunkline.kernel.ids import new_id
from trunkline.runs.schemas import ChangeView

_NUMBERS = text("""
    INSERT INTO outbound_heads AS h (tenant_id, number) VALUES (:tenant, :count)
    ON CONFLICT (tenant_id) DO UPDATE SET number = h.number + excluded.number RETURNING number
""")

_ADD_EVENT = text("""
    INSERT INTO outbound_events (tenant_id, id, number, type, subject, slug, data, positions, record_keys,
                                 occurred_at)
    VALUES (:tenant, :id, :number, :type, :subject, (SELECT slug FROM tenants WHERE id = :tenant),
            CAST(:data AS jsonb), CAST(:positions AS bigint[]), CAST(:record_keys AS bigint[]),
            CAST(:at AS timestamptz))
""")

_ADD_DELIVERY = text("""
    INSERT INTO deliveries (tenant_id, id, event_id, number, endpoint_owner, endpoint_id, subject, full_data,
                            trigger)
    VALUES (:tenant, :id, :event, :number, :owner, :endpoint, :subject, :full_data, :trigger)
""")

_MESSAGE = """
    SELECT d.id, d.event_id, e.type, e.slug, e.data, e.positions, e.occurred_at, d.full_data, d.trigger,
           d.tries, d.attempts
    FROM deliveries d JOIN outbound_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
    WHERE d.tenant_id = :tenant
"""

_MESSAGES = text(_MESSAGE + " AND d.id = ANY(CAST(:ids AS uuid[])) ORDER BY d.number")

_DUE = text(
    _MESSAGE
    + """ AND d.endpoint_id = :endpoint AND d.state = 'pending' AND d.next_at <= :now
    ORDER BY d.next_at, d.number LIMIT :limit"""
)

_NEXT = text("""
    SELECT min(next_at) FROM deliveries
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint AND state = 'pending'
""")

_WAITING = text("""
    SELECT d.id, d.number, d.next_at, d.subject, e.type,
           CASE WHEN :by_record THEN e.record_keys ELSE '{}' END AS record_keys
    FROM deliveries d JOIN outbound_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
    WHERE d.tenant_id = :tenant AND d.endpoint_id = :endpoint AND d.state = 'pending' AND d.number > :after
    ORDER BY d.number LIMIT :limit
""")

_CHANGES = text("""
    SELECT position, operation, entity_id, model, revision, changed_at, data, connection_id, stream,
           external_id, recipe_id, recipe_version, run_id
    FROM changes WHERE tenant_id = :tenant AND position = ANY(CAST(:positions AS bigint[])) ORDER BY position
""")

_ADD_ATTEMPT = text("""
    INSERT INTO delivery_attempts (tenant_id, delivery_id, number, trigger, status, cause, took_ms, answer,
                                   key_version, at)
    VALUES (:tenant, :delivery, :number, :trigger, CAST(:status AS integer), CAST(:cause AS text), :took_ms,
            :answer, :version, :at)
""")

_SETTLE = text("""
    UPDATE deliveries SET state = :state, cause = CAST(:cause AS text), tries = :tries, attempts = :attempts,
        next_at = CAST(:next_at AS timestamptz),
        ended_at = CASE WHEN :state = 'pending' THEN NULL ELSE clock_timestamp() END
    WHERE tenant_id = :tenant AND id = :delivery
""")

_GIVE_UP = text("""
    UPDATE deliveries SET state = 'failed', cause = :cause, next_at = NULL, ended_at = clock_timestamp()
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint AND state = 'pending'
""")

_VIEW = """
    SELECT d.id, d.endpoint_id, d.event_id, e.type, d.state, d.cause, d.attempts, d.next_at, e.occurred_at,
           d.created_at, d.ended_at, a.status AS last_status, a.cause AS last_cause
    FROM deliveries d JOIN outbound_events e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
    LEFT JOIN delivery_attempts a
        ON a.tenant_id = d.tenant_id AND a.delivery_id = d.id AND a.number = d.attempts
    WHERE d.tenant_id = :tenant
"""

_LIST = text(
    _VIEW
    + """
      AND (CAST(:endpoint AS uuid) IS NULL OR d.endpoint_id = :endpoint)
      AND (CAST(:state AS text) IS NULL OR d.state = :state)
      AND (CAST(:type AS text) IS NULL OR e.type = :type)
      AND (CAST(:at AS timestamptz) IS NULL OR (d.created_at, d.id) < (:at, CAST(:before AS uuid)))
    ORDER BY d.created_at DESC, d.id DESC LIMIT :limit
"""
)

_ONE = text(_VIEW + " AND d.id = :delivery")

_ATTEMPTS = text("""
    SELECT number, trigger, status, cause, took_ms, at, answer, key_version FROM delivery_attempts
    WHERE tenant_id = :tenant AND delivery_id = :delivery ORDER BY number
""")

_AGAIN = text("""
    UPDATE deliveries SET state = 'pending', cause = NULL, tries = 0, trigger = 'manual', ended_at = NULL,
        next_at = clock_timestamp()
    WHERE tenant_id = :tenant AND id = :delivery RETURNING endpoint_id
""")

_RECOVER = text("""
    UPDATE deliveries SET state = 'pending', cause = NULL, tries = 0, trigger = 'manual', ended_at = NULL,
        next_at = clock_timestamp()
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint AND state = 'failed' AND created_at >= :since
""")

_ADD_MISSING = text("""
    INSERT INTO deliveries (tenant_id, id, event_id, number, endpoint_owner, endpoint_id, subject, full_data,
                            trigger)
    SELECT e.tenant_id, uuidv7(), e.id, e.number, :owner, :endpoint, e.subject, :full_data, 'missing'
    FROM outbound_events e
    WHERE e.tenant_id = :tenant AND e.created_at >= :since AND e.type = ANY(CAST(:types AS text[]))
    ORDER BY e.number
    ON CONFLICT (tenant_id, endpoint_id, event_id) DO NOTHING
""")

_COUNTS = text("""
    SELECT endpoint_id, state, count(*) AS count FROM deliveries
    WHERE tenant_id = :tenant GROUP BY endpoint_id, state
""")

_PURGE_ATTEMPTS = text("""
    DELETE FROM delivery_attempts WHERE tenant_id = :tenant AND at < CAST(:before AS timestamptz)
""")

_PURGE_EVENTS = text("""
    DELETE FROM outbound_events e WHERE e.tenant_id = :tenant AND e.created_at < CAST(:before AS timestamptz)
      AND NOT EXISTS (SELECT FROM deliveries d WHERE d.tenant_id = e.tenant_id AND d.event_id = e.id
                      AND (d.state = 'pending' OR d.ended_at >= CAST(:before AS timestamptz)))
""")

_ANY_EVENT = text("SELECT EXISTS (SELECT FROM outbound_events WHERE tenant_id = :tenant)")

_LEVELS = text("SELECT connection_id, level FROM health_levels WHERE tenant_id = :tenant")

_PUT_LEVEL = text("""
    INSERT INTO health_levels (tenant_id, connection_id, level) VALUES (:tenant, :connection, :level)
    ON CONFLICT (tenant_id, connection_id) DO UPDATE SET level = excluded.level, since = clock_timestamp()
""")


def _rows(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount


# --- events and deliveries ---


async def numbers(session: AsyncSession, tenant_id: UUID, count: int) -> int:
    """The first of `count` numbers; nobody else gets any before this transaction ends."""
    last: int = (await session.execute(_NUMBERS, {"tenant": tenant_id, "count": count})).scalar_one()
    return last - count + 1


async def add_event(session: AsyncSession, tenant_id: UUID, event: Event, number: int) -> None:
    await session.execute(
        _ADD_EVENT,
        {
            "tenant": tenant_id,
            "id": event.id,
            "number": number,
            "type": event.type,
            "subject": event.subject,
            "data": msgspec.json.encode(event.data).decode(),
            "positions": list(event.positions),
            "record_keys": [record_key(one) for one in event.records],
            "at": event.occurred_at,
        },
    )


async def add_delivery(
    session: AsyncSession, tenant_id: UUID, event: Event, number: int, to: Wanted, *, trigger: str
) -> None:
    await session.execute(
        _ADD_DELIVERY,
        {
            "tenant": tenant_id,
            "id": new_id(),
            "event": event.id,
            "number": number,
            "owner": to.owner,
            "endpoint": to.id,
            "subject": event.subject,
            "full_data": to.full_data,
            "trigger": trigger,
        },
    )


async def due(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, *, now: datetime, limit: int
) -> list[Due]:
    """In no order that is promised."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "now": now, "limit": limit}
    rows = await session.execute(_DUE, given)
    return [Due(**row) for row in rows.mappings()]


async def next_due(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> datetime | None:
    given = {"tenant": tenant_id, "endpoint": endpoint_id}
    found: datetime | None = (await session.execute(_NEXT, given)).scalar()
    return found


async def waiting(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, *, by_record: bool, after: int, limit: int
) -> list[Waiting]:
    """In the order of the facts; `record_keys` are there `by_record` alone."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "by_record": by_record, "after": after}
    rows = await session.execute(_WAITING, given | {"limit": limit})
    return [Waiting(**row) for row in rows.mappings()]


async def messages(session: AsyncSession, tenant_id: UUID, deliveries: Sequence[UUID]) -> list[Due]:
    """In the order of the facts."""
    rows = await session.execute(_MESSAGES, {"tenant": tenant_id, "ids": list(deliveries)})
    return [Due(**row) for row in rows.mappings()]


async def changes_at(session: AsyncSession, tenant_id: UUID, positions: Sequence[int]) -> list[ChangeView]:
    rows = await session.execute(_CHANGES, {"tenant": tenant_id, "positions": list(positions)})
    return [ChangeView(**row) for row in rows.mappings()]


async def add_attempt(
    session: AsyncSession,
    tenant_id: UUID,
    delivery_id: UUID,
    number: int,
    *,
    trigger: str,
    status: int | None,
    cause: str | None,
    took_ms: int,
    answer: bytes,
    version: int,
    at: datetime,
) -> None:
    await session.execute(
        _ADD_ATTEMPT,
        {
            "tenant": tenant_id,
            "delivery": delivery_id,
            "number": number,
            "trigger": trigger,
            "status": status,
            "cause": cause,
            "took_ms": took_ms,
            "answer": answer,
            "version": version,
            "at": at,
        },
    )


async def settle(
    session: AsyncSession,
    tenant_id: UUID,
    delivery_id: UUID,
    *,
    state: str,
    cause: str | None,
    tries: int,
    attempts: int,
    next_at: datetime | None,
) -> None:
    given = {"tenant": tenant_id, "delivery": delivery_id, "state": state, "cause": cause}
    await session.execute(_SETTLE, given | {"tries": tries, "attempts": attempts, "next_at": next_at})


async def give_up(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, cause: str) -> int:
    """Everything that waits for the endpoint; how many that were."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "cause": cause}
    return _rows(await session.execute(_GIVE_UP, given))


# --- looking, and sending again ---


async def deliveries(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    endpoint_id: UUID | None = None,
    state: str | None = None,
    type_: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[DeliveryView]:
    """Newest first; `before`: those next below a delivery's created_at and id."""
    at, identity = before or (None, None)
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "state": state, "type": type_, "limit": limit}
    rows = await session.execute(_LIST, given | {"at": at, "before": identity})
    return [DeliveryView(**row) for row in rows.mappings()]


async def delivery(session: AsyncSession, tenant_id: UUID, delivery_id: UUID) -> DeliveryView | None:
    rows = await session.execute(_ONE, {"tenant": tenant_id, "delivery": delivery_id})
    return next((DeliveryView(**row) for row in rows.mappings()), None)


async def attempts(session: AsyncSession, tenant_id: UUID, delivery_id: UUID) -> list[AttemptRow]:
    rows = await session.execute(_ATTEMPTS, {"tenant": tenant_id, "delivery": delivery_id})
    return [AttemptRow(**row) for row in rows.mappings()]


async def again(session: AsyncSession, tenant_id: UUID, delivery_id: UUID) -> UUID | None:
    """A new series of tries, begun now; the endpoint's id."""
    given = {"tenant": tenant_id, "delivery": delivery_id}
    found: UUID | None = (await session.execute(_AGAIN, given)).scalar()
    return found


async def recover(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, since: datetime) -> int:
    """What failed since then begins anew; how many that are."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "since": since}
    return _rows(await session.execute(_RECOVER, given))


async def add_missing(
    session: AsyncSession,
    tenant_id: UUID,
    endpoint_id: UUID,
    *,
    owner: UUID,
    types: Sequence[str],
    full_data: bool,
    since: datetime,
) -> int:
    """Deliveries of what happened since then and was not meant for the endpoint at the time; how many."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "owner": owner, "types": list(types)}
    return _rows(await session.execute(_ADD_MISSING, given | {"full_data": full_data, "since": since}))


async def counts(session: AsyncSession, tenant_id: UUID) -> dict[UUID, dict[str, int]]:
    """By endpoint and state, of what is kept."""
    found: dict[UUID, dict[str, int]] = {}
    for endpoint_id, state, number in await session.execute(_COUNTS, {"tenant": tenant_id}):
        found.setdefault(endpoint_id, {})[state] = number
    return found


async def purge(session: AsyncSession, tenant_id: UUID, before: datetime) -> bool:
    """Forgets attempts, and events whose deliveries are over, from before then; whether anything is left."""
    given = {"tenant": tenant_id, "before": before}
    await session.execute(_PURGE_ATTEMPTS, given)
    await session.execute(_PURGE_EVENTS, given)
    return bool((await session.execute(_ANY_EVENT, {"tenant": tenant_id})).scalar())


# --- health, as it was last told of ---


async def levels(session: AsyncSession, tenant_id: UUID) -> dict[UUID, str]:
    rows = await session.execute(_LEVELS, {"tenant": tenant_id})
    return {row.connection_id: row.level for row in rows}


async def put_level(session: AsyncSession, tenant_id: UUID, connection_id: UUID, level: str) -> None:
    await session.execute(_PUT_LEVEL, {"tenant": tenant_id, "connection": connection_id, "level": level})
