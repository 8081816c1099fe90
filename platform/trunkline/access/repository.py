"""All SQL of connect sessions; sessions are the tenant's own, except where a function says system."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access.models import ConnectSession


async def tenant_of(system: AsyncSession, session_id: UUID) -> UUID | None:
    """System: whose connect session it is."""
    return (
        await system.execute(select(ConnectSession.tenant_id).where(ConnectSession.id == session_id).limit(1))
    ).scalar_one_or_none()


async def get(session: AsyncSession, tenant_id: UUID, session_id: UUID) -> ConnectSession | None:
    return (
        await session.execute(
            select(ConnectSession).where(
                ConnectSession.tenant_id == tenant_id, ConnectSession.id == session_id
            )
        )
    ).scalar_one_or_none()


async def redeem(
    session: AsyncSession,
    tenant_id: UUID,
    session_id: UUID,
    *,
    token_hash: bytes,
    frame_key_hash: bytes,
    moment: datetime,
) -> ConnectSession | None:
    """The row for exactly one caller with the right token, in time."""
    return (
        await session.execute(
            update(ConnectSession)
            .where(
                ConnectSession.tenant_id == tenant_id,
                ConnectSession.id == session_id,
                ConnectSession.token_hash == token_hash,
                ConnectSession.redeemed_at.is_(None),
                ConnectSession.expires_at > moment,
            )
            .values(redeemed_at=moment, frame_key_hash=frame_key_hash)
            .returning(ConnectSession)
        )
    ).scalar_one_or_none()


async def of_frame_key(
    session: AsyncSession, tenant_id: UUID, session_id: UUID, frame_key_hash: bytes
) -> ConnectSession | None:
    return (
        await session.execute(
            select(ConnectSession).where(
                ConnectSession.tenant_id == tenant_id,
                ConnectSession.id == session_id,
                ConnectSession.frame_key_hash == frame_key_hash,
            )
        )
    ).scalar_one_or_none()


async def set_out(session: AsyncSession, tenant_id: UUID, session_id: UUID, connection_id: UUID) -> bool:
    """A trip to the provider begins (again); False once the session is completed."""
    return await _change(session, tenant_id, session_id, None, connection_id=connection_id, error=None)


async def failed(
    session: AsyncSession, tenant_id: UUID, session_id: UUID, connection_id: UUID, error: str
) -> None:
    """For the frame to show, unless a newer trip is under way."""
    await _change(session, tenant_id, session_id, connection_id, error=error)


async def completed(
    session: AsyncSession,
    tenant_id: UUID,
    session_id: UUID,
    connection_id: UUID,
    *,
    code_hash: bytes,
    moment: datetime,
) -> bool:
    """False when another trip of the session was first, or a newer one is under way."""
    return await _change(
        session,
        tenant_id,
        session_id,
        connection_id,
        code_hash=code_hash,
        completed_at=moment,
        error=None,
    )


async def _change(
    session: AsyncSession, tenant_id: UUID, session_id: UUID, current: UUID | None, **values: object
) -> bool:
    query = update(ConnectSession).where(
        ConnectSession.tenant_id == tenant_id,
        ConnectSession.id == session_id,
        ConnectSession.completed_at.is_(None),
    )
    if current is not None:
        query = query.where(ConnectSession.connection_id == current)
    found = await session.execute(query.values(**values).returning(ConnectSession.id))
    return found.scalar_one_or_none() is not None


async def take_code(
    session: AsyncSession,
    tenant_id: UUID,
    session_id: UUID,
    *,
    code_hash: bytes,
    completed_after: datetime,
    moment: datetime,
) -> ConnectSession | None:
    """The row for exactly one caller with the right completion code, in time."""
    return (
        await session.execute(
            update(ConnectSession)
            .where(
                ConnectSession.tenant_id == tenant_id,
                ConnectSession.id == session_id,
                ConnectSession.code_hash == code_hash,
                ConnectSession.confirmed_at.is_(None),
                ConnectSession.completed_at > completed_after,
            )
            .values(confirmed_at=moment)
            .returning(ConnectSession)
        )
    ).scalar_one_or_none()
