"""The SQL of events while something is made of them. Sessions are the tenant's own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.writes import Place

Outcome = Literal["applied", "unchanged", "superseded", "ignored", "dead", "failed"]
"""`failed`: it is tried again; the others are the event's new state."""
GONE: Final = "gone"
"""Cause of an outcome: a sign in the event, not its type, said that the record is gone."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    type: str
    body: bytes | None
    key_version: int
    occurred_at: datetime | None
    received_at: datetime
    label: str
    tries: int
    attempts: int
    replay_id: UUID | None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt at an event came to. `retry_at`: of one that failed."""

    event: Queued
    outcome: Outcome
    cause: str | None = None
    stream: str | None = None
    external_ids: Sequence[str] = ()
    retry_at: datetime | None = None


class HeldForm(msgspec.Struct, frozen=True):
    """A record as it is held."""

    modified_at: datetime | None
    deleted_at: datetime | None
    received_at: datetime


_CONNECTION = text("""
    SELECT state, connector || coalesce('@' || connector_version, '') AS connector
    FROM connections WHERE tenant_id = :tenant AND id = :connection
""")

_TAKE = text("""
    SELECT id, type, body, key_version, occurred_at, received_at, label, tries, attempts, replay_id
    FROM inbound_events
    WHERE tenant_id = :tenant AND connection_id = :connection AND state = 'queued'
      AND due_at <= clock_timestamp()
    ORDER BY due_at, id LIMIT :limit
""")

_READ = text("""
    SELECT id, type, body, key_version, occurred_at, received_at, label, tries, attempts, replay_id
    FROM inbound_events WHERE tenant_id = :tenant AND id = ANY(CAST(:ids AS uuid[])) ORDER BY id
""")

_NEXT = text("""
    SELECT min(due_at) FROM inbound_events
    WHERE tenant_id = :tenant AND connection_id = :connection AND state = 'queued'
""")

_MARK = text("""
    UPDATE inbound_events e SET state = m.state, cause = m.cause, attempts = e.attempts + 1,
        tries = CASE WHEN m.state = 'queued' THEN e.tries + 1 ELSE 0 END,
        label = CASE WHEN m.state = 'queued' THEN 'automatic' ELSE e.label END,
        due_at = coalesce(m.retry_at, e.due_at), stream = coalesce(m.stream, e.stream),
        external_ids = string_to_array(m.external_ids, chr(31)),
        done_at = CASE WHEN m.state = 'queued' THEN NULL ELSE now() END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:causes AS text[]),
                CAST(:retries AS timestamptz[]), CAST(:streams AS text[]), CAST(:externals AS text[]))
        AS m(id, state, cause, retry_at, stream, external_ids)
    WHERE e.tenant_id = :tenant AND e.id = m.id
""")

_ATTEMPT = text("""
    INSERT INTO inbound_attempts (tenant_id, event_id, number, label, outcome, cause, run_id, replay_id)
    SELECT CAST(:tenant AS uuid), a.* , CAST(:run AS uuid), a_replay.replay_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:numbers AS integer[]), CAST(:labels AS text[]),
                CAST(:outcomes AS text[]), CAST(:causes AS text[]))
        AS a(event_id, number, label, outcome, cause)
    JOIN inbound_events a_replay ON a_replay.tenant_id = :tenant AND a_replay.id = a.event_id
""")

