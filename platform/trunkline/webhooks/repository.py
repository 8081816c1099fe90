"""The SQL of addresses and of what arrives at them.

Sessions are the tenant's own, except where a function says system.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.webhooks.models import HookEndpoint, HookRefusal

PROCESS = "hooks"
"""Kind of work: what waits of one connection; key: the connection's id."""
REGISTER = "hook_registration"
REMOVE = "hook_removal"
"""Kinds of work: have a connection's address known at its provider, or no more; key: the connection's id."""
TAKING = ("setup", "active", "paused", "reconnect_required")
"""States of a connection in which its events are kept; they wait while it does not work."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An event about to be kept, sealed."""

    tenant_id: UUID
    id: UUID
    identity: bytes
    connection_id: UUID | None
    endpoint_id: UUID
    connector: str
    event_id: str
    type: str
    occurred_at: datetime | None
    received_at: datetime
    verdict: str
    headers: bytes
    body: bytes
    key_version: int
    size: int
    address: str | None
    request_id: str

    @property
    def source_id(self) -> UUID:
        return self.connection_id or self.endpoint_id


_FIELDS = Row.__struct_fields__
_values = attrgetter(*_FIELDS)

# One statement for however many came, of whichever tenants. A row that is there already is left as it is.
# What follows from other columns is not sent: each value of each row costs the web process time. A payload is
# kept for 30 days, for looking at it and for replays; its row stays.
_KEEP = text("""
    WITH kept AS (INSERT INTO inbound_events
        (tenant_id, id, identity, connection_id, endpoint_id, connector, event_id, type, occurred_at,
         received_at, verdict, headers, body, key_version, size, address, request_id,
         source_id, expires_at, state)
    SELECT n.*, coalesce(n.connection_id, n.endpoint_id), n.received_at + interval '720 hours',
        CASE WHEN n.connection_id IS NULL THEN 'kept' ELSE 'queued' END
    FROM unnest(
        CAST(:tenant_id AS uuid[]), CAST(:id AS uuid[]), CAST(:identity AS bytea[]),
        CAST(:connection_id AS uuid[]), CAST(:endpoint_id AS uuid[]), CAST(:connector AS text[]),
        CAST(:event_id AS text[]), CAST(:type AS text[]), CAST(:occurred_at AS timestamptz[]),
        CAST(:received_at AS timestamptz[]), CAST(:verdict AS text[]), CAST(:headers AS bytea[]),
        CAST(:body AS bytea[]), CAST(:key_version AS integer[]), CAST(:size AS integer[]),
        CAST(:address AS text[]), CAST(:request_id AS text[]))
        AS n (tenant_id, id, identity, connection_id, endpoint_id, connector, event_id, type, occurred_at,
              received_at, verdict, headers, body, key_version, size, address, request_id)
    ON CONFLICT (tenant_id, source_id, identity) DO NOTHING
    RETURNING tenant_id, connection_id)
    SELECT DISTINCT tenant_id, connection_id FROM kept WHERE connection_id IS NOT NULL
""")

_WAITING = text("""
    SELECT DISTINCT e.tenant_id, e.connection_id FROM inbound_events e
    JOIN connections c ON c.tenant_id = e.tenant_id AND c.id = e.connection_id AND c.state = 'active'
    WHERE e.state = 'queued' AND e.due_at < now() - interval '1 second'
      AND NOT EXISTS (SELECT FROM work w WHERE w.tenant_id = e.tenant_id AND w.kind = 'hooks'
                      AND w.connection_id = e.connection_id)
    LIMIT :most
""")

# Who waits after a failure goes on waiting. The row is locked even where nothing changes, so that work that
# ends cannot miss what came.
_WAKE = text("""
    INSERT INTO work AS w (tenant_id, id, kind, key, connection_id, ready)
    VALUES (:tenant, :id, 'hooks', CAST(:key AS text), :connection, true)
    ON CONFLICT (tenant_id, kind, key) DO UPDATE SET
        due_at = CASE WHEN w.lease_until IS NULL THEN now() ELSE w.due_at END,
        ready = w.ready OR w.lease_until IS NULL,
        again_at = CASE WHEN w.lease_until IS NULL THEN w.again_at ELSE now() END
    WHERE CASE WHEN w.lease_until IS NULL THEN w.tries = 0 AND w.due_at > now() ELSE w.again_at IS NULL END
""")

_ROUTE = text("""
    SELECT tenant_id, id FROM connections
    WHERE oauth_client_id = :client AND account_id = :account AND state = ANY(:states)
    ORDER BY tenant_id, id LIMIT 200
""")

_VERSIONS = text("""
    SELECT DISTINCT connector_version FROM connections
    WHERE oauth_client_id = :client AND state = ANY(:states)
""")

_REFUSED = text("""
    INSERT INTO hook_refusals AS r (tenant_id, endpoint_id, cause, day, count, last_at, sample)
    VALUES (:tenant, :endpoint, :cause, :day, :count, :at, CAST(:sample AS jsonb))
    ON CONFLICT (tenant_id, endpoint_id, cause, day) DO UPDATE SET
        count = r.count + excluded.count, last_at = excluded.last_at, sample = excluded.sample
""")


# --- across tenants (system role) ---


async def owner_of_key(system: AsyncSession, key_hash: bytes) -> UUID | None:
    """System: whose address it is."""
    found: UUID | None = (
        await system.execute(select(HookEndpoint.tenant_id).where(HookEndpoint.key_hash == key_hash).limit(1))
    ).scalar()
    return found


async def of_account(system: AsyncSession, client: UUID, account: str) -> list[tuple[UUID, UUID]]:
    """System: (tenant, connection) of each that rests on the client's grant in the account."""
    values = {"client": client, "account": account, "states": list(TAKING)}
    return [(row[0], row[1]) for row in await system.execute(_ROUTE, values)]


