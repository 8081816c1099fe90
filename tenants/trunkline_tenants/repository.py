"""All SQL about tenants and people. Sessions come from `Database.system()`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health.repository import among
from trunkline_tenants.models import Member, Tenant, User
from trunkline_tenants.permissions import MemberRole
from trunkline_tenants.schemas import MemberInfo, Membership, TenantInfo, UserInfo

TENANT_COLUMNS = (Tenant.id, Tenant.slug, Tenant.name, Tenant.created_at)
USER_COLUMNS = (User.id, User.email, User.name, User.staff_role, User.created_at, User.disabled_at)


async def insert_tenant(session: AsyncSession, tenant_id: UUID, slug: str, name: str) -> bool:
    """False if the slug is taken."""
    made = await session.execute(
        insert(Tenant)
        .values(id=tenant_id, slug=slug, name=name)
        .on_conflict_do_nothing(index_elements=[Tenant.slug])
        .returning(Tenant.id)
    )
    return made.first() is not None


async def tenant_by_slug(session: AsyncSession, slug: str) -> TenantInfo | None:
    return await _tenant(session, Tenant.slug == slug)


async def tenant_by_id(session: AsyncSession, tenant_id: UUID) -> TenantInfo | None:
    return await _tenant(session, Tenant.id == tenant_id)


async def _tenant(session: AsyncSession, condition: ColumnElement[bool]) -> TenantInfo | None:
    row = (await session.execute(select(*TENANT_COLUMNS).where(condition))).first()
    return TenantInfo(*row) if row else None


async def tenants(session: AsyncSession) -> list[TenantInfo]:
    rows = await session.execute(select(*TENANT_COLUMNS).order_by(Tenant.name, Tenant.id))
    return [TenantInfo(*row) for row in rows]


async def tenants_of(session: AsyncSession, ids: Sequence[UUID]) -> list[TenantInfo]:
    rows = await session.execute(select(*TENANT_COLUMNS).where(among(Tenant.id, ids)))
    return [TenantInfo(*row) for row in rows]


async def tenant_page(
    session: AsyncSession,
    *,
    without: Sequence[UUID],
    containing: str,
    descending: bool,
    limit: int,
    offset: int,
) -> list[TenantInfo]:
    """By name. `without`: all but these; `containing`: in name or slug, in any case; it reads every name."""
    name = func.lower(Tenant.name)
    query = select(*TENANT_COLUMNS)
    if without:
        query = query.where(~among(Tenant.id, without))
    if containing:
        wanted = containing.lower()
        query = query.where(
            or_(name.contains(wanted, autoescape=True), Tenant.slug.contains(wanted, autoescape=True))
        )
    order = (name.desc(), Tenant.id.desc()) if descending else (name, Tenant.id)
    rows = await session.execute(query.order_by(*order).limit(limit).offset(offset))
    return [TenantInfo(*row) for row in rows]


async def insert_user(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False if the address is taken."""
    made = await session.execute(
        insert(User).values(**values).on_conflict_do_nothing(index_elements=[User.email]).returning(User.id)
    )
    return made.first() is not None


async def user_by_email(session: AsyncSession, email: str) -> tuple[UserInfo, str] | None:
    """With the password's hash."""
    row = (
        await session.execute(select(*USER_COLUMNS, User.password_hash).where(User.email == email))
    ).first()
    return (UserInfo(*row[:-1]), row[-1]) if row else None


async def user_by_id(session: AsyncSession, user_id: UUID) -> UserInfo | None:
    row = (await session.execute(select(*USER_COLUMNS).where(User.id == user_id))).first()
    return UserInfo(*row) if row else None


async def staff(session: AsyncSession) -> list[UserInfo]:
    rows = await session.execute(
        select(*USER_COLUMNS).where(User.staff_role.is_not(None)).order_by(User.name, User.id)
    )
    return [UserInfo(*row) for row in rows]


async def update_user(session: AsyncSession, user_id: UUID, values: dict[str, Any]) -> bool:
    done = await session.execute(update(User).where(User.id == user_id).values(**values).returning(User.id))
    return done.first() is not None


async def put_member(session: AsyncSession, tenant_id: UUID, user_id: UUID, role: str) -> None:
    statement = insert(Member).values(tenant_id=tenant_id, user_id=user_id, role=role)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Member.tenant_id, Member.user_id], set_={"role": statement.excluded.role}
        )
    )


async def member_role(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> MemberRole | None:
    found = await session.execute(
        select(Member.role).where(Member.tenant_id == tenant_id, Member.user_id == user_id)
    )
    return found.scalar_one_or_none()


async def delete_member(session: AsyncSession, tenant_id: UUID, user_id: UUID) -> bool:
    gone = await session.execute(
        delete(Member)
        .where(Member.tenant_id == tenant_id, Member.user_id == user_id)
        .returning(Member.user_id)
    )
    return gone.first() is not None


async def lock_owners(session: AsyncSession, tenant_id: UUID) -> Sequence[UUID]:
    """Locked, so that two owners cannot both leave at once."""
    rows = await session.execute(
        select(Member.user_id)
        .where(Member.tenant_id == tenant_id, Member.role == "owner")
        .order_by(Member.user_id)
        .with_for_update()
    )
    return rows.scalars().all()


async def members(session: AsyncSession, tenant_id: UUID) -> list[MemberInfo]:
    rows = await session.execute(
        select(User.id, User.email, User.name, Member.role, Member.created_at)
        .join(User, User.id == Member.user_id)
        .where(Member.tenant_id == tenant_id)
        .order_by(User.name, User.id)
    )
    return [MemberInfo(*row) for row in rows]


async def memberships(session: AsyncSession, user_id: UUID) -> list[Membership]:
    rows = await session.execute(
        select(*TENANT_COLUMNS, Member.role)
        .join(Tenant, Tenant.id == Member.tenant_id)
        .where(Member.user_id == user_id)
        .order_by(Tenant.name, Tenant.id)
    )
    return [Membership(TenantInfo(*row[:-1]), row[-1]) for row in rows]
