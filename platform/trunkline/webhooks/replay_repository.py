"""The SQL of looking at what arrived, and of having it processed again. Sessions are the tenant's own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.webhooks.models import HookRefusal, InboundAttempt, InboundEvent, Replay


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which events: of one connection, in these states, of a type, within a time."""

    states: tuple[str, ...] = ()
    type: str = ""
    since: datetime | None = None
    until: datetime | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    connection_id: UUID | None
    connector: str
    event_id: str
    type: str
    occurred_at: datetime | None
    received_at: datetime
    verdict: str
    size: int
    state: str
    label: str
    attempts: int
    cause: str | None
    done_at: datetime | None
    stream: str | None
    external_ids: list[str]
    differs: str | None


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """An event without what it was about."""

    id: UUID
    type: str
    received_at: datetime
    state: str
    cause: str | None
    attempts: int
    differs: str | None


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    label: str
    at: datetime
    outcome: str
    cause: str | None
    run_id: UUID | None
    replay_id: UUID | None


class ReplayOutline(msgspec.Struct, frozen=True, kw_only=True):
    """A replay without who and why."""

    id: UUID
    connection_id: UUID
    state: str
    total: int
    created_at: datetime


class ReplayRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    connection_id: UUID
    filter: dict[str, Any]
    state: str
    total: int
    calls: int
    queued: int
    up_to: UUID
    created_by: str
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


_EVENT = [getattr(InboundEvent, name) for name in EventRow.__struct_fields__]
_OUTLINE = [getattr(InboundEvent, name) for name in Outline.__struct_fields__]
_ATTEMPT = [getattr(InboundAttempt, name) for name in AttemptRow.__struct_fields__]
_REPLAY = [getattr(Replay, name) for name in ReplayRow.__struct_fields__]

# What a plan takes: its own connection's, up to the newest of when it was made, with a payload still.
_MATCHING = """
    e.connection_id = :connection AND e.source_id = :connection AND e.body IS NOT NULL AND e.state <> 'queued'
    AND (cardinality(CAST(:states AS text[])) = 0 OR e.state = ANY(CAST(:states AS text[])))
    AND (CAST(:type AS text) = '' OR e.type = :type)
    AND (CAST(:since AS timestamptz) IS NULL OR e.received_at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR e.received_at < :until)
"""

_COUNT = text(
    "SELECT count(*) AS number, max(e.id::text)::uuid AS newest FROM inbound_events e"  # noqa: S608 - of constants
    " WHERE e.tenant_id = :tenant AND " + _MATCHING
)

_SAMPLE = text(
    "SELECT e.id FROM inbound_events e WHERE e.tenant_id = :tenant AND "  # noqa: S608 - of constants
    + _MATCHING
    + " ORDER BY e.id DESC LIMIT :limit"
)

_QUEUE = text(
    "UPDATE inbound_events SET state = 'queued', label = 'bulk', replay_id = :replay, tries = 0,"  # noqa: S608 - of constants
    " due_at = now(), cause = NULL WHERE tenant_id = :tenant AND id IN ("
    "SELECT e.id FROM inbound_events e WHERE e.tenant_id = :tenant AND "
    + _MATCHING
    + " AND e.id <= :up_to AND e.id > :cursor ORDER BY e.id LIMIT :limit) RETURNING id"
)

_QUEUE_ONE = text("""
    UPDATE inbound_events SET state = 'queued', label = 'manual', replay_id = NULL, tries = 0,
        due_at = now(), cause = NULL
    WHERE tenant_id = :tenant AND id = :id AND body IS NOT NULL AND connection_id IS NOT NULL
      AND state <> 'queued'
    RETURNING connection_id
""")

_TAKE_BACK = text("""
    UPDATE inbound_events e SET due_at = now(), state = coalesce(
        (SELECT CASE WHEN a.outcome = 'failed' THEN 'dead' ELSE a.outcome END FROM inbound_attempts a
         WHERE a.tenant_id = :tenant AND a.event_id = e.id ORDER BY a.number DESC LIMIT 1), 'ignored')
    WHERE e.tenant_id = :tenant AND e.replay_id = :replay AND e.state = 'queued'
""")

_PROGRESS = text("""
    SELECT outcome, count(*) AS number FROM inbound_attempts
    WHERE tenant_id = :tenant AND replay_id = :replay GROUP BY outcome
""")

