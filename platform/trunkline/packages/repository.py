"""All SQL of partners' connectors. The tables are the system role's; archives are read when asked for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.sdk.quality import Graded


class Found(msgspec.Struct, frozen=True):
    """A finding of the check, as it is kept."""

    line: int
    message: str
    suggestion: str = ""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A version, without its archive."""

    id: UUID
    connector: str
    version: str
    partner: str
    digest: str
    size: int
    manifest: str
    findings: list[Found] | None
    graded: Graded | None
    uploaded_by: str
    uploaded_at: datetime
    withdrawn_at: datetime | None
    withdrawn_reason: str | None
    pausing: bool

    @property
    def examined(self) -> bool:
        return self.findings is not None

    @property
    def sound(self) -> bool:
        return self.findings == []


_KEPT = """
    SELECT id, connector, version, partner, digest, octet_length(archive) AS size, manifest, findings, graded,
           uploaded_by, uploaded_at, withdrawn_at, withdrawn_reason, pausing
    FROM connector_packages
"""
_ALL = text(f"{_KEPT} ORDER BY connector, uploaded_at DESC")
_ONE = text(f"{_KEPT} WHERE id = :id")
_ARCHIVE = text("SELECT archive FROM connector_packages WHERE id = :id")
_ADD = text("""
    INSERT INTO connector_packages (id, connector, version, partner, digest, archive, manifest, uploaded_by)
    VALUES (:id, :connector, :version, :partner, :digest, :archive, :manifest, :uploaded_by)
    ON CONFLICT (connector, version) DO NOTHING RETURNING id
""")
_EXAMINED = text("""
    UPDATE connector_packages SET findings = CAST(:findings AS jsonb), graded = CAST(:graded AS jsonb)
    WHERE id = :id
""")
_WITHDRAW = text("""
    UPDATE connector_packages SET withdrawn_at = now(), withdrawn_reason = :reason, pausing = :pausing
    WHERE id = :id AND withdrawn_at IS NULL RETURNING id
""")
_UNDO = text("""
    UPDATE connector_packages SET withdrawn_at = NULL, withdrawn_reason = NULL, pausing = false
    WHERE id = :id AND withdrawn_at IS NOT NULL RETURNING id
""")
_APPROVE = text("""
    INSERT INTO connector_approvals (tenant_id, package_id, approved_by) VALUES (:tenant, :id, :by)
    ON CONFLICT DO NOTHING RETURNING package_id
""")
_DISAPPROVE = text("""
    DELETE FROM connector_approvals WHERE tenant_id = :tenant AND package_id = :id RETURNING package_id
""")
_APPROVALS = text("SELECT tenant_id, package_id FROM connector_approvals")
_COUNTER = text("SELECT counter FROM connector_registry")
_COUNT = text("UPDATE connector_registry SET counter = counter + 1")
_HOLD = text("SELECT counter FROM connector_registry FOR UPDATE")
_SPEAKING = text("""
    SELECT DISTINCT tenant_id FROM connections WHERE connector_version IS NOT NULL AND connector <> 'custom'
""")
_TO_SETTLE = text("""
    SELECT id FROM connections
    WHERE tenant_id = :tenant AND connector_version IS NOT NULL AND connector <> 'custom'
      AND state <> 'disconnected' ORDER BY id
""")
_IN_USE = text("""
    SELECT connector, connector_version, state = 'disconnected' AS ended, count(*) AS count
    FROM connections WHERE NOT (state = 'pending' AND account_id IS NULL)
    GROUP BY 1, 2, 3
""")
_ELSEWHERE = text("""
    SELECT tenant_id, id, name, connector_version AS version, state FROM connections
    WHERE connector = :connector AND connector_version <> :version
      AND state NOT IN ('pending', 'disconnected')
    ORDER BY connector_version, tenant_id, id LIMIT :limit
""")


async def everything(session: AsyncSession) -> list[Kept]:
    """By connector, the last uploaded first."""
    return [msgspec.convert(dict(row), Kept) for row in (await session.execute(_ALL)).mappings()]


async def one(session: AsyncSession, package_id: UUID) -> Kept | None:
    row = (await session.execute(_ONE, {"id": package_id})).mappings().one_or_none()
    return None if row is None else msgspec.convert(dict(row), Kept)


async def archive(session: AsyncSession, package_id: UUID) -> bytes | None:
    found: bytes | None = (await session.execute(_ARCHIVE, {"id": package_id})).scalar()
    return found


async def add(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False: this version is here already."""
    return (await session.execute(_ADD, values)).scalar() is not None


async def examined(session: AsyncSession, package_id: UUID, findings: Sequence[Found], graded: Any) -> None:
    await session.execute(
        _EXAMINED,
        {
            "id": package_id,
            "findings": msgspec.json.encode(findings).decode(),
            "graded": None if graded is None else msgspec.json.encode(graded).decode(),
        },
    )


async def withdraw(session: AsyncSession, package_id: UUID, reason: str, *, pausing: bool) -> bool:
    values = {"id": package_id, "reason": reason, "pausing": pausing}
    return (await session.execute(_WITHDRAW, values)).scalar() is not None


async def undo(session: AsyncSession, package_id: UUID) -> bool:
    return (await session.execute(_UNDO, {"id": package_id})).scalar() is not None


async def approve(session: AsyncSession, tenant_id: UUID, package_id: UUID, by: str) -> bool:
    """False: it was approved already. `tenant_id` OPERATOR: for all."""
    values = {"tenant": tenant_id, "id": package_id, "by": by}
    return (await session.execute(_APPROVE, values)).scalar() is not None


async def disapprove(session: AsyncSession, tenant_id: UUID, package_id: UUID) -> bool:
    values = {"tenant": tenant_id, "id": package_id}
    return (await session.execute(_DISAPPROVE, values)).scalar() is not None


async def approvals(session: AsyncSession) -> list[tuple[UUID, UUID]]:
    """(tenant, package)"""
    return [(row[0], row[1]) for row in await session.execute(_APPROVALS)]


async def counter(session: AsyncSession) -> int:
    return int((await session.execute(_COUNTER)).scalar_one())


async def hold(session: AsyncSession) -> None:
    """One change at a time: what is checked against others stays true until the commit."""
    await session.execute(_HOLD)


async def count(session: AsyncSession) -> None:
    """Tells every process that something has changed, once this commits."""
    await session.execute(_COUNT)


async def tenants_speaking(session: AsyncSession) -> list[UUID]:
    """Those with a connection through a partner's connector."""
    return list((await session.execute(_SPEAKING)).scalars())


async def to_settle(session: AsyncSession, tenant_id: UUID) -> list[UUID]:
    """Connections of the tenant's through partners' connectors."""
    return list((await session.execute(_TO_SETTLE, {"tenant": tenant_id})).scalars())


class InUse(msgspec.Struct, frozen=True):
    connector: str
    version: str | None
    """None: one of ours."""
    ended: bool
    count: int


class Elsewhere(msgspec.Struct, frozen=True):
    """A connection that speaks another version."""

    tenant_id: UUID
    id: UUID
    name: str
    version: str
    state: str


async def elsewhere(session: AsyncSession, connector: str, version: str, limit: int) -> list[Elsewhere]:
    """Of all tenants; the console's role."""
    values = {"connector": connector, "version": version, "limit": limit}
    return [Elsewhere(*row) for row in await session.execute(_ELSEWHERE, values)]


async def in_use(session: AsyncSession) -> list[InUse]:
    """How many connections speak which version, of all tenants; the console's role."""
    return [InUse(*row) for row in await session.execute(_IN_USE)]
