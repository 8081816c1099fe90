"""All SQL of signing in beside sessions: half-done sign-ins, known browsers, identities of a provider.

Sessions come from `Database.tenant(OPERATOR)`. A value that a browser holds is stored as its hash only.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import OPERATOR
from trunkline_tenants.models import ChallengeKind, Identity, KnownBrowser, LoginChallenge


class Challenge(msgspec.Struct, frozen=True):
    user_id: UUID | None
    target: str
    failures: int


async def add_challenge(
    session: AsyncSession,
    id_hash: bytes,
    kind: ChallengeKind,
    *,
    user_id: UUID | None,
    target: str,
    moment: datetime,
    expires_at: datetime,
) -> None:
    """Forgets those that ran out, so that the table stays small."""
    await session.execute(
        delete(LoginChallenge).where(
            LoginChallenge.tenant_id == OPERATOR, LoginChallenge.expires_at <= moment
        )
    )
    await session.execute(
        insert(LoginChallenge).values(
            tenant_id=OPERATOR,
            id_hash=id_hash,
            kind=kind,
            user_id=user_id,
            target=target,
            expires_at=expires_at,
        )
    )


async def challenge(
    session: AsyncSession, id_hash: bytes, kind: ChallengeKind, moment: datetime
) -> Challenge | None:
    """Locked until the transaction ends, so that attempts are counted one after the other."""
    row = (
        await session.execute(
            select(LoginChallenge.user_id, LoginChallenge.target, LoginChallenge.failures)
            .where(
                LoginChallenge.tenant_id == OPERATOR,
                LoginChallenge.id_hash == id_hash,
                LoginChallenge.kind == kind,
                LoginChallenge.expires_at > moment,
            )
            .with_for_update()
        )
    ).first()
    return Challenge(*row) if row else None


async def count_failure(session: AsyncSession, id_hash: bytes) -> None:
    await session.execute(
        update(LoginChallenge)
        .where(LoginChallenge.tenant_id == OPERATOR, LoginChallenge.id_hash == id_hash)
        .values(failures=LoginChallenge.failures + 1)
    )


async def take_challenge(
    session: AsyncSession, id_hash: bytes, kind: ChallengeKind, moment: datetime
) -> Challenge | None:
    """Gone with this: of two at once, one gets it."""
    row = (
        await session.execute(
            delete(LoginChallenge)
            .where(
                LoginChallenge.tenant_id == OPERATOR,
                LoginChallenge.id_hash == id_hash,
                LoginChallenge.kind == kind,
                LoginChallenge.expires_at > moment,
            )
            .returning(LoginChallenge.user_id, LoginChallenge.target, LoginChallenge.failures)
        )
    ).first()
    return Challenge(*row) if row else None


async def end_challenges(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(
        delete(LoginChallenge).where(LoginChallenge.tenant_id == OPERATOR, LoginChallenge.user_id == user_id)
    )


async def browser_is_known(session: AsyncSession, id_hash: bytes, user_id: UUID, moment: datetime) -> bool:
    found = await session.execute(
        select(KnownBrowser.user_id).where(
            KnownBrowser.tenant_id == OPERATOR,
            KnownBrowser.id_hash == id_hash,
            KnownBrowser.user_id == user_id,
            KnownBrowser.expires_at > moment,
        )
    )
    return found.first() is not None


async def remember_browser(
    session: AsyncSession, id_hash: bytes, user_id: UUID, *, moment: datetime, expires_at: datetime
) -> None:
    await session.execute(
        delete(KnownBrowser).where(KnownBrowser.tenant_id == OPERATOR, KnownBrowser.expires_at <= moment)
    )
    await session.execute(
        insert(KnownBrowser).values(
            tenant_id=OPERATOR, id_hash=id_hash, user_id=user_id, expires_at=expires_at
        )
    )


async def forget_browsers(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(
        delete(KnownBrowser).where(KnownBrowser.tenant_id == OPERATOR, KnownBrowser.user_id == user_id)
    )


async def identity(session: AsyncSession, issuer: str, subject: str) -> UUID | None:
    """Whose it is."""
    found = await session.execute(
        select(Identity.user_id).where(
            Identity.tenant_id == OPERATOR, Identity.issuer == issuer, Identity.subject == subject
        )
    )
    return found.scalar_one_or_none()


async def link_identity(session: AsyncSession, issuer: str, subject: str, user_id: UUID) -> bool:
    """False if the account has another subject of this issuer, or somebody else this one."""
    made = await session.execute(
        insert(Identity)
        .values(tenant_id=OPERATOR, issuer=issuer, subject=subject, user_id=user_id)
        .on_conflict_do_nothing()
        .returning(Identity.user_id)
    )
    return made.first() is not None
