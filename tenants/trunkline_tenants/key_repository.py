"""All SQL of API keys. Sessions come from `Database.system()`."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline_tenants.models import ApiKey
from trunkline_tenants.schemas import ApiKeyInfo

_COLUMNS = tuple(getattr(ApiKey, name) for name in ApiKeyInfo.__struct_fields__)


class Found(msgspec.Struct, frozen=True):
    """A key with the hashes of what opens it."""

    key: ApiKeyInfo
    hash: bytes
    previous_hash: bytes | None

    def __repr__(self) -> str:
        return f"Found({self.key.prefix})"


async def add(session: AsyncSession, values: Mapping[str, Any]) -> ApiKeyInfo:
    made = await session.execute(insert(ApiKey).values(**values).returning(*_COLUMNS))
    return ApiKeyInfo(*made.one())


async def by_prefix(session: AsyncSession, prefix: str) -> Found | None:
    """Of the present secret or of the one before."""
    row = (
        await session.execute(
            select(*_COLUMNS, ApiKey.key_hash, ApiKey.previous_hash).where(
                or_(ApiKey.prefix == prefix, ApiKey.previous_prefix == prefix)
            )
        )
    ).first()
    return Found(ApiKeyInfo(*row[:-2]), row[-2], row[-1]) if row else None


async def lock(session: AsyncSession, key_id: UUID) -> Found | None:
    """One that is not revoked; held until the transaction ends."""
    row = (
        await session.execute(
            select(*_COLUMNS, ApiKey.key_hash, ApiKey.previous_hash)
            .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
            .with_for_update()
        )
    ).first()
    return Found(ApiKeyInfo(*row[:-2]), row[-2], row[-1]) if row else None


async def listed(session: AsyncSession, tenant_id: UUID | None) -> list[ApiKeyInfo]:
    """Those bound to the tenant; with None those of the whole installation."""
    bound = ApiKey.tenant_id.is_(None) if tenant_id is None else ApiKey.tenant_id == tenant_id
    return await _list(session, bound)


async def every(session: AsyncSession) -> list[ApiKeyInfo]:
    return await _list(session)


async def _list(session: AsyncSession, *conditions: ColumnElement[bool]) -> list[ApiKeyInfo]:
    rows = await session.execute(select(*_COLUMNS).where(*conditions).order_by(ApiKey.created_at, ApiKey.id))
    return [ApiKeyInfo(*row) for row in rows]


async def change(session: AsyncSession, key_id: UUID, values: Mapping[str, Any]) -> ApiKeyInfo:
    """The key must exist: `lock` it first."""
    done = await session.execute(
        update(ApiKey).where(ApiKey.id == key_id).values(**values).returning(*_COLUMNS)
    )
    return ApiKeyInfo(*done.one())
