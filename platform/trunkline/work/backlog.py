"""SQL of dispatching: what is due, what is in flight, handing out. System role; the database's clock.

Its cost grows with due work, not with what sleeps: a glance at the oldest due rows is all it takes unless the
backlog is long. Only then are tenants visited one by one, a bounded number at a time, by skipping through
`ix_work_tenant_due`.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.work.fairness import Candidate, InFlight

WINDOW = 200
"""Rows looked at; fewer due than this are all looked at."""
PER_TENANT = 16
"""Rows of one tenant looked at when the backlog is long."""
VISITS = 2000
"""Rows, so at most tenants, visited in one go when the backlog is long; the next goes on behind them."""

_LOCK = 0x7472756E6B776B  # any number that nothing else locks

# A process that stops right here (SIGSTOP, a long pause) must not keep the others from dispatching.
_ONE_AT_A_TIME = text("""
    SELECT set_config('idle_in_transaction_session_timeout', '2000', true), pg_try_advisory_xact_lock(:lock)
""")

_IN_FLIGHT = text("""
    SELECT tenant_id, connection_id, count(*) AS count FROM work
    WHERE lease_until > now() AND kind = ANY(:kinds) GROUP BY tenant_id, connection_id
""")

_DUE = text("""
    SELECT tenant_id, id, connection_id, priority, due_at FROM work
    WHERE due_at <= now() AND (lease_until IS NULL OR lease_until <= now()) AND kind = ANY(:kinds)
    ORDER BY due_at LIMIT :window
""")

SENDING = "deliver"
"""A kind with a lane and an index of its own: however much is due of others is not looked at for it."""

_DUE_TO_SEND = text("""
    SELECT tenant_id, id, connection_id, priority, due_at FROM work
    WHERE kind = 'deliver' AND due_at <= now() AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY due_at LIMIT :window
""")

_DUE_BY_TENANT = text("""
    WITH RECURSIVE tenants (tenant_id, step) AS (
        (SELECT tenant_id, 1 FROM work WHERE tenant_id >= :start ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM work w WHERE w.tenant_id > t.tenant_id ORDER BY w.tenant_id LIMIT 1),
               t.step + 1
        FROM tenants t WHERE t.step < :visits AND t.tenant_id IS NOT NULL
    )
    SELECT t.tenant_id AS visited, due.id, due.connection_id, due.priority, due.due_at
    FROM (SELECT tenant_id FROM tenants WHERE tenant_id IS NOT NULL) t
    LEFT JOIN LATERAL (
        SELECT w.id, w.connection_id, w.priority, w.due_at FROM work w
        WHERE w.tenant_id = t.tenant_id AND w.tenant_id <> ALL(CAST(:full_tenants AS uuid[]))
          AND w.due_at <= now() AND (w.lease_until IS NULL OR w.lease_until <= now()) AND w.kind = ANY(:kinds)
          AND (w.connection_id IS NULL OR w.connection_id <> ALL(CAST(:full_connections AS uuid[])))
        ORDER BY w.priority, w.due_at LIMIT :each
    ) due ON true
    LIMIT :visits
""")

_WEIGHTS = text("SELECT id, weight FROM tenants WHERE id = ANY(CAST(:tenants AS uuid[])) AND weight <> 1")

_WEIGH = text("UPDATE tenants SET weight = :weight WHERE slug = :slug RETURNING id")

_HAND_OUT = text("""
    WITH free AS (
        SELECT w.tenant_id, w.id FROM work w
        JOIN unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[])) AS chosen(tenant_id, id)
          ON w.tenant_id = chosen.tenant_id AND w.id = chosen.id
        WHERE w.due_at <= now() AND (w.lease_until IS NULL OR w.lease_until <= now())
        FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE work w SET attempt = w.attempt + 1, leased_by = NULL,
                      lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM free WHERE w.tenant_id = free.tenant_id AND w.id = free.id
    RETURNING w.tenant_id, w.id, w.attempt
""")

_TAKE_BACK = text("""
    UPDATE work w SET lease_until = NULL
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), CAST(:attempts AS integer[]))
        AS unstarted(tenant_id, id, attempt)
    WHERE w.tenant_id = unstarted.tenant_id AND w.id = unstarted.id AND w.attempt = unstarted.attempt
      AND w.leased_by IS NULL
""")

_OVERDUE_UNKNOWN = text("""
    SELECT kind, count(*) AS count FROM work
    WHERE due_at <= now() - interval '1 minute' AND lease_until IS NULL AND NOT kind = ANY(:kinds)
    GROUP BY kind
