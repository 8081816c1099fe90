"""All SQL of kept answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.idempotency.models import IdempotentAnswer

BATCH = 5000
"""Rows purged in one transaction."""


class Place(msgspec.Struct, frozen=True):
    tenant_id: UUID
    api_key_id: UUID
    key_hash: bytes


class Kept(msgspec.Struct, frozen=True):
    request_hash: bytes
    status: int
    media_type: str
    body: bytes
    key_version: int


async def take(session: AsyncSession, number: int) -> bool:
    """False while another transaction has it; released by the transaction's end, whichever way it ends."""
    return bool((await session.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one())


async def find(session: AsyncSession, place: Place, moment: datetime) -> Kept | None:
    row = (
        await session.execute(
            select(
                IdempotentAnswer.request_hash,
                IdempotentAnswer.status,
                IdempotentAnswer.media_type,
                IdempotentAnswer.body,
                IdempotentAnswer.key_version,
            ).where(
                IdempotentAnswer.tenant_id == place.tenant_id,
                IdempotentAnswer.api_key_id == place.api_key_id,
                IdempotentAnswer.key_hash == place.key_hash,
                IdempotentAnswer.expires_at > moment,
            )
        )
    ).first()
    return Kept(*row) if row else None


async def keep(session: AsyncSession, place: Place, kept: Kept, expires_at: datetime) -> None:
    """Takes the place of one that has expired."""
    values: Mapping[str, Any] = {
        **msgspec.structs.asdict(kept),
        "created_at": func.now(),
        "expires_at": expires_at,
    }
    statement = insert(IdempotentAnswer).values(**msgspec.structs.asdict(place), **values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[
                IdempotentAnswer.tenant_id,
                IdempotentAnswer.api_key_id,
                IdempotentAnswer.key_hash,
            ],
            set_={name: statement.excluded[name] for name in values},
        )
    )


async def purge(session: AsyncSession, tenant_id: UUID, moment: datetime) -> datetime | None:
    """Deletes a batch of what has expired; when the oldest of the rest expires, None if nothing is left."""
    due = (
        select(IdempotentAnswer.api_key_id, IdempotentAnswer.key_hash)
        .where(IdempotentAnswer.tenant_id == tenant_id, IdempotentAnswer.expires_at <= moment)
        .limit(BATCH)
        .subquery()
    )
    await session.execute(
        delete(IdempotentAnswer).where(
            IdempotentAnswer.tenant_id == tenant_id,
            IdempotentAnswer.api_key_id == due.c.api_key_id,
            IdempotentAnswer.key_hash == due.c.key_hash,
        )
    )
    return (
        await session.execute(
            select(func.min(IdempotentAnswer.expires_at)).where(IdempotentAnswer.tenant_id == tenant_id)
        )
    ).scalar_one()
