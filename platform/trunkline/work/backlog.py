"""SQL of dispatching: what is due, what is in flight, handing out. System role; the database's clock.

Its cost grows with due work, not with what sleeps: a glance at the oldest due rows is all it takes unless the
backlog is long. Only then are tenants visited one by one, a bounded number at a time, by skipping through
`ix_work_tenant_due`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.work.fairness import Candidate, Caps, InFlight

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
    SELECT tenant_id, connection_id, count(*) AS flying FROM work
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

# One statement, since everybody waits for a round: what is in flight, and a few rows of each tenant that may
# have more, from `start` on and then from the beginning up to it. It stops when it has seen enough rows.
_DUE_BY_TENANT = text("""
    WITH RECURSIVE flight AS MATERIALIZED (
        SELECT tenant_id, connection_id, count(*) AS count FROM work
        WHERE lease_until > now() AND kind = ANY(:kinds) GROUP BY tenant_id, connection_id
    ), behind (tenant_id, step) AS (
        (SELECT tenant_id, 1 FROM work WHERE tenant_id >= :start ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM work w WHERE w.tenant_id > t.tenant_id ORDER BY w.tenant_id LIMIT 1),
               t.step + 1
        FROM behind t WHERE t.step < :visits AND t.tenant_id IS NOT NULL
    ), before (tenant_id, step) AS (
        (SELECT tenant_id, 1 FROM work WHERE tenant_id < :start ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM work w WHERE w.tenant_id > t.tenant_id ORDER BY w.tenant_id LIMIT 1),
               t.step + 1
        FROM before t WHERE t.step < :visits AND t.tenant_id < :start
    ), visited AS (
        SELECT tenant_id, step, false AS again FROM behind WHERE tenant_id IS NOT NULL
        UNION ALL SELECT tenant_id, step, true FROM before WHERE tenant_id < :start
    )
    (SELECT v.tenant_id, v.step, v.again, due.id, due.connection_id, due.priority, due.due_at, t.weight,
           NULL::bigint AS flying
    FROM visited v
    LEFT JOIN LATERAL (
        SELECT w.id, w.connection_id, w.priority, w.due_at FROM work w
        WHERE w.tenant_id = v.tenant_id
          AND (SELECT coalesce(sum(f.count), 0) FROM flight f WHERE f.tenant_id = v.tenant_id) < :tenant_cap
          AND w.due_at <= now() AND (w.lease_until IS NULL OR w.lease_until <= now()) AND w.kind = ANY(:kinds)
          AND NOT EXISTS (SELECT FROM flight f
                          WHERE f.connection_id = w.connection_id AND f.count >= :connection_cap)
        ORDER BY w.priority, w.due_at LIMIT :each
    ) due ON true
    LEFT JOIN tenants t ON t.id = v.tenant_id AND due.id IS NOT NULL
    LIMIT :visits)
    UNION ALL
    SELECT tenant_id, NULL, NULL, NULL, connection_id, NULL, NULL, NULL, count FROM flight
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
    found = (await session.execute(_IN_FLIGHT, {"kinds": list(kinds)})).all()
    return _in_flight((row.tenant_id, row.connection_id, row.flying) for row in found)


def _in_flight(rows: Iterable[tuple[UUID, UUID | None, int]]) -> InFlight:
    tenants: dict[UUID, int] = {}
    connections: dict[UUID, int] = {}
    for tenant_id, connection_id, count in rows:
        tenants[tenant_id] = tenants.get(tenant_id, 0) + count
        if connection_id is not None:
            connections[connection_id] = connections.get(connection_id, 0) + count
    return InFlight(tenants=tenants, connections=connections)


async def due(session: AsyncSession, kinds: Sequence[str]) -> list[Candidate]:
    """The `WINDOW` rows that have been due longest."""
    if list(kinds) == [SENDING]:
        found = await session.execute(_DUE_TO_SEND, {"window": WINDOW})
    else:
        found = await session.execute(_DUE, {"kinds": list(kinds), "window": WINDOW})
    rows = found.mappings()
    return [_candidate(row, row["tenant_id"]) for row in rows]


class Round(msgspec.Struct, frozen=True):
    """What is due. `visited`: the last tenant looked at, None when all were; `full`: there may be more of a
    tenant, or of a connection, than was looked at.
    """

    due: list[Candidate]
    in_flight: InFlight
    weights: dict[UUID, int]
    visited: UUID | None
    full: bool


async def due_by_tenant(session: AsyncSession, kinds: Sequence[str], *, start: UUID, caps: Caps) -> Round:
    """A few rows of each tenant that is below its caps, from `start` on."""
    found = await session.execute(
        _DUE_BY_TENANT,
        {
            "kinds": list(kinds),
            "start": start,
            "visits": VISITS,
            "each": PER_TENANT,
            "tenant_cap": caps.tenant,
            "connection_cap": caps.connection,
        },
    )
    rows = found.mappings().all()
    seen = [row for row in rows if row["flying"] is None]
    due = [_candidate(row, row["tenant_id"]) for row in seen if row["id"] is not None]
    in_flight = _in_flight(
        (row["tenant_id"], row["connection_id"], row["flying"]) for row in rows if row["flying"] is not None
    )
    last = max(seen, key=lambda row: (row["again"], row["step"]), default=None)
    return Round(
        due,
        in_flight,
        {row["tenant_id"]: row["weight"] for row in seen if row["weight"] not in {None, 1}},
        visited=last["tenant_id"] if last and len(seen) >= VISITS else None,
        full=(
            any(count >= PER_TENANT for count in Counter(one.tenant_id for one in due).values())
            or any(count >= caps.tenant for count in in_flight.tenants.values())
            or any(count >= caps.connection for count in in_flight.connections.values())
        ),
    )


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
