"""A person's own account: their sessions, their password. Opens its own sessions."""

from uuid import UUID

from trunkline.audit import service as audit
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline_tenants import repository, sessions, sign_in_repository
from trunkline_tenants.keys import digest
from trunkline_tenants.logins import Logins
from trunkline_tenants.passwords import hash_password
from trunkline_tenants.schemas import Login, OpenedLogin, SessionInfo


class Account:
    def __init__(self, db: Database, logins: Logins) -> None:
        self._db = db
        self._logins = logins

    async def sessions(self, login: Login, cookie: str) -> list[SessionInfo]:
        """The person's own, the newest sign of life first."""
        async with self._db.system() as session:
            return await sessions.of_user(session, login.user.id, digest(cookie), now())

    async def end_session(self, login: Login, session_id: UUID) -> None:
        """NotFoundError for one that ended or is somebody else's."""
        async with self._db.system() as session:
            if not await sessions.end_named(session, login.user.id, session_id):
                raise NotFoundError

    async def end_others(self, login: Login, cookie: str) -> int:
        """How many ended. What other browsers had begun or were known by is forgotten too."""
        async with self._db.system() as session:
            ended = await sessions.end_others(session, login.user.id, digest(cookie))
        async with self._db.tenant(OPERATOR) as session:
            await sign_in_repository.end_challenges(session, login.user.id)
            await sign_in_repository.forget_browsers(session, login.user.id)
        return ended

    async def change_password(
        self, login: Login, cookie: str, *, current: str, wanted: str, address: str
    ) -> OpenedLogin:
        """Ends every other session and gives this one a new id.

        WrongPasswordError naming `current`; BadInputError naming `wanted`; TooManyAttemptsError.
        """
        await self._logins.prove(login.user, current, address=address, field="current")
        check_new_password(wanted, email=login.user.email, current=current)
        hashed = await hash_password(wanted, field="wanted")
        async with self._db.system() as session:
            if not await repository.update_user(session, login.user.id, {"password_hash": hashed}):
                raise NotFoundError
        opened = await self._logins.rotate(cookie)
        async with self._db.tenant(OPERATOR) as session:
            await sign_in_repository.forget_browsers(session, login.user.id)
            await audit.append(
                session, login.principal, "account.secured", "user", login.user.id, tenant_id=OPERATOR
            )
        return opened


def check_new_password(wanted: str, *, email: str, current: str = "") -> None:
    """Beyond its length, which `hash_password` checks: no rule of composition (NIST SP 800-63B-4)."""
    plain = wanted.casefold().strip()
    name = email.partition("@")[0].casefold()
    if plain in {email.casefold(), name} or (
        len(name) >= 4 and plain.replace(name, "").strip("0123456789") == ""
    ):
        raise BadInputError(
            "This password is your e-mail address, or close to it. Choose another.", field="wanted"
        )
    if len(set(plain)) < 4:
        raise BadInputError("This password repeats a few characters. Choose another.", field="wanted")
    if wanted == current:
        raise BadInputError("This is your password already. Choose another.", field="wanted")
