"""Tenants, their people, the operator's staff. Opens its own system sessions."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.naming import clean_name
from trunkline.kernel.principal import SYSTEM, Principal
from trunkline_tenants import repository
from trunkline_tenants.api_keys import ApiKeys
from trunkline_tenants.passwords import hash_password
from trunkline_tenants.permissions import MemberRole, StaffRole
from trunkline_tenants.schemas import MemberInfo, Membership, TenantInfo, UserInfo
from trunkline_tenants.sessions import end_all, end_of_tenant

TOUCH = timedelta(minutes=1)
"""How stale a "last seen" may be: a write a request would cost more than it tells."""

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f.]+(?:\.[^@\s\x00-\x1f.]+)+")


def normalise_email(email: str) -> str:
    """NFKC, trimmed, lower case; BadInputError naming `email` for what is no address."""
    found = unicodedata.normalize("NFKC", email).strip().lower()
    if len(found) > 254 or not _EMAIL.fullmatch(found):
        raise BadInputError(
            "This is not an e-mail address: it needs a name, an @ and a domain.", field="email"
        )
    return found


class Directory(ApiKeys):
    """Who there is, API keys included. Signing in is `Logins`."""

    # tenants

    async def create_tenant(self, slug: str, name: str) -> TenantInfo:
        """ConflictError if the slug is taken."""
        if not _SLUG.fullmatch(slug):
            raise BadInputError(
                "A slug has 1 to 63 lower case letters, digits and hyphens, and no hyphen at either end.",
                field="slug",
            )
        tenant_id, name = new_id(), clean_name(name, 120)
        async with self._db.system() as session:
            if not await repository.insert_tenant(session, tenant_id, slug, name):
                raise ConflictError(f"There is a tenant {slug!r} already. Choose another slug.", field="slug")
            made = await repository.tenant_by_id(session, tenant_id)
        assert made is not None
        return made

    async def tenant_by_slug(self, slug: str) -> TenantInfo | None:
        if not _SLUG.fullmatch(slug):
            return None
        async with self._db.system() as session:
            return await repository.tenant_by_slug(session, slug)

    async def tenant(self, tenant_id: UUID) -> TenantInfo | None:
        async with self._db.system() as session:
            return await repository.tenant_by_id(session, tenant_id)

    async def tenants(self) -> list[TenantInfo]:
        """By name."""
        async with self._db.system() as session:
            return await repository.tenants(session)

    async def tenants_of(self, ids: Sequence[UUID]) -> dict[UUID, TenantInfo]:
        """By id, of those that there are."""
        if not ids:
            return {}
        async with self._db.system() as session:
            return {one.id: one for one in await repository.tenants_of(session, ids)}

    async def tenant_page(
        self,
        *,
        limit: int,
        offset: int = 0,
        without: Sequence[UUID] = (),
        containing: str = "",
        descending: bool = False,
    ) -> list[TenantInfo]:
        """By name, whatever its case."""
        async with self._db.system() as session:
            return await repository.tenant_page(
                session,
                without=without,
                containing=containing,
                descending=descending,
                limit=limit,
                offset=offset,
            )

    # people

    async def create_user(
        self, email: str, name: str, password: str, *, staff_role: StaffRole | None = None
    ) -> UserInfo:
        """ConflictError if the address is taken."""
        email, name, user_id = normalise_email(email), clean_name(name, 120), new_id()
        values = {
            "id": user_id,
            "email": email,
            "name": name,
            "password_hash": await hash_password(password),
            "staff_role": staff_role,
        }
        async with self._db.system() as session:
            if not await repository.insert_user(session, values):
                raise ConflictError("There is an account with this e-mail address already.", field="email")
            made = await repository.user_by_id(session, user_id)
        assert made is not None
        return made

    async def user_by_email(self, email: str) -> UserInfo | None:
        async with self._db.system() as session:
            found = await repository.user_by_email(session, normalise_email(email))
        return found[0] if found else None

    async def user(self, user_id: UUID) -> UserInfo | None:
        async with self._db.system() as session:
            return await repository.user_by_id(session, user_id)

    async def staff(self) -> list[UserInfo]:
        async with self._db.system() as session:
            return await repository.staff(session)

    async def disable_user(self, user_id: UUID) -> None:
        """Open sessions end with their next request."""
        async with self._db.system() as session:
            if not await repository.update_user(session, user_id, {"disabled_at": now()}):
                raise NotFoundError

    async def set_password(self, user_id: UUID, password: str) -> None:
        """Ends every session of the account."""
        hashed = await hash_password(password)
        async with self._db.system() as session:
            if not await repository.update_user(session, user_id, {"password_hash": hashed}):
                raise NotFoundError
            await end_all(session, user_id)

    # members

    async def set_member(
        self, tenant_id: UUID, user_id: UUID, role: MemberRole, *, by: Principal = SYSTEM
    ) -> None:
        """Adds or changes; ConflictError rather than leave a tenant without an owner.

        A changed role ends the person's sessions there: the new rights begin with a new session id.
        """
        async with self._db.system() as session:
            if await repository.tenant_by_id(session, tenant_id) is None:
                raise NotFoundError
            user = await repository.user_by_id(session, user_id)
            if user is None:
                raise NotFoundError
            if user.staff_role is not None:
                raise ConflictError(
                    "Staff of the operator cannot be members of a tenant. Use another account."
                )
            owners = await repository.lock_owners(session, tenant_id)
            if role != "owner" and list(owners) == [user_id]:
                raise ConflictError("The organisation needs an owner. Make somebody else an owner first.")
            former = await repository.member_role(session, tenant_id, user_id)
            await repository.put_member(session, tenant_id, user_id, role)
            if former == role:
                return
            if former is not None:
                await end_of_tenant(session, user_id, tenant_id)
            await self._db.hand_over(session, tenant_id)
            await append(
                session,
                by,
                "member.added" if former is None else "member.role_changed",
                "member",
                user_id,
                before=None if former is None else {"role": former},
                after={"role": role},
                tenant_id=tenant_id,
            )

    async def remove_member(self, tenant_id: UUID, user_id: UUID, *, by: Principal = SYSTEM) -> None:
        async with self._db.system() as session:
            if list(await repository.lock_owners(session, tenant_id)) == [user_id]:
                raise ConflictError("The organisation needs an owner. Make somebody else an owner first.")
            former = await repository.member_role(session, tenant_id, user_id)
            if not await repository.delete_member(session, tenant_id, user_id):
                raise NotFoundError
            await self._db.hand_over(session, tenant_id)
            await append(
                session, by, "member.removed", "member", user_id, before={"role": former}, tenant_id=tenant_id
            )

    async def members(self, tenant_id: UUID) -> list[MemberInfo]:
        async with self._db.system() as session:
            return await repository.members(session, tenant_id)

    async def memberships(self, user_id: UUID) -> list[Membership]:
        """By the tenant's name."""
        async with self._db.system() as session:
            return await repository.memberships(session, user_id)
