"""Signing in and out, and which tenant's portal a browser has open. Opens its own system sessions."""

from uuid import UUID

from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline_tenants import repository, sessions
from trunkline_tenants.directory import TOUCH, normalise_email
from trunkline_tenants.errors import SignInFailedError, TooManyAttemptsError
from trunkline_tenants.keys import digest, new_secret
from trunkline_tenants.passwords import verify_password
from trunkline_tenants.schemas import Login, OpenedLogin, UserInfo
from trunkline_tenants.throttle import Throttle


class Logins:
    """A cookie's value is only ever made here: one that a browser brings is looked up, never adopted."""

    def __init__(self, db: Database, throttle: Throttle) -> None:
        self._db = db
        self._throttle = throttle

    async def sign_in(
        self, email: str, password: str, *, address: str, previous: str | None = None
    ) -> OpenedLogin:
        """Ends the session of `previous`, the cookie's old value. SignInFailedError, TooManyAttemptsError."""
        try:
            account = normalise_email(email)
        except BadInputError:
            account = ""
        if wait := await self._throttle.wait(account, address):
            raise TooManyAttemptsError(wait)
        async with self._db.system() as session:
            found = await repository.user_by_email(session, account) if account else None
        user, stored = found or (None, None)
        matches, better = await verify_password(stored, password)
        if user is None or not matches or user.disabled_at is not None:
            await self._throttle.failed(account, address)
            raise SignInFailedError
        opened = await self._open(user, previous, better)
        await self._throttle.succeeded(account, address)
        return opened

    async def _open(self, user: UserInfo, previous: str | None, better_hash: str | None) -> OpenedLogin:
        async with self._db.system() as session:
            belongs = [] if user.staff_role else await repository.memberships(session, user.id)
            tenant, role = (belongs[0].tenant, belongs[0].role) if belongs else (None, None)
            principal = sessions.principal_of(user, tenant, role)
            if principal is None:
                raise SignInFailedError
            moment = now()
            await sessions.sweep(session, moment)
            if previous:
                await sessions.end(session, digest(previous))
            if better_hash:
                await repository.update_user(session, user.id, {"password_hash": better_hash})
            cookie, csrf, expires_at = new_secret(), new_secret(), moment + sessions.ABSOLUTE
            await sessions.insert(
                session,
                id_hash=digest(cookie),
                user_id=user.id,
                tenant_id=principal.tenant_id,
                csrf=csrf,
                expires_at=expires_at,
            )
        login = Login(principal=principal, user=user, tenant=tenant, csrf=csrf, expires_at=expires_at)
        return OpenedLogin(cookie, login)

    async def resolve(self, cookie: str) -> Login | None:
        """None for an id that is unknown or ended."""
        id_hash, moment = digest(cookie), now()
        async with self._db.system() as session:
            found = await sessions.load(session, id_hash, moment)
            if found is None:
                return None
            login, seen = found
            if moment - seen >= TOUCH:
                await sessions.touch(session, id_hash, moment)
        return login

    async def switch(self, cookie: str, tenant_id: UUID) -> OpenedLogin:
        """A new id for another tenant of the member's (else NotFoundError); the absolute end stays."""
        old, moment, fresh, csrf = digest(cookie), now(), new_secret(), new_secret()
        async with self._db.system() as session:
            found = await sessions.load(session, old, moment)
            if found is None:
                raise NotFoundError
            login = found[0]
            belongs = await repository.memberships(session, login.user.id)
            chosen = next((one for one in belongs if one.tenant.id == tenant_id), None)
            if chosen is None:
                raise NotFoundError
            principal = sessions.principal_of(login.user, chosen.tenant, chosen.role)
            if principal is None or principal.kind != "member":
                raise NotFoundError
            await sessions.end(session, old)
            await sessions.insert(
                session,
                id_hash=digest(fresh),
                user_id=login.user.id,
                tenant_id=tenant_id,
                csrf=csrf,
                expires_at=login.expires_at,
            )
        switched = Login(
            principal=principal, user=login.user, tenant=chosen.tenant, csrf=csrf, expires_at=login.expires_at
        )
        return OpenedLogin(fresh, switched)

    async def sign_out(self, cookie: str) -> None:
        async with self._db.system() as session:
            await sessions.end(session, digest(cookie))
