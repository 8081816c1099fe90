"""SQL of handing out: whose turn it is to dispatch, weights, leases. System role; the database's clock."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.work.due import Lane
from trunkline.work.fairness import Candidate

# A process that stops right here (SIGSTOP, a long pause) must not keep the others from dispatching. Plans go
# by the indexes whatever the statistics say: they know a tenant's share of the rows on average only, which is
# off by thousands for the one that floods everybody.
_ONE_AT_A_TIME = text("""
    SELECT set_config('idle_in_transaction_session_timeout', '2000', true),
           set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
           set_config('enable_sort', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
           (SELECT bool_and(pg_try_advisory_xact_lock(lock))
            FROM unnest(CAST(:locks AS bigint[])) AS lock) AS mine
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

# What is sent is known to every version. In two parts, as the indexes have it.
_OVERDUE_UNKNOWN = text("""
    SELECT kind, count(*) AS count FROM (
        SELECT kind, due_at, lease_until FROM work WHERE ready AND kind <> 'deliver'
        UNION ALL
        SELECT kind, due_at, lease_until FROM work
        WHERE NOT ready AND kind <> 'deliver' AND due_at <= now() - interval '1 minute'
    ) overdue
    WHERE due_at <= now() - interval '1 minute' AND lease_until IS NULL AND NOT kind = ANY(:kinds)
    GROUP BY kind
""")


class HandOut(msgspec.Struct, frozen=True):
    """Work that is about to run: the row and the attempt that it was handed out as."""

    tenant_id: UUID
    work_id: UUID
    attempt: int


async def one_at_a_time(session: AsyncSession, lane: Lane) -> bool:
    """Whether this transaction may dispatch; a lane's caps would not hold with two at once."""
    return bool((await session.execute(_ONE_AT_A_TIME, {"locks": list(lane.locks)})).one().mine)


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