""")


class HandOut(msgspec.Struct, frozen=True):
    """Work that is about to run: the row and the attempt that it was handed out as."""

    tenant_id: UUID
    work_id: UUID
    attempt: int


async def one_at_a_time(session: AsyncSession) -> bool:
    """Whether this transaction may dispatch; the caps would not hold with two at once."""
    return bool((await session.execute(_ONE_AT_A_TIME, {"lock": _LOCK})).one()[1])


async def in_flight(session: AsyncSession, kinds: Sequence[str]) -> InFlight:
    """Of these kinds: each lane of work has caps of its own."""
    tenants: dict[UUID, int] = {}
    connections: dict[UUID, int] = {}
    for row in (await session.execute(_IN_FLIGHT, {"kinds": list(kinds)})).mappings():
        tenants[row["tenant_id"]] = tenants.get(row["tenant_id"], 0) + row["count"]
        if row["connection_id"] is not None:
            connections[row["connection_id"]] = connections.get(row["connection_id"], 0) + row["count"]
    return InFlight(tenants=tenants, connections=connections)


async def due(session: AsyncSession, kinds: Sequence[str]) -> list[Candidate]:
    """The `WINDOW` rows that have been due longest."""
    if list(kinds) == [SENDING]:
        found = await session.execute(_DUE_TO_SEND, {"window": WINDOW})
    else:
        found = await session.execute(_DUE, {"kinds": list(kinds), "window": WINDOW})
    rows = found.mappings()
    return [_candidate(row, row["tenant_id"]) for row in rows]


async def due_by_tenant(
    session: AsyncSession,
    kinds: Sequence[str],
    *,
    start: UUID,
    full_tenants: Collection[UUID],
    full_connections: Collection[UUID],
) -> tuple[list[Candidate], UUID | None]:
    """A few rows of each tenant from `start` on, and the last tenant visited; None: the end was reached."""
    rows = (
        (
            await session.execute(
                _DUE_BY_TENANT,
                {
                    "kinds": list(kinds),
                    "start": start,
                    "visits": VISITS,
                    "each": PER_TENANT,
                    "full_tenants": list(full_tenants),
                    "full_connections": list(full_connections),
                },
            )
        )
        .mappings()
        .all()
    )
    found = [_candidate(row, row["visited"]) for row in rows if row["id"] is not None]
    return found, max(row["visited"] for row in rows) if len(rows) >= VISITS else None


def _candidate(row: RowMapping, tenant_id: UUID) -> Candidate:
    return Candidate(
        tenant_id=tenant_id,
        id=row["id"],
        connection_id=row["connection_id"],
        priority=row["priority"],
        due_at=row["due_at"],
    )


async def weights(session: AsyncSession, tenants: Collection[UUID]) -> dict[UUID, int]:
    """Of those that have another weight than 1."""
    rows = await session.execute(_WEIGHTS, {"tenants": list(tenants)})
    return {row.id: row.weight for row in rows}


async def weigh(session: AsyncSession, slug: str, weight: int) -> bool:
    """Sets it; False where there is no such tenant."""
    return (await session.execute(_WEIGH, {"slug": slug, "weight": weight})).scalar() is not None


async def hand_out(session: AsyncSession, chosen: Sequence[Candidate], seconds: float) -> list[HandOut]:
    """Lease them; rows that somebody else locks or has just taken are left out. In the order chosen."""
    values: dict[str, Any] = {
        "tenants": [candidate.tenant_id for candidate in chosen],
        "ids": [candidate.id for candidate in chosen],
        "seconds": seconds,
    }
    rows = {
        row.id: HandOut(row.tenant_id, row.id, row.attempt)
        for row in await session.execute(_HAND_OUT, values)
    }
    return [rows[candidate.id] for candidate in chosen if candidate.id in rows]


async def take_back(session: AsyncSession, handed: Sequence[HandOut]) -> None:
    """Undo handing out what nobody has begun."""
    await session.execute(
        _TAKE_BACK,
        {
            "tenants": [one.tenant_id for one in handed],
            "ids": [one.work_id for one in handed],
            "attempts": [one.attempt for one in handed],
        },
    )


async def overdue_unknown(session: AsyncSession, kinds: Sequence[str]) -> dict[str, int]:
    """Kinds that this version cannot do and nobody else does either: how many are due since a minute."""
    rows = await session.execute(_OVERDUE_UNKNOWN, {"kinds": list(kinds)})
    return {row["kind"]: row["count"] for row in rows.mappings()}
