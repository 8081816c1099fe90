"""API keys: made, rotated, revoked, recognised. Every deed commits with its audit entry or not at all."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.naming import clean_name
from trunkline.kernel.principal import SYSTEM, Principal
from trunkline.kernel.scopes import EVERY, SCOPES
from trunkline_tenants import key_repository as repository
from trunkline_tenants import repository as tenants
from trunkline_tenants.keys import new_api_key, parse_api_key
from trunkline_tenants.schemas import ApiKeyInfo

TOUCH = timedelta(minutes=1)
"""How stale a "last used" may be: a write a request would cost more than it tells."""

LONGEST_OVERLAP = timedelta(days=30)
"""Two secrets for one key are for the time of a deployment, not for good."""

Reason = Literal["missing", "malformed", "unknown", "revoked", "expired", "replaced"]


class Refused(msgspec.Struct, frozen=True):
    """Why a key opens nothing. Only who holds a key's secret learns that it is revoked or expired."""

    reason: Reason


class ApiKeys:
    """Opens its own system sessions; `by` is who does it, for the installation's log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create_api_key(
        self,
        name: str,
        *,
        tenant_id: UUID | None = None,
        scopes: Collection[str] = EVERY,
        expires_at: datetime | None = None,
        by: Principal = SYSTEM,
    ) -> tuple[str, ApiKeyInfo]:
        """The key in plain, which cannot be had again, and what is kept. No tenant: a key for all of them."""
        if tenant_id == OPERATOR:
            raise BadInputError("A key is bound to a customer's tenant or to none.", field="tenant")
        made = new_api_key()
        values = {
            "id": new_id(),
            "name": clean_name(name, 120),
            "prefix": made.prefix,
            "key_hash": made.hash,
            "tenant_id": tenant_id,
            "scopes": _in_order(scopes),
            "expires_at": _ahead(expires_at),
        }
        async with self._db.system() as session:
            if tenant_id is not None and await tenants.tenant_by_id(session, tenant_id) is None:
                raise NotFoundError
            key = await repository.add(session, values)
            await self._log(session, by, "api_key.created", key, after=_state(key))
        return made.plain, key

    async def rotate_api_key(
        self,
        key_id: UUID,
        *,
        overlap: timedelta,
        expires_at: datetime | None = None,
        by: Principal = SYSTEM,
    ) -> tuple[str, ApiKeyInfo]:
        """A new secret for the same key, in plain this once; the old one opens for `overlap` more.

        The old one never outlives its own expiry, and one that an earlier rotation left ends at once.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise BadInputError(
                f"The old key can stay valid for {LONGEST_OVERLAP.days} days at most.", field="overlap"
            )
        made, moment = new_api_key(), now()
        async with self._db.system() as session:
            found = await repository.lock(session, key_id)
            if found is None:
                raise NotFoundError
            old, until = found.key, moment + overlap
            values = {
                "prefix": made.prefix,
                "key_hash": made.hash,
                "expires_at": _ahead(expires_at),
                "rotated_at": moment,
                "last_used_at": None,
                "previous_prefix": old.prefix,
                "previous_hash": found.hash,
                "previous_until": until if old.expires_at is None else min(until, old.expires_at),
                "previous_used_at": old.last_used_at,
            }
            key = await repository.change(session, key_id, values)
            kept: dict[str, Any] = {
                "previous_prefix": key.previous_prefix,
                "previous_until": _stamp(key.previous_until),
            }
            await self._log(
                session, by, "api_key.rotated", key, before=_state(old), after=_state(key), **kept
            )
        return made.plain, key

    async def revoke_api_key(
        self, key_id: UUID, *, tenant_id: UUID | None = None, by: Principal = SYSTEM
    ) -> None:
        """At once and for good, the secret before the last rotation included."""
        async with self._db.system() as session:
            found = await repository.lock(session, key_id)
            if found is None or found.key.tenant_id != tenant_id:
                raise NotFoundError
            key = await repository.change(session, key_id, {"revoked_at": now()})
            await self._log(session, by, "api_key.revoked", key, before=_state(found.key), after=_state(key))

    async def api_keys(self, *, tenant_id: UUID | None = None) -> list[ApiKeyInfo]:
        async with self._db.system() as session:
            return await repository.listed(session, tenant_id)

    async def every_api_key(self) -> list[ApiKeyInfo]:
        """Those for all tenants and those bound to one, oldest first."""
        async with self._db.system() as session:
            return await repository.every(session)

    async def authenticate_key(self, text: str) -> Principal | None:
        """As `check_key`, for those who need no reason."""
        found = await self.check_key(text)
        return found if isinstance(found, Principal) else None

    async def check_key(self, text: str) -> Principal | Refused:
        """A mistyped key costs no query; "last used" moves at most once a minute."""
        if not text:
            return Refused("missing")
        parsed = parse_api_key(text)
        if parsed is None:
            return Refused("malformed")
        moment = now()
        async with self._db.system() as session:
            found = await repository.by_prefix(session, parsed.prefix)
            if found is None:
                return Refused("unknown")
            key, present = found.key, parsed.prefix == found.key.prefix
            stored = found.hash if present else found.previous_hash
            if stored is None or not parsed.matches(stored):
                return Refused("unknown")
            if key.revoked_at is not None:
                return Refused("revoked")
            if not present and (key.previous_until is None or key.previous_until <= moment):
                return Refused("replaced")
            if present and key.expires_at is not None and key.expires_at <= moment:
                return Refused("expired")
            used = key.last_used_at if present else key.previous_used_at
            if used is None or moment - used >= TOUCH:
                column = "last_used_at" if present else "previous_used_at"
                await repository.change(session, key.id, {column: moment})
        return Principal(
            kind="api_key",
            id=str(key.id),
            role="product",
            label=key.name,
            tenant_id=key.tenant_id,
            scopes=frozenset(key.scopes),
        )

    async def _log(
        self,
        session: AsyncSession,
        by: Principal,
        action: str,
        key: ApiKeyInfo,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """In the installation's own log: a tenant did not do it."""
        detail = {
            "name": key.name,
            "prefix": key.prefix,
            "tenant_id": str(key.tenant_id or ""),
        }
        await self._db.hand_over(session, OPERATOR)
        await append(
            session,
            by,
            action,
            "api_key",
            key.id,
            detail | more,
            before=before,
            after=after,
            tenant_id=OPERATOR,
        )


def _state(key: ApiKeyInfo) -> dict[str, Any]:
    """What a deed can change of a key."""
    return {
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "expires_at": _stamp(key.expires_at),
        "revoked_at": _stamp(key.revoked_at),
    }


def _in_order(scopes: Collection[str]) -> list[str]:
    """Without repetition; BadInputError naming `scopes` for none and for one that there is not."""
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise BadInputError(
            f'There is no scope "{unknown[0][:40]}". Known: {", ".join(SCOPES)}.', field="scopes"
        )
    if not scopes:
        raise BadInputError("Choose at least one thing that the key may do.", field="scopes")
    return [scope for scope in SCOPES if scope in scopes]


def _ahead(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= now():
        raise BadInputError("A key must expire in the future.", field="expires")
    return expires_at


def _stamp(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
