"""Tenants, their people, the operator's staff, API keys. Opens its own system sessions."""

import re
import unicodedata
from datetime import timedelta
from uuid import UUID

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline_tenants import repository
from trunkline_tenants.keys import new_api_key, parse_api_key
from trunkline_tenants.passwords import hash_password
from trunkline_tenants.permissions import MemberRole, StaffRole
from trunkline_tenants.schemas import ApiKeyInfo, MemberInfo, Membership, TenantInfo, UserInfo
from trunkline_tenants.sessions import end_all

TOUCH = timedelta(minutes=1)
"""How stale a "last used" or "last seen" may be: a write a request would cost more than it tells."""

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


def clean_name(name: str, field: str = "name") -> str:
    """1 to 120 printable characters, trimmed."""
    found = " ".join(name.split())
    if not 1 <= len(found) <= 120 or not found.isprintable():
        raise BadInputError("A name needs 1 to 120 printable characters.", field=field)
    return found


class Directory:
    """Who there is. Signing in is `Logins`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # tenants

    async def create_tenant(self, slug: str, name: str) -> TenantInfo:
        """ConflictError if the slug is taken."""
        if not _SLUG.fullmatch(slug):
            raise BadInputError(
                "A slug has 1 to 63 lower case letters, digits and hyphens, and no hyphen at either end.",
                field="slug",
            )
        tenant_id, name = new_id(), clean_name(name)
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

    # people

    async def create_user(
        self, email: str, name: str, password: str, *, staff_role: StaffRole | None = None
    ) -> UserInfo:
        """ConflictError if the address is taken."""
        email, name, user_id = normalise_email(email), clean_name(name), new_id()
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

    async def set_member(self, tenant_id: UUID, user_id: UUID, role: MemberRole) -> None:
        """Adds or changes; ConflictError rather than leave a tenant without an owner."""
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
            await repository.put_member(session, tenant_id, user_id, role)

    async def remove_member(self, tenant_id: UUID, user_id: UUID) -> None:
        async with self._db.system() as session:
            if list(await repository.lock_owners(session, tenant_id)) == [user_id]:
                raise ConflictError("The organisation needs an owner. Make somebody else an owner first.")
            if not await repository.delete_member(session, tenant_id, user_id):
                raise NotFoundError

    async def members(self, tenant_id: UUID) -> list[MemberInfo]:
        async with self._db.system() as session:
            return await repository.members(session, tenant_id)

    async def memberships(self, user_id: UUID) -> list[Membership]:
        """By the tenant's name."""
        async with self._db.system() as session:
            return await repository.memberships(session, user_id)

    # API keys

    async def create_api_key(self, name: str, *, tenant_id: UUID | None = None) -> tuple[str, ApiKeyInfo]:
        """The key in plain, which cannot be had again, and what is kept. No tenant: a key for all of them."""
        made, key_id, name = new_api_key(), new_id(), clean_name(name)
        if tenant_id == OPERATOR:
            raise BadInputError("A key is bound to a customer's tenant or to none.", field="tenant")
        values = {
            "id": key_id,
            "name": name,
            "prefix": made.prefix,
            "key_hash": made.hash,
            "tenant_id": tenant_id,
        }
        async with self._db.system() as session:
            if tenant_id is not None and await repository.tenant_by_id(session, tenant_id) is None:
                raise NotFoundError
            await repository.insert_key(session, values)
            found = await repository.key_by_prefix(session, made.prefix)
        assert found is not None
        return made.plain, found[0]

    async def api_keys(self, *, tenant_id: UUID | None = None) -> list[ApiKeyInfo]:
        async with self._db.system() as session:
            return await repository.keys(session, tenant_id)

    async def every_api_key(self) -> list[ApiKeyInfo]:
        """Those for all tenants and those bound to one, oldest first."""
        async with self._db.system() as session:
            return await repository.every_key(session)

    async def revoke_api_key(self, key_id: UUID, *, tenant_id: UUID | None = None) -> None:
        async with self._db.system() as session:
            if not await repository.revoke_key(session, key_id, tenant_id, now()):
                raise NotFoundError

    async def authenticate_key(self, text: str) -> Principal | None:
        """None for a malformed, unknown or revoked key; `last_used_at` moves at most once a minute."""
        parsed = parse_api_key(text)
        if parsed is None:
            return None
        async with self._db.system() as session:
            found = await repository.key_by_prefix(session, parsed.prefix)
            if found is None or not parsed.matches(found[1]) or found[0].revoked_at is not None:
                return None
            key, moment = found[0], now()
            if key.last_used_at is None or moment - key.last_used_at >= TOUCH:
                await repository.touch_key(session, key.id, moment)
        return Principal(
            kind="api_key", id=str(key.id), role="product", label=key.name, tenant_id=key.tenant_id
        )
