"""The data keys of the tenant in scope, and whose end was begun."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.vault.models import DataKey, Shredding
from trunkline.vault.providers.protocol import Wrapped


class Version(msgspec.Struct, frozen=True):
    number: int
    wrapped: Wrapped
    seals: int
    provider: str


_VERSIONS = text("""
    SELECT version, wrapping_key, wrapped, seals, provider FROM data_keys
    WHERE tenant_id = :tenant ORDER BY version
""")


async def versions(session: AsyncSession, tenant_id: UUID) -> Sequence[Version]:
    """Oldest first."""
    rows = await session.execute(_VERSIONS, {"tenant": tenant_id})
    return [
        Version(version, Wrapped(key_id, blob), seals, provider)
        for version, key_id, blob, seals, provider in rows
    ]


async def add(
    session: AsyncSession, tenant_id: UUID, version: int, wrapped: Wrapped, *, provider: str
) -> None:
    """Does nothing if the version is there; waits for a transaction that is just adding it."""
    await session.execute(
        insert(DataKey)
        .values(
            tenant_id=tenant_id,
            version=version,
            wrapped=wrapped.blob,
            provider=provider,
            wrapping_key=wrapped.key_id,
        )
        .on_conflict_do_nothing()
    )


async def rewrap(
    session: AsyncSession, tenant_id: UUID, version: Version, wrapped: Wrapped, *, provider: str
) -> None:
    """Unless somebody else did since `version` was read."""
    await session.execute(
        update(DataKey)
        .where(
            DataKey.tenant_id == tenant_id,
            DataKey.version == version.number,
            DataKey.wrapped == version.wrapped.blob,
        )
        .values(wrapped=wrapped.blob, provider=provider, wrapping_key=wrapped.key_id)
    )


_COUNT = text("""
    UPDATE data_keys SET seals = seals + :number
    WHERE (tenant_id, version) IN (
        SELECT tenant_id, version FROM data_keys WHERE tenant_id = :tenant AND version = :version
        FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING seals
""")


async def count_seals(session: AsyncSession, tenant_id: UUID, version: int, number: int) -> int | None:
    """All of them so far; None when somebody else is counting, whom nobody need wait for."""
    found = await session.execute(_COUNT, {"tenant": tenant_id, "version": version, "number": number})
    return found.scalar_one_or_none()


async def remove_before(session: AsyncSession, tenant_id: UUID, version: int) -> int:
    """IntegrityError while a row still needs one of them."""
    found = await session.execute(
        delete(DataKey)
        .where(DataKey.tenant_id == tenant_id, DataKey.version < version)
        .returning(DataKey.version)
    )
    return len(found.all())


async def blank(session: AsyncSession, tenant_id: UUID) -> None:
    """What is wrapped is gone; the rows stay until no sealed row refers to them."""
    await session.execute(
        update(DataKey).where(DataKey.tenant_id == tenant_id).values(wrapped=b"", wrapping_key="destroyed")
    )


async def shredding(session: AsyncSession, tenant_id: UUID) -> Shredding | None:
    return (
        await session.execute(select(Shredding).where(Shredding.tenant_id == tenant_id))
    ).scalar_one_or_none()


async def begin_shredding(session: AsyncSession, tenant_id: UUID, slug: str, stage: str) -> None:
    """Does nothing if it was begun before."""
    await session.execute(
        insert(Shredding).values(tenant_id=tenant_id, slug=slug, stage=stage).on_conflict_do_nothing()
    )


async def move_shredding(session: AsyncSession, tenant_id: UUID, **values: Any) -> None:
    await session.execute(update(Shredding).where(Shredding.tenant_id == tenant_id).values(**values))


# -- across tenants (system role) -------------------------------------------------------------------

_TENANTS = text("SELECT id, slug FROM tenants ORDER BY slug")
_READERS = text("""
    SELECT virtualxid FROM pg_locks
    WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid()
""")


async def tenants(system: AsyncSession) -> Sequence[tuple[UUID, str]]:
    return [(row.id, row.slug) for row in await system.execute(_TENANTS)]


async def open_transactions(system: AsyncSession) -> set[str]:
    """Every transaction under way on this server, readers included, by its own name."""
    return set((await system.execute(_READERS)).scalars())


async def shredded_slug(system: AsyncSession, slug: str) -> Shredding | None:
    """The newest tenant of that name that was shredded."""
    return (
        await system.execute(
            select(Shredding).where(Shredding.slug == slug).order_by(Shredding.started_at.desc()).limit(1)
        )
    ).scalar_one_or_none()