_LEFT = text("""
    SELECT count(*) FROM inbound_events
    WHERE tenant_id = :tenant AND connection_id = :connection AND state = 'queued' AND replay_id = :replay
""")

_CHANGES = text("""
    SELECT c.operation, c.model, c.entity_id, c.external_id, c.position
    FROM entities e JOIN changes c ON c.tenant_id = e.tenant_id AND c.entity_id = e.id
    JOIN inbound_attempts a ON a.tenant_id = e.tenant_id AND a.event_id = :event AND a.run_id = c.run_id
        AND a.at = c.changed_at
    WHERE e.tenant_id = :tenant AND e.external_id = ANY(CAST(:ids AS text[]))
      AND e.recipe_id = ANY(ARRAY(SELECT r.id FROM recipes r
          WHERE r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream))
    ORDER BY c.position LIMIT 100
""")


def _values(tenant_id: UUID, connection_id: UUID, wanted: Wanted) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "connection": connection_id,
        "states": list(wanted.states),
        "type": wanted.type,
        "since": wanted.since,
        "until": wanted.until,
    }


async def events(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    connection_id: UUID | None = None,
    wanted: Wanted,
    before: UUID | None = None,
    limit: int = 50,
) -> list[EventRow]:
    """Newest first, those next below `before`."""
    query = select(*_EVENT).where(InboundEvent.tenant_id == tenant_id)
    if connection_id is not None:
        query = query.where(InboundEvent.source_id == connection_id)
    if wanted.states:
        query = query.where(InboundEvent.state.in_(wanted.states))
    if wanted.type:
        query = query.where(InboundEvent.type == wanted.type)
    if wanted.since is not None:
        query = query.where(InboundEvent.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(InboundEvent.received_at < wanted.until)
    if before is not None:
        query = query.where(InboundEvent.id < before)
    rows = await session.execute(query.order_by(InboundEvent.id.desc()).limit(limit))
    return [EventRow(**row) for row in rows.mappings()]


async def outlines(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    *,
    wanted: Wanted,
    before: UUID | None = None,
    limit: int = 50,
) -> list[Outline]:
    """As the console may see them: newest first, those next below `before`."""
    query = select(*_OUTLINE).where(
        InboundEvent.tenant_id == tenant_id, InboundEvent.source_id == connection_id
    )
    if wanted.states:
        query = query.where(InboundEvent.state.in_(wanted.states))
    if wanted.type:
        query = query.where(InboundEvent.type == wanted.type)
    if before is not None:
        query = query.where(InboundEvent.id < before)
    rows = await session.execute(query.order_by(InboundEvent.id.desc()).limit(limit))
    return [Outline(**row) for row in rows.mappings()]


async def refused(session: AsyncSession, tenant_id: UUID) -> Sequence[Any]:
    """day, cause, count of the latest, at the tenant's own addresses."""
    return (
        await session.execute(
            select(HookRefusal.day, HookRefusal.cause, func.sum(HookRefusal.count).label("count"))
            .where(HookRefusal.tenant_id == tenant_id)
            .group_by(HookRefusal.day, HookRefusal.cause)
            .order_by(HookRefusal.day.desc(), HookRefusal.cause)
            .limit(50)
        )
    ).all()


async def event(session: AsyncSession, tenant_id: UUID, event_id: UUID) -> EventRow | None:
    row = (
        (
            await session.execute(
                select(*_EVENT).where(InboundEvent.tenant_id == tenant_id, InboundEvent.id == event_id)
            )
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else EventRow(**row)


async def sealed(session: AsyncSession, tenant_id: UUID, event_id: UUID) -> Any:
    """headers, body, key_version, address, request_id."""
    return (
        await session.execute(
            select(
                InboundEvent.headers,
                InboundEvent.body,
                InboundEvent.key_version,
                InboundEvent.address,
                InboundEvent.request_id,
            ).where(InboundEvent.tenant_id == tenant_id, InboundEvent.id == event_id)
        )
    ).one_or_none()


async def attempts(session: AsyncSession, tenant_id: UUID, event_id: UUID) -> list[AttemptRow]:
    rows = await session.execute(
        select(*_ATTEMPT)
        .where(InboundAttempt.tenant_id == tenant_id, InboundAttempt.event_id == event_id)
        .order_by(InboundAttempt.number)
    )
    return [AttemptRow(**row) for row in rows.mappings()]


async def changes(session: AsyncSession, tenant_id: UUID, found: EventRow) -> Sequence[Any]:
    """What the event changed: operation, model, entity_id, external_id, position."""
    values = {
        "tenant": tenant_id,
        "event": found.id,
        "connection": found.connection_id,
        "stream": found.stream,
        "ids": found.external_ids,
    }
    return (await session.execute(_CHANGES, values)).all()


async def count(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, wanted: Wanted
) -> tuple[int, UUID | None]:
    """How many a replay would take, and the newest of them."""
    row = (await session.execute(_COUNT, _values(tenant_id, connection_id, wanted))).one()
    return row.number, row.newest


async def sample(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, wanted: Wanted, limit: int
) -> list[UUID]:
    values = _values(tenant_id, connection_id, wanted)
    return list((await session.execute(_SAMPLE, {**values, "limit": limit})).scalars())


async def queue_one(session: AsyncSession, tenant_id: UUID, event_id: UUID) -> UUID | None:
    """Its connection; None: it waits already, has no payload any more, or there is none."""
    found: UUID | None = (await session.execute(_QUEUE_ONE, {"tenant": tenant_id, "id": event_id})).scalar()
    return found


async def queue(
    session: AsyncSession,
    tenant_id: UUID,
    replay_id: UUID,
    found: ReplayRow,
    wanted: Wanted,
    *,
    cursor: UUID,
    limit: int,
) -> list[UUID]:
    """The next of a replay's events, put in the queue again."""
    values = _values(tenant_id, found.connection_id, wanted)
    more = {"replay": replay_id, "up_to": found.up_to, "cursor": cursor, "limit": limit}
    return sorted((await session.execute(_QUEUE, {**values, **more})).scalars())


async def take_back(session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> None:
    """What waits of it stands again as its last attempt left it."""
    await session.execute(_TAKE_BACK, {"tenant": tenant_id, "replay": replay_id})


async def replay(
    session: AsyncSession, tenant_id: UUID, replay_id: UUID, *, locked: bool = False
) -> ReplayRow | None:
    query = select(*_REPLAY).where(Replay.tenant_id == tenant_id, Replay.id == replay_id)
    row = (await session.execute(query.with_for_update() if locked else query)).mappings().one_or_none()
    return None if row is None else ReplayRow(**row)


async def replay_outline(session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> ReplayOutline | None:
    """As the console may see it."""
    columns = [getattr(Replay, name) for name in ReplayOutline.__struct_fields__]
    row = (
        (await session.execute(select(*columns).where(Replay.tenant_id == tenant_id, Replay.id == replay_id)))
        .mappings()
        .one_or_none()
    )
    return None if row is None else ReplayOutline(**row)


async def replays(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[ReplayRow]:
    rows = await session.execute(
        select(*_REPLAY)
        .where(Replay.tenant_id == tenant_id, Replay.connection_id == connection_id)
        .order_by(Replay.id.desc())
        .limit(20)
    )
    return [ReplayRow(**row) for row in rows.mappings()]


async def cursor(session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> UUID | None:
    found: UUID | None = (
        await session.execute(
            select(Replay.cursor).where(Replay.tenant_id == tenant_id, Replay.id == replay_id)
        )
    ).scalar()
    return found


async def change(session: AsyncSession, tenant_id: UUID, replay_id: UUID, **values: Any) -> None:
    await session.execute(
        update(Replay).where(Replay.tenant_id == tenant_id, Replay.id == replay_id).values(**values)
    )


async def progress(session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> dict[str, int]:
    """Attempts so far, by outcome."""
    rows = await session.execute(_PROGRESS, {"tenant": tenant_id, "replay": replay_id})
    return {row.outcome: row.number for row in rows}


async def left(session: AsyncSession, tenant_id: UUID, connection_id: UUID, replay_id: UUID) -> int:
    """Events of it that wait."""
    values = {"tenant": tenant_id, "connection": connection_id, "replay": replay_id}
    number: int = (await session.execute(_LEFT, values)).scalar_one()
    return number


async def types(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[str]:
    rows = await session.execute(
        select(InboundEvent.type)
        .where(InboundEvent.tenant_id == tenant_id, InboundEvent.source_id == connection_id)
        .group_by(InboundEvent.type)
        .order_by(func.count().desc())
        .limit(50)
    )
    return sorted(rows.scalars())
