"""All SQL of the backlog. Times are the database's: workers' clocks may differ.

A row is nobody's (`lease_until` null), handed out (`leased_by` null: on its way to a worker), or held
(`leased_by` a worker). `attempt` grows with each handing out, so holder and attempt name one execution.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, cast
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.ids import new_id


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker learns when it takes a piece of work in hand; `now` is the database's time."""

    tenant_id: UUID
    id: UUID
    kind: str
    key: str
    args: dict[str, Any]
    connection_id: UUID | None
    attempt: int
    tries: int
    now: datetime


class Wanted(msgspec.Struct, frozen=True):
    """A hand-out to be taken in hand. `again`: this holder tried before and does not know what came of it."""

    tenant_id: UUID
    work_id: UUID
    attempt: int
    again: bool = False


class Held(Protocol):
    """Names one execution: a lease."""

    tenant_id: UUID
    work_id: UUID
    attempt: int
    holder: str


_ENQUEUE = text("""
    INSERT INTO work AS w (tenant_id, id, kind, key, connection_id, args, priority, due_at, ready)
    VALUES (:tenant_id, :id, :kind, :key, :connection_id, CAST(:args AS jsonb), :priority,
            coalesce(CAST(:due_at AS timestamptz), now()),
            coalesce(CAST(:due_at AS timestamptz) <= now(), true))
    ON CONFLICT (tenant_id, kind, key) DO UPDATE SET
        due_at = CASE WHEN w.lease_until IS NULL THEN least(w.due_at, excluded.due_at) ELSE w.due_at END,
        ready = w.ready OR (w.lease_until IS NULL AND excluded.ready),
        again_at = CASE WHEN w.lease_until IS NULL THEN w.again_at
                        ELSE least(w.again_at, excluded.due_at) END,
        connection_id = coalesce(excluded.connection_id, w.connection_id),
        args = CASE WHEN :replace THEN excluded.args ELSE w.args END,
        priority = least(w.priority, excluded.priority)
""")

_CANCEL = text("DELETE FROM work WHERE tenant_id = :tenant_id AND kind = :kind AND key = :key")

_RENEW = text("""
    UPDATE work SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE tenant_id = :tenant_id AND id = :id AND attempt = :attempt AND leased_by = :holder
""")

_DELETE = text("""
    DELETE FROM work
    WHERE tenant_id = :tenant_id AND id = :id AND attempt = :attempt AND leased_by = :holder
      AND again_at IS NULL
""")

_REARM = text("""
    UPDATE work SET due_at = least(again_at, CAST(:at AS timestamptz)), again_at = NULL,
                    ready = least(again_at, CAST(:at AS timestamptz)) <= now(),
                    tries = 0, cause = NULL, lease_until = NULL, leased_by = NULL
    WHERE tenant_id = :tenant_id AND id = :id AND attempt = :attempt AND leased_by = :holder
""")

# again_at stays: whoever asked while this try ran wants a run that begins after the asking
_RETRY = text("""
    UPDATE work SET due_at = :at, ready = false, tries = tries + 1, cause = :cause,
                    lease_until = NULL, leased_by = NULL
    WHERE tenant_id = :tenant_id AND id = :id AND attempt = :attempt AND leased_by = :holder
""")

_HAND_BACK = text("""
    UPDATE work SET due_at = clock_timestamp(), ready = true, lease_until = NULL, leased_by = NULL
    WHERE tenant_id = :tenant_id AND id = :id AND attempt = :attempt AND leased_by = :holder
""")


async def enqueue(
    session: AsyncSession,
    *,
    tenant_id: UUID,
    kind: str,
    key: str,
    due_at: datetime | None,
    connection_id: UUID | None,
    args: dict[str, Any] | None,
    priority: int,
) -> None:
    await session.execute(
        _ENQUEUE,
        {
            "tenant_id": tenant_id,
            "id": new_id(),
            "kind": kind,
            "key": key,
            "connection_id": connection_id,
            "args": msgspec.json.encode(args or {}).decode(),
            "replace": args is not None,
            "priority": priority,
            "due_at": due_at,
        },
    )


async def cancel(session: AsyncSession, tenant_id: UUID, kind: str, key: str) -> None:
    await session.execute(_CANCEL, {"tenant_id": tenant_id, "kind": kind, "key": key})


async def renew(session: AsyncSession, held: Held, seconds: float) -> bool:
    return await _touch(session, _RENEW, held, seconds=seconds)


async def done(session: AsyncSession, held: Held, again_at: datetime | None) -> bool:
    if again_at is None and await _touch(session, _DELETE, held):
        return True
    return await _touch(session, _REARM, held, at=again_at)


async def retry(session: AsyncSession, held: Held, cause: str, at: datetime) -> bool:
    return await _touch(session, _RETRY, held, cause=cause, at=at)