_FORMS = text("""
    SELECT external_id, modified_at, deleted_at, received_at FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_DELETIONS = text("""
    SELECT DISTINCT ON (x.external_id) x.external_id, coalesce(e.occurred_at, e.received_at)
    FROM inbound_events e, unnest(e.external_ids) AS x(external_id)
    WHERE e.tenant_id = :tenant AND e.source_id = :connection AND e.stream = :stream
      AND e.external_ids && CAST(:ids AS text[])
      AND (e.cause = 'gone' OR e.type = ANY(CAST(:types AS text[])) AND e.occurred_at IS NOT NULL)
    ORDER BY x.external_id, coalesce(e.occurred_at, e.received_at) DESC
""")

_RUN = text("""
    SELECT id FROM runs
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND mode = 'webhook'
      AND created_at > now() - interval '1 hour'
    ORDER BY created_at DESC LIMIT 1
""")

_BEGIN_RUN = text("""
    INSERT INTO runs (tenant_id, id, connection_id, stream, mode, trigger, state, attempt, started_at)
    VALUES (:tenant, :run, :connection, :stream, 'webhook', 'webhook', 'running', 1, now())
    ON CONFLICT (tenant_id, id) DO UPDATE SET state = 'running'
""")

_BEGIN_APPROVED = text("""
    INSERT INTO runs (tenant_id, id, connection_id, stream, mode, trigger, state, attempt, started_at)
    VALUES (:tenant, :run, :connection, :stream, 'incremental', 'review', 'running', 1, now())
    ON CONFLICT (tenant_id, id) DO NOTHING
""")

_END_RUN = text("""
    UPDATE runs SET state = 'succeeded', finished_at = now()
    WHERE tenant_id = :tenant AND id = :run AND mode = 'webhook'
""")

_MOVE = text("""
    UPDATE streams s SET records = records + :records, told_since = coalesce(s.told_since, now()),
        last_success_at = CASE WHEN s.schedule_seconds = 0 THEN now() ELSE s.last_success_at END
    WHERE s.tenant_id = :tenant AND s.connection_id = :connection AND s.stream = :stream
      AND s.paused_at IS NULL
      AND EXISTS (SELECT FROM connections c
                  WHERE c.tenant_id = :tenant AND c.id = :connection AND c.state = 'active')
    RETURNING s.stream
""")

_STREAM = text("""
    SELECT paused_at, known_fields, drift FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
""")

_EXPIRE = text("""
    UPDATE inbound_events SET body = NULL, headers = NULL
    WHERE tenant_id = :tenant AND id IN (
        SELECT id FROM inbound_events
        WHERE tenant_id = :tenant AND body IS NOT NULL AND expires_at <= now() AND state <> 'queued'
        LIMIT 1000)
""")

_DEVIATING = text("""
    UPDATE inbound_events e SET differs = d.words
    FROM unnest(CAST(:ids AS uuid[]), CAST(:words AS text[])) AS d(id, words)
    WHERE e.tenant_id = :tenant AND e.id = d.id AND e.differs IS NULL
    RETURNING e.id
""")

_DEAD = text("""
    SELECT count(*) FROM inbound_events
    WHERE tenant_id = :tenant AND source_id = :connection AND state = 'dead'
""")


async def connection(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Any:
    """State and connector; None: there is none."""
    values = {"tenant": tenant_id, "connection": connection_id}
    return (await session.execute(_CONNECTION, values)).one_or_none()


async def take(session: AsyncSession, tenant_id: UUID, connection_id: UUID, limit: int) -> list[Queued]:
    """What is due, the longest waiting first."""
    values = {"tenant": tenant_id, "connection": connection_id, "limit": limit}
    return [Queued(**row) for row in (await session.execute(_TAKE, values)).mappings()]


async def read(session: AsyncSession, tenant_id: UUID, ids: Sequence[UUID]) -> list[Queued]:
    """As they would be taken, whatever their state."""
    rows = await session.execute(_READ, {"tenant": tenant_id, "ids": list(ids)})
    return [Queued(**row) for row in rows.mappings()]


async def next_due(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> datetime | None:
    found: datetime | None = (
        await session.execute(_NEXT, {"tenant": tenant_id, "connection": connection_id})
    ).scalar()
    return found


async def mark(session: AsyncSession, tenant_id: UUID, run_id: UUID | None, made: Sequence[Made]) -> None:
    """The events' new state, and an attempt of each."""
    if not made:
        return
    ids = [one.event.id for one in made]
    await session.execute(
        _ATTEMPT,
        {
            "tenant": tenant_id,
            "run": run_id,
            "ids": ids,
            "numbers": [one.event.attempts + 1 for one in made],
            "labels": [one.event.label for one in made],
            "outcomes": [one.outcome for one in made],
            "causes": [one.cause for one in made],
        },
    )
    await session.execute(
        _MARK,
        {
            "tenant": tenant_id,
            "ids": ids,
            "states": ["queued" if one.outcome == "failed" else one.outcome for one in made],
            "causes": [one.cause for one in made],
            "retries": [one.retry_at for one in made],
            "streams": [one.stream for one in made],
            "externals": ["\x1f".join(one.external_ids) for one in made],
        },
    )


async def forms(session: AsyncSession, place: Place, ids: Sequence[str]) -> dict[str, HeldForm]:
    """By external id."""
    rows = await session.execute(_FORMS, {**place.params(), "ids": list(ids)})
    return {row[0]: HeldForm(*row[1:]) for row in rows}


async def deletions(
    session: AsyncSession, place: Place, types: Sequence[str], ids: Sequence[str]
) -> dict[str, datetime]:
    """When the last event of these types said that each of the records is gone."""
    values = {**place.params(), "types": list(types), "ids": list(ids)}
    return {row[0]: row[1] for row in await session.execute(_DELETIONS, values)}


async def recent_run(session: AsyncSession, place: Place) -> UUID | None:
    """The run that what arrives now is counted in."""
    found: UUID | None = (await session.execute(_RUN, place.params())).scalar()
    return found


async def begin_run(session: AsyncSession, place: Place, run_id: UUID) -> None:
    await session.execute(_BEGIN_RUN, {**place.params(), "run": run_id})


async def begin_approved(session: AsyncSession, place: Place, run_id: UUID) -> None:
    """A run that carries out what a human approved; it is not counted among what was told."""
    await session.execute(_BEGIN_APPROVED, {**place.params(), "run": run_id})


async def end_run(session: AsyncSession, tenant_id: UUID, run_id: UUID) -> None:
    await session.execute(_END_RUN, {"tenant": tenant_id, "run": run_id})


async def move(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: bytes, records: int, *, waiting: bool
) -> bool:
    """As `runs.writes.move`: what arrives has no checkpoint, only records."""
    del run_id, checkpoint, waiting
    return (await session.execute(_MOVE, {**place.params(), "records": records})).scalar() is not None


async def stream(session: AsyncSession, place: Place) -> Any:
    """paused_at, known_fields, drift; None: no recipe ever read it."""
    return (await session.execute(_STREAM, place.params())).one_or_none()


async def expire(session: AsyncSession, tenant_id: UUID) -> int:
    """Forgets payloads whose time is up; how many."""
    done = await session.execute(_EXPIRE, {"tenant": tenant_id})
    return cast("CursorResult[Any]", done).rowcount


async def note_deviating(session: AsyncSession, tenant_id: UUID, words: Mapping[UUID, str]) -> int:
    """How the events deviate; of how many nobody had known."""
    values = {"tenant": tenant_id, "ids": list(words), "words": list(words.values())}
    return len((await session.execute(_DEVIATING, values)).all())


async def dead(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> int:
    """How many dead letters the connection has."""
    values = {"tenant": tenant_id, "connection": connection_id}
    count: int = (await session.execute(_DEAD, values)).scalar_one()
    return count