async def keep(db: Database, rows: Sequence[Row]) -> set[tuple[UUID, UUID]]:
    """System: writes what is new, in a transaction of its own that is durable when this returns; the (tenant,
    connection) that have something new to process.
    """
    columns = dict(zip(_FIELDS, zip(*map(_values, rows), strict=True), strict=True))
    made = await db.system_alone(_KEEP, columns)
    return {(row[0], row[1]) for row in made}


async def waiting(system: AsyncSession, most: int) -> list[tuple[UUID, UUID]]:
    """System: (tenant, connection) of those with something due and no work for it."""
    return [(row[0], row[1]) for row in await system.execute(_WAITING, {"most": most})]


# --- a tenant's own ---


async def wake(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    """Have what waits processed; asking twice is asking once."""
    values = {"tenant": tenant_id, "id": new_id(), "key": str(connection_id), "connection": connection_id}
    await session.execute(_WAKE, values)


async def refused(
    session: AsyncSession,
    tenant_id: UUID,
    endpoint_id: UUID,
    cause: str,
    *,
    day: date,
    count: int,
    at: datetime,
    sample: Mapping[str, Any],
) -> None:
    await session.execute(
        _REFUSED,
        {
            "tenant": tenant_id,
            "endpoint": endpoint_id,
            "cause": cause,
            "day": day,
            "count": count,
            "at": at,
            "sample": msgspec.json.encode(sample).decode(),
        },
    )


async def endpoint_of_key(session: AsyncSession, tenant_id: UUID, key_hash: bytes) -> HookEndpoint | None:
    return (
        await session.execute(
            select(HookEndpoint).where(HookEndpoint.tenant_id == tenant_id, HookEndpoint.key_hash == key_hash)
        )
    ).scalar_one_or_none()


async def endpoint(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> HookEndpoint | None:
    return (
        await session.execute(
            select(HookEndpoint).where(HookEndpoint.tenant_id == tenant_id, HookEndpoint.id == endpoint_id)
        )
    ).scalar_one_or_none()


async def endpoint_of_connection(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID
) -> HookEndpoint | None:
    return (
        await session.execute(
            select(HookEndpoint).where(
                HookEndpoint.tenant_id == tenant_id, HookEndpoint.connection_id == connection_id
            )
        )
    ).scalar_one_or_none()


async def versions_of_client(session: AsyncSession, client_id: UUID) -> list[str | None]:
    """Which versions of its connector the connections through an OAuth client speak; None: one of ours."""
    rows = await session.execute(_VERSIONS, {"client": client_id, "states": list(TAKING)})
    return list(rows.scalars())


async def endpoint_of_client(session: AsyncSession, tenant_id: UUID, connector: str) -> HookEndpoint | None:
    return (
        await session.execute(
            select(HookEndpoint).where(
                HookEndpoint.tenant_id == tenant_id,
                HookEndpoint.connector == connector,
                HookEndpoint.oauth_client_id.is_not(None),
            )
        )
    ).scalar_one_or_none()


async def endpoints(session: AsyncSession, tenant_id: UUID) -> Sequence[HookEndpoint]:
    rows = await session.execute(
        select(HookEndpoint).where(HookEndpoint.tenant_id == tenant_id).order_by(HookEndpoint.id)
    )
    return rows.scalars().all()


async def change_endpoint(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, **values: Any) -> bool:
    done = await session.execute(
        update(HookEndpoint)
        .where(HookEndpoint.tenant_id == tenant_id, HookEndpoint.id == endpoint_id)
        .values(**values)
        .returning(HookEndpoint.id)
    )
    return done.scalar() is not None


async def remove_endpoint(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> None:
    await session.execute(
        delete(HookEndpoint).where(HookEndpoint.tenant_id == tenant_id, HookEndpoint.id == endpoint_id)
    )


class Registered(msgspec.Struct, frozen=True):
    """How an address stands at its provider, for support."""

    state: str
    cause: str | None
    registered_at: datetime | None
    checked_at: datetime | None


async def registered(session: AsyncSession, tenant_id: UUID) -> dict[UUID, Registered]:
    """Console: by connection, of those that have an address of their own."""
    rows = await session.execute(
        select(
            HookEndpoint.connection_id,
            HookEndpoint.state,
            HookEndpoint.cause,
            HookEndpoint.registered_at,
            HookEndpoint.checked_at,
        ).where(HookEndpoint.tenant_id == tenant_id, HookEndpoint.connection_id.is_not(None))
    )
    return {row[0]: Registered(*row[1:]) for row in rows if row[0] is not None}


async def last_event_at(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> datetime | None:
    """When the newest event of a connection arrived."""
    found: datetime | None = (
        await session.execute(
            text(
                "SELECT received_at FROM inbound_events "
                "WHERE tenant_id = :tenant AND source_id = :source ORDER BY id DESC LIMIT 1"
            ),
            {"tenant": tenant_id, "source": connection_id},
        )
    ).scalar()
    return found


async def last_refused(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID
) -> tuple[datetime, str] | None:
    """When something that came to an address was last refused, and why: a cause of `refusals`."""
    found = await session.execute(
        select(HookRefusal.last_at, HookRefusal.cause)
        .where(HookRefusal.tenant_id == tenant_id, HookRefusal.endpoint_id == endpoint_id)
        .order_by(HookRefusal.last_at.desc())
        .limit(1)
    )
    row = found.first()
    return None if row is None else (row.last_at, row.cause)


async def connection_state(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> str | None:
    found: str | None = (
        await session.execute(
            text("SELECT state FROM connections WHERE tenant_id = :tenant AND id = :id"),
            {"tenant": tenant_id, "id": connection_id},
        )
    ).scalar()
    return found