async def hand_back(session: AsyncSession, held: Held) -> bool:
    return await _touch(session, _HAND_BACK, held)


async def _touch(session: AsyncSession, statement: Any, held: Held, **values: object) -> bool:
    result = await session.execute(
        statement,
        {
            "tenant_id": held.tenant_id,
            "id": held.work_id,
            "attempt": held.attempt,
            "holder": held.holder,
            **values,
        },
    )
    return cast("CursorResult[Any]", result).rowcount == 1


# --- across tenants (system role) ---

# once only: a second copy of the same hand-out finds leased_by set; `again`: our own, whose reply was lost
_CLAIM = """
    WITH mine AS (
        SELECT w.tenant_id, w.id FROM work w
        JOIN unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:attempts AS integer[]),
                    CAST(:again AS boolean[])) AS wanted(tenant_id, id, attempt, again)
          ON w.tenant_id = wanted.tenant_id AND w.id = wanted.id AND w.attempt = wanted.attempt
        WHERE w.lease_until IS NOT NULL AND (w.leased_by IS NULL OR (wanted.again AND w.leased_by = :holder))
        FOR UPDATE OF w {wait}
    )
    UPDATE work w SET leased_by = :holder, lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM mine WHERE w.tenant_id = mine.tenant_id AND w.id = mine.id
    RETURNING w.tenant_id, w.id, w.attempt, w.kind, w.key, w.args, w.connection_id, w.tries,
        clock_timestamp() AS now
"""
_CLAIM_FREE, _CLAIM_ALL = text(_CLAIM.format(wait="SKIP LOCKED")), text(_CLAIM.format(wait=""))

_DELETE_MANY = text("""
    WITH mine AS (
        SELECT w.tenant_id, w.id FROM work w
        JOIN unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:attempts AS integer[]))
            AS held(tenant_id, id, attempt)
          ON w.tenant_id = held.tenant_id AND w.id = held.id AND w.attempt = held.attempt
        WHERE w.leased_by = :holder AND w.again_at IS NULL
        FOR UPDATE OF w SKIP LOCKED
    )
    DELETE FROM work w USING mine WHERE w.tenant_id = mine.tenant_id AND w.id = mine.id
    RETURNING w.id
""")

_HEARTBEAT = text("""
    WITH mine AS (
        SELECT w.tenant_id, w.id FROM work w
        JOIN unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:attempts AS integer[]))
            AS held(tenant_id, id, attempt)
          ON w.tenant_id = held.tenant_id AND w.id = held.id AND w.attempt = held.attempt
        WHERE w.leased_by = :holder
        FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE work w SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM mine WHERE w.tenant_id = mine.tenant_id AND w.id = mine.id
    RETURNING w.id
""")

_STILL_MINE = text("""
    SELECT w.id FROM work w
    JOIN unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:attempts AS integer[]))
        AS held(tenant_id, id, attempt)
      ON w.tenant_id = held.tenant_id AND w.id = held.id AND w.attempt = held.attempt
    WHERE w.leased_by = :holder
""")


async def claims(
    session: AsyncSession, wanted: Sequence[Wanted], holder: str, seconds: float, *, wait: bool = False
) -> dict[UUID, Claimed]:
    """Take them in hand, those that are there for the taking; by id. A row that is locked is left out, or
    waited for (then ask for one only: who waits while holding others may wait for ever).
    """
    values = {**_names(wanted), "again": [one.again for one in wanted], "holder": holder, "seconds": seconds}
    rows = await session.execute(_CLAIM_ALL if wait else _CLAIM_FREE, values)
    return {row["id"]: Claimed(**row) for row in rows.mappings()}


async def delete(session: AsyncSession, held: Sequence[Held], holder: str) -> set[UUID]:
    """Those that are finished and not asked for again; a row that is locked right now is left out."""
    return set((await session.execute(_DELETE_MANY, {**_names(held), "holder": holder})).scalars())


def _names(of: Sequence[Wanted] | Sequence[Held]) -> dict[str, list[Any]]:
    return {
        "tenants": [one.tenant_id for one in of],
        "ids": [one.work_id for one in of],
        "attempts": [one.attempt for one in of],
    }


async def heartbeat(session: AsyncSession, held: Sequence[Held], *, holder: str, seconds: float) -> set[UUID]:
    """Renew what is still held by `holder`; the ids of what is.

    A row that is locked right now is left alone, so a heartbeat never waits for a handler's own fence,
    nor a fence for more than this one statement.
    """
    values = {**_names(held), "holder": holder}
    renewed = set((await session.execute(_HEARTBEAT, {**values, "seconds": seconds})).scalars())
    if len(renewed) == len(held):
        return renewed
    return set((await session.execute(_STILL_MINE, values)).scalars())
