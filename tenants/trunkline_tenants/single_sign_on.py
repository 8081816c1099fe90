"""Signing in by the operator's identity provider: a flow bound to one browser, and whose account it opens."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog

from trunkline.audit import service as audit
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import BadInputError
from trunkline.kernel.principal import SYSTEM
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies, sign_in_repository
from trunkline_tenants.directory import Directory, normalise_email
from trunkline_tenants.errors import ChallengeEndedError, SignInFailedError, SingleSignOnError
from trunkline_tenants.keys import digest, new_secret
from trunkline_tenants.logins import Logins
from trunkline_tenants.oidc import OidcProvider, Subject, query_value
from trunkline_tenants.schemas import CodeNeeded, OpenedLogin, UserInfo, Visit

NO_ACCOUNT = (
    "Your identity provider knows you, but no account here belongs to you. Ask an owner of your organisation"
    " to add you."
)

_log = structlog.get_logger("trunkline.sign_in")


class SingleSignOn:
    """Without TRUNKLINE_OIDC_ISSUER there is none, and both methods refuse. SettingsError when made."""

    def __init__(
        self, settings: Settings, db: Database, directory: Directory, logins: Logins, egress: Egress
    ) -> None:
        self._db = db
        self._directory = directory
        self._logins = logins
        self._provider = OidcProvider(settings, egress) if settings.oidc_issuer else None
        self._domains = frozenset(
            domain.strip().lower() for domain in settings.oidc_domains.split(",") if domain.strip()
        )

    async def close(self) -> None:
        if self._provider is not None:
            await self._provider.close()

    async def begin(self, target: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie that it must bring back within ten minutes."""
        provider = self._known()
        cookie, moment = new_secret(), now()
        url = await provider.authorize_url(
            state=_derived(cookie, "state"),
            nonce=_derived(cookie, "nonce"),
            verifier=_derived(cookie, "verifier"),
        )
        async with self._db.tenant(OPERATOR) as session:
            await sign_in_repository.add_challenge(
                session,
                digest(cookie),
                "oidc",
                user_id=None,
                target=target,
                moment=moment,
                expires_at=moment + timedelta(seconds=cookies.STEP_SECONDS),
            )
        return url, cookie

    async def finish(
        self, query: Mapping[str, str], cookie: str | None, visit: Visit
    ) -> OpenedLogin | CodeNeeded:
        """The provider's answer. Nothing is asked of the provider unless this browser began, and only once.

        ChallengeEndedError, SingleSignOnError.
        """
        provider = self._known()
        state = query_value(query, "state")
        if cookie is None or not hmac.compare_digest(state.encode(), _derived(cookie, "state").encode()):
            raise ChallengeEndedError
        async with self._db.tenant(OPERATOR) as session:
            begun = await sign_in_repository.take_challenge(session, digest(cookie), "oidc", now())
        if begun is None:
            raise ChallengeEndedError
        provider.check_issuer(await provider.metadata(), query.get("iss"))
        code = query_value(query, "code")
        if "error" in query or not code:
            raise SingleSignOnError("refused", "Your identity provider did not let you in. Nothing changed.")
        subject = await provider.exchange(
            code, nonce=_derived(cookie, "nonce"), verifier=_derived(cookie, "verifier")
        )
        user = await self._whose(subject)
        try:
            return await self._logins.admit(user, visit, begun.target)
        except SignInFailedError as error:
            raise SingleSignOnError("no_tenant", NO_ACCOUNT) from error

    async def _whose(self, subject: Subject) -> UserInfo:
        """By the subject; the e-mail address only ever makes the first link, and only a verified one."""
        async with self._db.tenant(OPERATOR) as session:
            known = await sign_in_repository.identity(session, subject.issuer, subject.subject)
        user = await self._directory.user(known) if known else await self._by_email(subject.email)
        if user is None or user.disabled_at is not None or not self._welcome(user.email):
            _log.info("single_sign_on_refused", reason="no_account")
            raise SingleSignOnError("no_account", NO_ACCOUNT)
        if known is None:
            await self._link(subject, user.id)
        return user

    async def _by_email(self, email: str) -> UserInfo | None:
        try:
            return await self._directory.user_by_email(email) if email else None
        except BadInputError:
            return None

    async def _link(self, subject: Subject, user_id: UUID) -> None:
        async with self._db.tenant(OPERATOR) as session:
            linked = await sign_in_repository.link_identity(session, subject.issuer, subject.subject, user_id)
            if linked:
                await audit.append(session, SYSTEM, "identity.linked", "user", user_id, tenant_id=OPERATOR)
        if not linked:
            # the address has changed hands at the provider: its new owner is not the account's
            raise SingleSignOnError("another_subject", NO_ACCOUNT)

    def _welcome(self, email: str) -> bool:
        return normalise_email(email).rpartition("@")[2] in self._domains

    def _known(self) -> OidcProvider:
        if self._provider is None:
            raise SingleSignOnError("not_configured", "Single sign-on is not set up here.")
        return self._provider


def _derived(cookie: str, purpose: str) -> str:
    """43 characters that only who holds the cookie can make; so nothing of a flow's secrets is stored."""
    raw = hmac.new(cookie.encode(), f"trunkline sign-in {purpose}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
