"""All SQL of the audit log. Entries are only ever added; the runtime role can do nothing else."""

import operator
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Text, cast, func, null, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from trunkline.audit.chain import FIELDS, GENESIS
from trunkline.audit.models import AuditEntry, AuditHead


class Entry(msgspec.Struct, frozen=True):
    """One thing that somebody did. Without who, if whoever asked may not know."""

    sequence: int
    at: datetime
    actor_kind: str
    action: str
    target_kind: str
    target_id: str
    detail: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor_id: str = ""
    actor: str = ""
    reason: str | None = None
    address: str | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries; what is None does not matter."""

    actor_kind: str | None = None
    actor_id: str | None = None
    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    older_than: int | None = None
    """A number; the next page."""
    newer_than: int | None = None
    """The page before: its entries too come newest first."""


class Head(msgspec.Struct, frozen=True):
    sequence: int
    hash: bytes
    at: datetime


class Link(msgspec.Struct, frozen=True):
    """An entry as it was hashed."""

    sequence: int
    at: datetime
    previous: bytes
    hash: bytes
    fields: tuple[str | None, ...]


_SEEN = (
    AuditEntry.sequence,
    AuditEntry.at,
    AuditEntry.actor_kind,
    AuditEntry.action,
    AuditEntry.target_kind,
    AuditEntry.target_id,
    AuditEntry.detail,
    AuditEntry.before,
    AuditEntry.after,
)
"""What staff without leave to see people's names may read; the console's role can read no more."""
_PEOPLE = (AuditEntry.actor_id, AuditEntry.actor, AuditEntry.reason, AuditEntry.address)

_HASHED = tuple(cast(getattr(AuditEntry, field), Text) for field in FIELDS)

_HOLD = text("""
    SELECT sequence, hash, at FROM audit_heads WHERE tenant_id = :tenant FOR UPDATE
""")
_ADD = text("""
    INSERT INTO audit_entries (tenant_id, sequence, at, actor_kind, actor_id, actor, action, target_kind,
        target_id, detail, before, after, reason, address, previous, hash)
    VALUES (:tenant, :sequence, :at, :actor_kind, :actor_id, :actor, :action, :target_kind, :target_id,
        CAST(CAST(:detail AS text) AS json), CAST(CAST(:before AS text) AS json),
        CAST(CAST(:after AS text) AS json), :reason, :address, :previous, :hash)
""")
_MOVE = text("""
    UPDATE audit_heads SET sequence = :sequence, hash = :hash, at = :at WHERE tenant_id = :tenant
""")
_BEGIN = text("""
    INSERT INTO audit_heads (tenant_id, sequence, hash, at) VALUES (:tenant, 0, :genesis, to_timestamp(0))
    ON CONFLICT (tenant_id) DO NOTHING
""")
_ACTIONS = text("""
    WITH RECURSIVE found AS (
        (SELECT action FROM audit_entries WHERE tenant_id = :tenant ORDER BY action LIMIT 1)
        UNION ALL
        SELECT (SELECT e.action FROM audit_entries e WHERE e.tenant_id = :tenant AND e.action > found.action
                ORDER BY e.action LIMIT 1)
        FROM found WHERE found.action IS NOT NULL)
    SELECT action FROM found WHERE action IS NOT NULL LIMIT 200
""")
_ACTORS = text("""
    WITH RECURSIVE found AS (
        (SELECT actor_kind, actor_id, actor FROM audit_entries WHERE tenant_id = :tenant
         ORDER BY actor_kind, actor_id, sequence LIMIT 1)
        UNION ALL
        SELECT next.* FROM found CROSS JOIN LATERAL (
            SELECT e.actor_kind, e.actor_id, e.actor FROM audit_entries e
            WHERE e.tenant_id = :tenant AND (e.actor_kind, e.actor_id) > (found.actor_kind, found.actor_id)
            ORDER BY e.actor_kind, e.actor_id, e.sequence LIMIT 1) next)
    SELECT actor_kind, actor_id, actor FROM found LIMIT :most
""")
_TENANTS = text("""
    WITH RECURSIVE found AS (
        (SELECT tenant_id FROM audit_entries WHERE tenant_id >= :first ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.tenant_id FROM audit_entries e WHERE e.tenant_id > found.tenant_id
                ORDER BY e.tenant_id LIMIT 1)
        FROM found WHERE found.tenant_id IS NOT NULL)
    SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL
    UNION SELECT tenant_id FROM audit_heads WHERE tenant_id >= :first
    ORDER BY tenant_id
