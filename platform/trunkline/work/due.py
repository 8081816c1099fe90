"""SQL of what is due and what is in flight. System role; the database's clock.

A row is found by its tenant once it is known to be due (`ready`), else by its time. A glance at both is all
it takes unless the backlog is long. Only then are tenants visited one by one, those that have something
ready: as many as the free slots need to choose from. The cost grows with what is handed out, neither with the
tenants that have work due nor with those whose work sleeps.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.work.fairness import Candidate, Caps, InFlight

WINDOW = 200
"""Rows looked at, of those ready and of those asleep; fewer due than this are all looked at."""
PER_TENANT = 16
"""Rows of one tenant looked at when the backlog is long, at most."""
NARROW = 2
"""The same when there are more tenants than are looked at in one go: breadth counts for more."""
SPARE = 32
"""Rows looked at beyond `NARROW` for each free slot: to choose from where some are in flight already."""
ROUSED = 500
"""Rows that slept and are made ready in one go, when more are due than a glance shows."""

SENDING = "deliver"
"""A kind with a lane and indexes of its own: however much is due of others is not looked at for it."""

_FREE = "{lane} AND due_at <= now() AND (lease_until IS NULL OR lease_until <= now()) AND kind = ANY(:kinds)"

_ASLEEP = """
    SELECT tenant_id, id, connection_id, priority, due_at FROM work
    WHERE NOT ready AND {free} ORDER BY due_at LIMIT :rows
"""

# The order makes the index the way to go, whatever the planner thinks of the table's rows.
_AT_A_GLANCE = """
    (SELECT tenant_id, id, connection_id, priority, due_at, true AS ready FROM work
     WHERE ready AND {free} ORDER BY tenant_id, priority, due_at LIMIT :rows)
    UNION ALL
    SELECT asleep.*, false FROM ({asleep}) asleep
"""

# One statement, since everybody waits for a round: what is in flight, and a few rows of each tenant that may
# have more, from `start` on and then from the beginning up to it. It stops when it has seen enough rows. What
# slept is seen besides; when there is too much of it, it is roused first.
_BY_TENANT = """
    WITH RECURSIVE flight AS MATERIALIZED (
        SELECT tenant_id, connection_id, count(*) AS count FROM work
        WHERE lease_until > now() AND kind = ANY(:kinds) GROUP BY tenant_id, connection_id
    ), behind (tenant_id, step) AS (
        (SELECT tenant_id, 1 FROM work WHERE ready AND {lane} AND tenant_id >= :start
         ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM work w WHERE ready AND {lane} AND w.tenant_id > t.tenant_id
                ORDER BY w.tenant_id LIMIT 1),
               t.step + 1
        FROM behind t WHERE t.step < :rows AND t.tenant_id IS NOT NULL
    ), before (tenant_id, step) AS (
        (SELECT tenant_id, 1 FROM work WHERE ready AND {lane} AND tenant_id < :start
         ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT w.tenant_id FROM work w WHERE ready AND {lane} AND w.tenant_id > t.tenant_id
                ORDER BY w.tenant_id LIMIT 1),
               t.step + 1
        FROM before t WHERE t.step < :rows AND t.tenant_id < :start
    ), visited AS (
        SELECT tenant_id, step, false AS again FROM behind WHERE tenant_id IS NOT NULL
        UNION ALL SELECT tenant_id, step, true FROM before WHERE tenant_id < :start
    ), seen AS (
        (SELECT v.tenant_id, v.step, v.again, due.id, due.connection_id, due.priority, due.due_at, t.weight
         FROM visited v LEFT JOIN tenants t ON t.id = v.tenant_id
         LEFT JOIN LATERAL (
             SELECT w.id, w.connection_id, w.priority, w.due_at FROM work w
             WHERE w.tenant_id = v.tenant_id AND ready AND {free}
               AND (SELECT coalesce(sum(f.count), 0) FROM flight f
                    WHERE f.tenant_id = v.tenant_id) < :tenant_cap
               AND NOT EXISTS (SELECT FROM flight f
                               WHERE f.connection_id = w.connection_id AND f.count >= :connection_cap)
             ORDER BY w.priority, w.due_at LIMIT :each
         ) due ON true
         LIMIT :rows)
        UNION ALL
        SELECT a.tenant_id, NULL, NULL, a.id, a.connection_id, a.priority, a.due_at, t.weight
        FROM ({asleep}) a LEFT JOIN tenants t ON t.id = a.tenant_id
    )
    SELECT seen.*, NULL::bigint AS flying FROM seen
    UNION ALL
    SELECT tenant_id, NULL, NULL, NULL, connection_id, NULL, NULL, NULL, count FROM flight
