"""The issue `webhook_drift`: events of a type are no longer as the connector's contract has them.

One for each type of a connection, closed by itself: by an event that fits, FITS_AFTER or more after the last
that did not, or once QUIET days have brought none that did not.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health.issues import HOOK_DRIFT
from trunkline.kernel.ids import new_id

FITS_AFTER: Final = 3600
"""Seconds. A provider rolls a change out for a while, old forms and new ones side by side."""
QUIET: Final = 7
"""Days."""


class HookDrift(msgspec.Struct, frozen=True, kw_only=True):
    """`differs`: in words; `count`: events that deviate."""

    event: str
    differs: list[str]
    count: int
    opened_at: datetime
    last_seen_at: datetime


_NOTE = text("""
    INSERT INTO issues AS i (tenant_id, id, connection_id, stream, key, cause, detail, count)
    VALUES (:tenant, :id, :connection, :stream, :key, :cause, CAST(:detail AS jsonb), :count)
    ON CONFLICT (tenant_id, key) WHERE resolved_at IS NULL DO UPDATE SET
        count = i.count + excluded.count, last_seen_at = clock_timestamp(), detail = excluded.detail
""")

_OPEN = text("""
    SELECT detail ->> 'event' AS event, detail -> 'differs' AS differs, count, opened_at, last_seen_at
    FROM issues
    WHERE tenant_id = :tenant AND connection_id = :connection AND resolved_at IS NULL AND cause = :cause
    ORDER BY opened_at, id
""")

_FITS = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant AND key = ANY(CAST(:keys AS text[])) AND resolved_at IS NULL
      AND last_seen_at <= clock_timestamp() - make_interval(secs => :seconds)
""")

_QUIET = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant AND cause = :cause AND resolved_at IS NULL
      AND last_seen_at <= clock_timestamp() - make_interval(days => :days)
""")


async def note(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    *,
    stream: str,
    event: str,
    differs: Sequence[str],
    count: int,
) -> None:
    """`count` more events of a type deviate. `differs`: in words, none of them out of a payload."""
    await session.execute(
        _NOTE,
        {
            "tenant": tenant_id,
            "id": new_id(),
            "connection": connection_id,
            "stream": stream,
            "key": _key(connection_id, event),
            "cause": HOOK_DRIFT,
            "detail": msgspec.json.encode({"event": event, "differs": list(differs)}).decode(),
            "count": count,
        },
    )


async def still_open(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[HookDrift]:
    """Of a connection, the oldest first."""
    values = {"tenant": tenant_id, "connection": connection_id, "cause": HOOK_DRIFT}
    return [HookDrift(**row) for row in (await session.execute(_OPEN, values)).mappings()]


async def fits(session: AsyncSession, tenant_id: UUID, connection_id: UUID, types: Collection[str]) -> None:
    """Events of these types fit again: closes what has been so for a while."""
    keys = [_key(connection_id, one) for one in types]
    await session.execute(_FITS, {"tenant": tenant_id, "keys": keys, "seconds": FITS_AFTER})


async def quiet(session: AsyncSession, tenant_id: UUID) -> None:
    """Closes what no event has shown for days."""
    await session.execute(_QUIET, {"tenant": tenant_id, "cause": HOOK_DRIFT, "days": QUIET})


def _key(connection_id: UUID, event: str) -> str:
    return f"{connection_id}:{event}:{HOOK_DRIFT}"
