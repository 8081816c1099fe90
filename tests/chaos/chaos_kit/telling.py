"""Whether everything that was told of has arrived, in and out; and the hours between two tries, which pass at once."""

import contextlib

import asyncpg
from chaos_kit.customers import Customers

from trunkline.work.errors import DATABASE_AWAY

_UNTOLD = """
    SELECT (SELECT count(*) FROM inbound_events WHERE state = 'queued') AS queued,
           (SELECT count(*) FROM deliveries WHERE state = 'pending') AS pending,
           (SELECT count(*) FROM change_heads h JOIN readers r USING (tenant_id)
              WHERE r.kind = 'webhooks' AND r.position < h.position) AS unread
"""
# an endpoint waits up to a day after its ninth failure, an event of ours minutes: nobody wants to
_HOURS = (
    "UPDATE deliveries SET next_at = now() WHERE state = 'pending' AND next_at > now()",
    "UPDATE webhook_endpoints SET resting_until = NULL WHERE resting_until > now()",
    "UPDATE inbound_events SET due_at = now() WHERE state = 'queued' AND due_at > now()",
    "UPDATE work SET due_at = now() WHERE (kind IN ('deliver', 'hooks') OR kind LIKE 'read:%') AND lease_until IS NULL AND due_at > now()",
)


async def untold_of(customers: Customers, url: str) -> str:
    """What is still on its way, in words; empty: nothing."""
    told = await customers.control("told")
    if told["ended"]:
        raise RuntimeError(f"nobody is told any more at the provider: {told['ended']}")
    under_way = told["under_way"]
    try:
        connection = await asyncpg.connect(url, timeout=2)
        try:
            row = await connection.fetchrow(_UNTOLD)
        finally:
            await connection.close()
    except (*DATABASE_AWAY, TimeoutError):
        return "the database is away"
    left = {
        "requests": under_way,
        "events": row["queued"],
        "deliveries": row["pending"],
        "logs": row["unread"],
    }
    if not customers.listening:
        del left["logs"]
    return ", ".join(f"{number} {name}" for name, number in left.items() if number)


async def hours_pass(url: str) -> None:
    """Each by itself: nothing that works is waited for with a lock in hand."""
    with contextlib.suppress(*DATABASE_AWAY, TimeoutError):
        connection = await asyncpg.connect(url, timeout=2)
        try:
            for statement in _HOURS:
                await connection.execute(statement)
        finally:
            await connection.close()