""")


async def hold_head(session: AsyncSession, tenant_id: UUID) -> Head:
    """Its row stays locked until the transaction ends."""
    row = (await session.execute(_HOLD, {"tenant": tenant_id})).first()
    if row is None:
        await session.execute(_BEGIN, {"tenant": tenant_id, "genesis": GENESIS})
        row = (await session.execute(_HOLD, {"tenant": tenant_id})).one()
    return Head(*row)


async def add(session: AsyncSession, rows: Sequence[dict[str, Any]], head: Head) -> None:
    """Of one tenant, whose head then is `head`."""
    await session.execute(_ADD, rows)
    await session.execute(_MOVE, {"tenant": rows[0]["tenant"], **msgspec.structs.asdict(head)})


async def entries(
    session: AsyncSession, tenant_id: UUID, wanted: Wanted, *, limit: int, people: bool = True
) -> list[Entry]:
    """Newest first. `people`: also who, why and from where; the session must be the tenant's then."""
    backwards = wanted.newer_than is not None
    order = AuditEntry.sequence.asc() if backwards else AuditEntry.sequence.desc()
    columns = (*_SEEN, *_PEOPLE) if people else _SEEN
    rows = await session.execute(
        select(*columns)
        .where(AuditEntry.tenant_id == tenant_id, *_conditions(wanted))
        .order_by(order)
        .limit(limit)
    )
    found = [Entry(*row) for row in rows]
    return found[::-1] if backwards else found


async def count(session: AsyncSession, tenant_id: UUID, wanted: Wanted, most: int) -> int:
    """At most `most`: that there are more is all that its caller wants to know."""
    inner = (
        select(null())
        .select_from(AuditEntry)
        .where(AuditEntry.tenant_id == tenant_id, *_conditions(wanted))
        .limit(most)
        .subquery()
    )
    return (await session.execute(select(func.count()).select_from(inner))).scalar_one()


async def actions(session: AsyncSession, tenant_id: UUID) -> list[str]:
    """Those that the tenant's log knows; a step in the index each, however long the log is."""
    return list((await session.execute(_ACTIONS, {"tenant": tenant_id})).scalars())


async def actors(session: AsyncSession, tenant_id: UUID, most: int) -> list[tuple[str, str, str]]:
    """(kind, id, name when first seen) of the first `most`, in the order of kind and id."""
    rows = await session.execute(_ACTORS, {"tenant": tenant_id, "most": most})
    return [(kind, identity, name) for kind, identity, name in rows]


async def head(session: AsyncSession, tenant_id: UUID) -> Head | None:
    rows = await session.execute(
        select(AuditHead.sequence, AuditHead.hash, AuditHead.at).where(AuditHead.tenant_id == tenant_id)
    )
    row = rows.first()
    return Head(*row) if row else None


async def links(session: AsyncSession, tenant_id: UUID, after: int, limit: int) -> list[Link]:
    rows = await session.execute(
        select(AuditEntry.sequence, AuditEntry.at, AuditEntry.previous, AuditEntry.hash, *_HASHED)
        .where(AuditEntry.tenant_id == tenant_id, AuditEntry.sequence > after)
        .order_by(AuditEntry.sequence)
        .limit(limit)
    )
    return [Link(row[0], row[1], row[2], row[3], tuple(row[4:])) for row in rows]


async def tenants(session: AsyncSession) -> list[UUID]:
    """Everybody who has a log, shredded or not; for a system session."""
    return list((await session.execute(_TENANTS, {"first": UUID(int=0)})).scalars())


async def heads(session: AsyncSession, since: datetime | None) -> list[tuple[UUID, Head]]:
    """Of every tenant, those that moved since then; for a system session."""
    moved = () if since is None else (AuditHead.at >= since,)
    rows = await session.execute(
        select(AuditHead.tenant_id, AuditHead.sequence, AuditHead.hash, AuditHead.at)
        .where(AuditHead.sequence > 0, *moved)
        .order_by(AuditHead.tenant_id)
    )
    return [(row[0], Head(row[1], row[2], row[3])) for row in rows]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[tuple[object, InstrumentedAttribute[Any], Callable[[Any, Any], Any]]] = [
        (wanted.actor_kind, AuditEntry.actor_kind, operator.eq),
        (wanted.actor_id, AuditEntry.actor_id, operator.eq),
        (wanted.action, AuditEntry.action, operator.eq),
        (wanted.target_kind, AuditEntry.target_kind, operator.eq),
        (wanted.target_id, AuditEntry.target_id, operator.eq),
        (wanted.since, AuditEntry.at, operator.ge),
        (wanted.until, AuditEntry.at, operator.lt),
        (wanted.older_than, AuditEntry.sequence, operator.lt),
        (wanted.newer_than, AuditEntry.sequence, operator.gt),
    ]
    return [compare(column, value) for value, column, compare in conditions if value is not None]
