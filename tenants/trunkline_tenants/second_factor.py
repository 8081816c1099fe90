"""Authenticator apps and recovery codes. Opens sessions of the operator's tenant, whose key seals secrets."""

import time
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit import service as audit
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.vault.service import Vault
from trunkline_tenants import factor_repository, sign_in_repository
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import ChallengeEndedError, TooManyAttemptsError, WrongCodeError
from trunkline_tenants.keys import digest
from trunkline_tenants.logins import Logins
from trunkline_tenants.schemas import Login, OpenedLogin, Visit
from trunkline_tenants.throttle import Throttle
from trunkline_tenants.totp import matching_step, new_recovery_codes, new_totp_secret, recovery_hash

ATTEMPTS = 5
"""Wrong codes after which signing in begins anew, with the password."""


class FactorState(msgspec.Struct, frozen=True):
    confirmed_at: datetime | None = None
    codes_left: int = 0


class SecondFactors:
    """`throttle` counts codes apart from passwords; see throttle.CODE_LIMITS."""

    def __init__(
        self, db: Database, vault: Vault, throttle: Throttle, directory: Directory, logins: Logins
    ) -> None:
        self._db = db
        self._vault = vault
        self._throttle = throttle
        self._directory = directory
        self._logins = logins

    async def state(self, user_id: UUID) -> FactorState:
        async with self._db.tenant(OPERATOR) as session:
            found = await factor_repository.find(session, user_id)
            if found is None or found.confirmed_at is None:
                return FactorState()
            return FactorState(found.confirmed_at, await factor_repository.codes_left(session, user_id))

    async def begin(self, user_id: UUID) -> str:
        """A fresh secret, which counts for nothing until `confirm`. ConflictError where one is in force."""
        secret = new_totp_secret()
        async with self._db.tenant(OPERATOR) as session:
            box = await self._vault.box(session, OPERATOR)
            sealed = box.seal(secret.encode(), _context(user_id))
            if not await factor_repository.put(session, user_id, sealed, box.version):
                raise ConflictError("A second factor is in use already. Remove it first.")
        return secret

    async def pending(self, user_id: UUID) -> str | None:
        """The secret that waits for its first code."""
        async with self._db.tenant(OPERATOR) as session:
            found = await factor_repository.find(session, user_id)
            if found is None or found.confirmed_at is not None:
                return None
            box = await self._vault.box(session, OPERATOR)
            return box.open(found.secret, found.key_version, _context(user_id)).decode()

    async def confirm(self, login: Login, code: str) -> list[str]:
        """The first code puts the factor in force. Recovery codes in plain. BadInputError naming `code`."""
        user_id = login.user.id
        secret = await self.pending(user_id)
        if secret is None:
            raise NotFoundError("Begin again: nothing waits for a code.")
        step = matching_step(secret, code, time.time())
        if step is None:
            raise BadInputError(
                "This code does not match. Type the six digits that the app shows now.", field="code"
            )
        async with self._db.tenant(OPERATOR) as session:
            if not await factor_repository.take_step(session, user_id, step):
                raise ConflictError("Another window has confirmed it already.")
            await factor_repository.confirm(session, user_id, now())
            codes = await self._new_codes(login, session)
            await audit.append(
                session, login.principal, "second_factor.added", "user", user_id, tenant_id=OPERATOR
            )
        return codes

    async def renew_codes(self, login: Login) -> list[str]:
        """Ten fresh ones; the old ones are worth nothing from now on."""
        async with self._db.tenant(OPERATOR) as session:
            if not await factor_repository.enrolled(session, login.user.id):
                raise NotFoundError
            codes = await self._new_codes(login, session)
            await audit.append(
                session, login.principal, "recovery.renewed", "user", login.user.id, tenant_id=OPERATOR
            )
        return codes

    async def _new_codes(self, login: Login, session: AsyncSession) -> list[str]:
        codes = new_recovery_codes()
        hashes = [found for code in codes if (found := recovery_hash(code))]
        await factor_repository.replace_codes(session, login.user.id, hashes)
        return codes

    async def remove(self, login: Login) -> None:
        async with self._db.tenant(OPERATOR) as session:
            await factor_repository.remove(session, login.user.id)
            await audit.append(
                session, login.principal, "second_factor.removed", "user", login.user.id, tenant_id=OPERATOR
            )

    async def waiting(self, cookie: str | None) -> bool:
        """Whether this browser has given the first factor and owes the second."""
        if cookie is None:
            return False
        async with self._db.tenant(OPERATOR) as session:
            return await sign_in_repository.challenge(session, digest(cookie), "code", now()) is not None

    async def complete(self, cookie: str, code: str, visit: Visit) -> OpenedLogin:
        """The second half of signing in. WrongCodeError, ChallengeEndedError, TooManyAttemptsError."""
        id_hash = digest(cookie)
        async with self._db.tenant(OPERATOR) as session:
            found = await sign_in_repository.challenge(session, id_hash, "code", now())
            if found is None or found.user_id is None:
                raise ChallengeEndedError
            account = f"code:{found.user_id}"
            if wait := await self._throttle.wait(account, visit.address):
                raise TooManyAttemptsError(wait)
            right = await self._check(session, found.user_id, code)
            if right:
                await sign_in_repository.take_challenge(session, id_hash, "code", now())
            else:
                # counted in the transaction that holds the challenge's lock: attempts at once are not free
                await self._throttle.failed(account, visit.address)
                await sign_in_repository.count_failure(session, id_hash)
                if found.failures + 1 >= ATTEMPTS:
                    await sign_in_repository.take_challenge(session, id_hash, "code", now())
        if not right:
            raise WrongCodeError
        user = await self._directory.user(found.user_id)
        if user is None or user.disabled_at is not None:
            raise ChallengeEndedError
        await self._throttle.succeeded(account, visit.address)
        return await self._logins.open(user, visit, found.target, second_factor=True)

    async def _check(self, session: AsyncSession, user_id: UUID, code: str) -> bool:
        """A one-time code not taken before, or an unused recovery code; either is used up by this."""
        if (code_hash := recovery_hash(code)) is not None:
            return await factor_repository.take_code(session, user_id, code_hash)
        stored = await factor_repository.find(session, user_id)
        if stored is None or stored.confirmed_at is None:
            return False
        box = await self._vault.box(session, OPERATOR)
        secret = box.open(stored.secret, stored.key_version, _context(user_id)).decode()
        step = matching_step(secret, code, time.time())
        return step is not None and await factor_repository.take_step(session, user_id, step)


def _context(user_id: UUID) -> str:
    return f"second_factors/{user_id}/secret"
