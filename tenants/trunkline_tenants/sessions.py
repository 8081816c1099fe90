"""All SQL about login sessions. The id that a browser holds is never stored, only its hash."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from trunkline.kernel.principal import Principal, Role
from trunkline_tenants.models import LoginSession, Member, Tenant, User
from trunkline_tenants.repository import TENANT_COLUMNS, USER_COLUMNS
from trunkline_tenants.schemas import Login, SessionInfo, TenantInfo, UserInfo

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
"""OWASP Session Management Cheat Sheet: 15 to 30 minutes idle for common, 4 to 8 hours of office work; a
working day with a break in it is 12."""

STAFF_ROLES: dict[str, Role] = {"support": "support", "admin": "staff_admin"}


_OTHER = aliased(Member)
_ELSEWHERE = (
    exists().where(_OTHER.user_id == LoginSession.user_id, _OTHER.tenant_id != LoginSession.tenant_id)
).label("several")


async def insert(
    session: AsyncSession,
    *,
    id_hash: bytes,
    user_id: UUID,
    tenant_id: UUID | None,
    csrf: str,
    expires_at: datetime,
    device: str = "",
    address: str = "",
    second_factor: bool = False,
) -> None:
    session.add(
        LoginSession(
            id_hash=id_hash,
            user_id=user_id,
            tenant_id=tenant_id,
            csrf=csrf,
            expires_at=expires_at,
            device=device,
            address=address,
            second_factor=second_factor,
        )
    )
    await session.flush()


async def load(session: AsyncSession, id_hash: bytes, moment: datetime) -> tuple[Login, datetime] | None:
    """The session and when it was last seen; None if it ended, or its user or membership did."""
    user_width, tenant_width = len(USER_COLUMNS), len(TENANT_COLUMNS)
    row = (
        await session.execute(
            select(
                *USER_COLUMNS,
                *TENANT_COLUMNS,
                Member.role,
                LoginSession.csrf,
                LoginSession.expires_at,
                LoginSession.last_seen_at,
                LoginSession.second_factor,
                _ELSEWHERE,
            )
            .join(User, User.id == LoginSession.user_id)
            .outerjoin(
                Member,
                and_(Member.tenant_id == LoginSession.tenant_id, Member.user_id == LoginSession.user_id),
            )
            .outerjoin(Tenant, Tenant.id == Member.tenant_id)
            .where(
                LoginSession.id_hash == id_hash,
                LoginSession.expires_at > moment,
                LoginSession.last_seen_at > moment - IDLE,
                User.disabled_at.is_(None),
            )
        )
    ).first()
    if row is None:
        return None
    values: tuple[Any, ...] = tuple(row)
    user = UserInfo(*values[:user_width])
    tenant = TenantInfo(*values[user_width : user_width + tenant_width]) if values[user_width] else None
    role, csrf, expires_at, seen, second_factor, several = values[user_width + tenant_width :]
    principal = principal_of(user, tenant, role)
    if principal is None:
        return None
    login = Login(
        principal=principal,
        user=user,
        tenant=tenant,
        csrf=csrf,
        expires_at=expires_at,
        several=several,
        second_factor=second_factor,
    )
    return login, seen


def principal_of(user: UserInfo, tenant: TenantInfo | None, role: Role | None) -> Principal | None:
    if user.staff_role is not None:
        return Principal(kind="staff", id=str(user.id), role=STAFF_ROLES[user.staff_role], label=user.name)
    if tenant is None or role is None:
        return None
    return Principal(kind="member", id=str(user.id), role=role, label=user.name, tenant_id=tenant.id)


async def touch(session: AsyncSession, id_hash: bytes, moment: datetime) -> None:
    await session.execute(
        update(LoginSession).where(LoginSession.id_hash == id_hash).values(last_seen_at=moment)
    )


async def end(session: AsyncSession, id_hash: bytes) -> None:
    await session.execute(delete(LoginSession).where(LoginSession.id_hash == id_hash))


async def end_all(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))


async def end_of_tenant(session: AsyncSession, user_id: UUID, tenant_id: UUID) -> None:
    await session.execute(
        delete(LoginSession).where(LoginSession.user_id == user_id, LoginSession.tenant_id == tenant_id)
    )


async def end_others(session: AsyncSession, user_id: UUID, id_hash: bytes) -> int:
    """How many there were besides this one."""
    gone = await session.execute(
        delete(LoginSession)
        .where(LoginSession.user_id == user_id, LoginSession.id_hash != id_hash)
        .returning(LoginSession.id)
    )
    return len(gone.all())


async def end_named(session: AsyncSession, user_id: UUID, session_id: UUID) -> bool:
    """Only the user's own."""
    gone = await session.execute(
        delete(LoginSession)
        .where(LoginSession.user_id == user_id, LoginSession.id == session_id)
        .returning(LoginSession.id)
    )
    return gone.first() is not None


async def rotate(
    session: AsyncSession,
    old: bytes,
    fresh: bytes,
    csrf: str,
    *,
    second_factor: bool | None = None,
    tenant_id: UUID | None = None,
) -> bool:
    """The same session under another id and token; False if it has ended meanwhile. None leaves a value."""
    values: dict[str, Any] = {"id_hash": fresh, "csrf": csrf}
    if second_factor is not None:
        values["second_factor"] = second_factor
    if tenant_id is not None:
        values["tenant_id"] = tenant_id
    done = await session.execute(
        update(LoginSession).where(LoginSession.id_hash == old).values(values).returning(LoginSession.id)
    )
    return done.first() is not None


async def of_user(
    session: AsyncSession, user_id: UUID, id_hash: bytes, moment: datetime
) -> list[SessionInfo]:
    """Those that still open something, the newest sign of life first; `id_hash` is the current one."""
    rows = await session.execute(
        select(
            LoginSession.id,
            LoginSession.device,
            LoginSession.address,
            LoginSession.created_at,
            LoginSession.last_seen_at,
            LoginSession.second_factor,
            LoginSession.id_hash == id_hash,
        )
        .where(
            LoginSession.user_id == user_id,
            LoginSession.expires_at > moment,
            LoginSession.last_seen_at > moment - IDLE,
        )
        .order_by(LoginSession.last_seen_at.desc(), LoginSession.id)
    )
    return [SessionInfo(*row) for row in rows]


async def sweep(session: AsyncSession, moment: datetime) -> None:
    """Forgets what has ended; sign-ins call it, so that the table stays as small as the crowd inside."""
    await session.execute(
        delete(LoginSession).where(
            (LoginSession.expires_at <= moment) | (LoginSession.last_seen_at <= moment - IDLE)
        )
    )