"""

_ROUSE = """
    WITH sleeping AS (
        SELECT tenant_id, id FROM work WHERE NOT ready AND {free} ORDER BY due_at LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
    UPDATE work w SET ready = true FROM sleeping s WHERE w.tenant_id = s.tenant_id AND w.id = s.id
"""

_IN_FLIGHT = text("""
    SELECT tenant_id, connection_id, count(*) AS flying FROM work
    WHERE lease_until > now() AND kind = ANY(:kinds) GROUP BY tenant_id, connection_id
""")


class Lane(msgspec.Struct, frozen=True):
    """The statements for kinds that share an index. `locks`: held by the one that leases them."""

    locks: tuple[int, ...]
    at_a_glance: TextClause
    by_tenant: TextClause
    rouse: TextClause


def _lane(condition: str, *locks: int) -> Lane:
    free = _FREE.format(lane=condition)
    asleep = _ASLEEP.format(free=free)
    return Lane(
        locks,
        *(
            text(statement.format(lane=condition, free=free, asleep=asleep))
            for statement in (_AT_A_GLANCE, _BY_TENANT, _ROUSE)
        ),
    )


_LOCK = 0x7472756E6B776B  # any number that nothing else locks; the next is the other lane's
_OTHERS, _TO_SEND = _lane("kind <> 'deliver'", _LOCK), _lane("kind = 'deliver'", _LOCK + 1)
_MIXED = _lane("true", _LOCK, _LOCK + 1)


def lane_of(kinds: Sequence[str]) -> Lane:
    """Whoever leases what is sent together with other kinds has no index for it, as fits a test."""
    if SENDING not in kinds:
        return _OTHERS
    return _TO_SEND if list(kinds) == [SENDING] else _MIXED


class Glance(msgspec.Struct, frozen=True):
    """`long`: there is more than this of what is ready, or of what slept; `asleep`: of the latter."""

    due: list[Candidate]
    long: bool
    asleep: bool


async def at_a_glance(session: AsyncSession, lane: Lane, kinds: Sequence[str]) -> Glance:
    rows = (await session.execute(lane.at_a_glance, {"kinds": list(kinds), "rows": WINDOW})).mappings().all()
    asleep = sum(not row["ready"] for row in rows)
    return Glance([_candidate(row) for row in rows], len(rows) >= WINDOW, asleep >= WINDOW)


class Round(msgspec.Struct, frozen=True):
    """What is due. `visited`: the last tenant looked at, None when all were; `tenants`: how many were.

    `full`: there may be more of a tenant or a connection than was looked at, or of what slept (`asleep`).
    """

    due: list[Candidate]
    in_flight: InFlight
    weights: dict[UUID, int]
    visited: UUID | None = None
    tenants: int = 0
    full: bool = False
    asleep: bool = False


def rows_for(free: int) -> int:
    """Looked at for so many free slots; at least so many tenants, if there are."""
    return SPARE + NARROW * free


async def by_tenant(
    session: AsyncSession, lane: Lane, kinds: Sequence[str], *, start: UUID, caps: Caps, rows: int, each: int
) -> Round:
    """At most `each` rows of each tenant that is below its caps, from `start` on, until `rows` were seen."""
    values = {"kinds": list(kinds), "start": start, "rows": rows, "each": each}
    values |= {"tenant_cap": caps.tenant, "connection_cap": caps.connection}
    found = (await session.execute(lane.by_tenant, values)).mappings().all()
    visits = [row for row in found if row["step"] is not None]
    due = [_candidate(row) for row in found if row["id"] is not None]
    flying = _in_flight(
        (row["tenant_id"], row["connection_id"], row["flying"]) for row in found if row["flying"] is not None
    )
    last = max(visits, key=lambda row: (row["again"], row["step"]), default=None)
    asleep = sum(row["step"] is None and row["id"] is not None for row in found) >= rows
    return Round(
        due,
        flying,
        {row["tenant_id"]: row["weight"] for row in found if row["weight"] not in {None, 1}},
        visited=last["tenant_id"] if last and len(visits) >= rows else None,
        tenants=len({row["tenant_id"] for row in visits}),
        full=(
            asleep
            or any(count >= each for count in Counter(one.tenant_id for one in due).values())
            or any(count >= caps.tenant for count in flying.tenants.values())
            or any(count >= caps.connection for count in flying.connections.values())
        ),
        asleep=asleep,
    )


async def rouse(session: AsyncSession, lane: Lane, kinds: Sequence[str]) -> None:
    """Make ready what slept and is due, those first that are due longest."""
    await session.execute(lane.rouse, {"kinds": list(kinds), "most": ROUSED})


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


def _candidate(row: RowMapping) -> Candidate:
    return Candidate(
        tenant_id=row["tenant_id"],
        id=row["id"],
        connection_id=row["connection_id"],
        priority=row["priority"],
        due_at=row["due_at"],
    )
