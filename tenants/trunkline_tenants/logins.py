"""Signing in and out, and which tenant's portal a browser has open. Opens its own sessions."""

from datetime import timedelta
from uuid import UUID

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline_tenants import cookies, factor_repository, repository, sessions, sign_in_repository
from trunkline_tenants.directory import TOUCH, normalise_email
from trunkline_tenants.errors import (
    ChallengeEndedError,
    SignInFailedError,
    TooManyAttemptsError,
    WrongPasswordError,
)
from trunkline_tenants.keys import digest, new_secret
from trunkline_tenants.passwords import verify_password
from trunkline_tenants.schemas import CodeNeeded, Login, OpenedLogin, UserInfo, Visit
from trunkline_tenants.throttle import Throttle

_NOBODY = UUID(int=0)


class Logins:
    """A cookie's value is only ever made here: one that a browser brings is looked up, never adopted."""

    def __init__(self, db: Database, throttle: Throttle) -> None:
        self._db = db
        self._throttle = throttle

    async def sign_in(
        self,
        email: str,
        password: str,
        *,
        address: str,
        previous: str | None = None,
        device: str = "",
        browser: str | None = None,
        target: str = "",
    ) -> OpenedLogin | CodeNeeded:
        """Ends the session of `previous`, the cookie's old value. SignInFailedError, TooManyAttemptsError."""
        try:
            account = normalise_email(email)
        except BadInputError:
            account = ""
        async with self._db.system() as session:
            found = await repository.user_by_email(session, account) if account else None
        user, stored = found or (None, None)
        known = await self._known(browser, user)
        if wait := await self._throttle.wait(account, address, known):
            raise TooManyAttemptsError(wait)
        matches, better = await verify_password(stored, password)
        if user is None or not matches or user.disabled_at is not None:
            await self._throttle.failed(account, address, known)
            raise SignInFailedError
        visit = Visit(address=address, device=device, browser=browser, previous=previous)
        opened = await self.admit(user, visit, target, better_hash=better)
        await self._throttle.succeeded(account, address, known)
        return opened

    async def _known(self, browser: str | None, user: UserInfo | None) -> str:
        """The browser's counter, empty for one that the account does not know. Asks for anybody alike."""
        if browser is None:
            return ""
        async with self._db.tenant(OPERATOR) as session:
            known = await sign_in_repository.browser_is_known(
                session, digest(browser), user.id if user else _NOBODY, now()
            )
        return digest(browser).hex() if known else ""

    async def admit(
        self, user: UserInfo, visit: Visit, target: str = "", *, better_hash: str | None = None
    ) -> OpenedLogin | CodeNeeded:
        """After the first factor, whatever it was: a session, or the question for the second one."""
        async with self._db.tenant(OPERATOR) as session:
            if await factor_repository.enrolled(session, user.id):
                cookie, moment = new_secret(), now()
                await sign_in_repository.add_challenge(
                    session,
                    digest(cookie),
                    "code",
                    user_id=user.id,
                    target=target,
                    moment=moment,
                    expires_at=moment + timedelta(seconds=cookies.STEP_SECONDS),
                )
                return CodeNeeded(cookie)
        return await self.open(user, visit, target, better_hash=better_hash)

    async def open(
        self,
        user: UserInfo,
        visit: Visit,
        target: str = "",
        *,
        better_hash: str | None = None,
        second_factor: bool = False,
    ) -> OpenedLogin:
        """A session for somebody who has given every factor. SignInFailedError for who belongs nowhere."""
        async with self._db.system() as session:
            belongs = [] if user.staff_role else await repository.memberships(session, user.id)
            tenant, role = (belongs[0].tenant, belongs[0].role) if belongs else (None, None)
            principal = sessions.principal_of(user, tenant, role)
            if principal is None:
                raise SignInFailedError
            moment = now()
            await sessions.sweep(session, moment)
            if visit.previous:
                await sessions.end(session, digest(visit.previous))
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
                device=visit.device,
                address=visit.address,
                second_factor=second_factor,
            )
            if user.staff_role:
                await self._db.hand_over(session, OPERATOR)
                detail = {"second_factor": second_factor}
                await append(
                    session, principal, "session.opened", "user", user.id, detail, tenant_id=OPERATOR
                )
        login = Login(
            principal=principal,
            user=user,
            tenant=tenant,
            csrf=csrf,
            expires_at=expires_at,
            second_factor=second_factor,
        )
        return OpenedLogin(cookie, login, await self._remember(user, visit.browser), target)

    async def _remember(self, user: UserInfo, browser: str | None) -> str | None:
        """A new value for the browser's cookie, None if it is known already."""
        moment = now()
        async with self._db.tenant(OPERATOR) as session:
            if browser and await sign_in_repository.browser_is_known(
                session, digest(browser), user.id, moment
            ):
                return None
            fresh = new_secret()
            await sign_in_repository.remember_browser(
                session,
                digest(fresh),
                user.id,
                moment=moment,
                expires_at=moment + timedelta(seconds=cookies.BROWSER_SECONDS),
            )
        return fresh

    async def prove(self, user: UserInfo, password: str, *, address: str, field: str = "password") -> None:
        """For who is signed in, before a change of great weight. WrongPasswordError, TooManyAttemptsError."""
        account = f"again:{user.id}"
        if wait := await self._throttle.wait(account, address):
            raise TooManyAttemptsError(wait)
        async with self._db.system() as session:
            found = await repository.user_by_email(session, user.email)
        matches, _ = await verify_password(found[1] if found else None, password)
        if not matches:
            await self._throttle.failed(account, address)
            raise WrongPasswordError(field)
        await self._throttle.succeeded(account, address)

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

    async def rotate(self, cookie: str, *, second_factor: bool | None = None) -> OpenedLogin:
        """After a change of rights: the same session under a new id, and all others of the person ended."""
        old, fresh, csrf, moment = digest(cookie), new_secret(), new_secret(), now()
        async with self._db.system() as session:
            if not await sessions.rotate(session, old, digest(fresh), csrf, second_factor=second_factor):
                raise ChallengeEndedError
            found = await sessions.load(session, digest(fresh), moment)
            if found is None:
                raise ChallengeEndedError
            await sessions.end_others(session, found[0].user.id, digest(fresh))
        async with self._db.tenant(OPERATOR) as session:
            await sign_in_repository.end_challenges(session, found[0].user.id)
        return OpenedLogin(fresh, found[0])

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
            if not await sessions.rotate(session, old, digest(fresh), csrf, tenant_id=tenant_id):
                raise NotFoundError
            switched = await sessions.load(session, digest(fresh), moment)
        assert switched is not None
        return OpenedLogin(fresh, switched[0])

    async def sign_out(self, cookie: str) -> None:
        async with self._db.system() as session:
            await sessions.end(session, digest(cookie))
