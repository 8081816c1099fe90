"""All SQL about second factors and recovery codes. Sessions come from `Database.tenant(OPERATOR)`."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import OPERATOR
from trunkline_tenants.models import RecoveryCode, SecondFactor


class Stored(msgspec.Struct, frozen=True):
    secret: bytes
    key_version: int
    last_step: int
    confirmed_at: datetime | None


async def find(session: AsyncSession, user_id: UUID) -> Stored | None:
    row = (
        await session.execute(
            select(
                SecondFactor.secret,
                SecondFactor.key_version,
                SecondFactor.last_step,
                SecondFactor.confirmed_at,
            ).where(SecondFactor.tenant_id == OPERATOR, SecondFactor.user_id == user_id)
        )
    ).first()
    return Stored(*row) if row else None


async def enrolled(session: AsyncSession, user_id: UUID) -> bool:
    found = await session.execute(
        select(SecondFactor.user_id).where(
            SecondFactor.tenant_id == OPERATOR,
            SecondFactor.user_id == user_id,
            SecondFactor.confirmed_at.is_not(None),
        )
    )
    return found.first() is not None


async def put(session: AsyncSession, user_id: UUID, secret: bytes, key_version: int) -> bool:
    """Replaces one that was never confirmed; False, nothing changed, if there is a confirmed one."""
    statement = insert(SecondFactor).values(
        tenant_id=OPERATOR, user_id=user_id, secret=secret, key_version=key_version
    )
    done = await session.execute(
        statement.on_conflict_do_update(
            index_elements=[SecondFactor.tenant_id, SecondFactor.user_id],
            set_={"secret": statement.excluded.secret, "key_version": statement.excluded.key_version},
            where=SecondFactor.confirmed_at.is_(None),
        ).returning(SecondFactor.user_id)
    )
    return done.first() is not None


async def take_step(session: AsyncSession, user_id: UUID, step: int) -> bool:
    """False if this step or a later one has been taken: of two at once, one wins."""
    done = await session.execute(
        update(SecondFactor)
        .where(
            SecondFactor.tenant_id == OPERATOR,
            SecondFactor.user_id == user_id,
            SecondFactor.last_step < step,
        )
        .values(last_step=step)
        .returning(SecondFactor.user_id)
    )
    return done.first() is not None


async def confirm(session: AsyncSession, user_id: UUID, moment: datetime) -> None:
    await session.execute(
        update(SecondFactor)
        .where(SecondFactor.tenant_id == OPERATOR, SecondFactor.user_id == user_id)
        .values(confirmed_at=moment)
    )


async def remove(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(
        delete(SecondFactor).where(SecondFactor.tenant_id == OPERATOR, SecondFactor.user_id == user_id)
    )
    await _forget_codes(session, user_id)


async def replace_codes(session: AsyncSession, user_id: UUID, hashes: Collection[bytes]) -> None:
    await _forget_codes(session, user_id)
    rows = [{"tenant_id": OPERATOR, "user_id": user_id, "code_hash": found} for found in hashes]
    await session.execute(insert(RecoveryCode), rows)


async def take_code(session: AsyncSession, user_id: UUID, code_hash: bytes) -> bool:
    """False for one that is unknown or used: of two at once, one wins."""
    gone = await session.execute(
        delete(RecoveryCode)
        .where(
            RecoveryCode.tenant_id == OPERATOR,
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == code_hash,
        )
        .returning(RecoveryCode.user_id)
    )
    return gone.first() is not None


async def codes_left(session: AsyncSession, user_id: UUID) -> int:
    found = await session.execute(
        select(func.count())
        .select_from(RecoveryCode)
        .where(RecoveryCode.tenant_id == OPERATOR, RecoveryCode.user_id == user_id)
    )
    return found.scalar_one()


async def _forget_codes(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(
        delete(RecoveryCode).where(RecoveryCode.tenant_id == OPERATOR, RecoveryCode.user_id == user_id)
    )
