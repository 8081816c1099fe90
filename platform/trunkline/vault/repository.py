"""The data keys of the tenant in scope."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.vault.models import DataKey
from trunkline.vault.provider import Wrapped


async def versions(session: AsyncSession, tenant_id: UUID) -> Sequence[tuple[int, Wrapped]]:
    """Oldest first."""
    rows = await session.execute(
        select(DataKey.version, DataKey.wrapping_key, DataKey.wrapped)
        .where(DataKey.tenant_id == tenant_id)
        .order_by(DataKey.version)
    )
    return [(version, Wrapped(key_id, blob)) for version, key_id, blob in rows]


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
