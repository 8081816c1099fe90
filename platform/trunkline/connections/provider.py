"""The provider's OAuth endpoints: authorize address, code for tokens, refresh, revoke, whose account."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any

import httpx2
import msgspec
from authlib.integrations.httpx_client import AsyncOAuth2Client

from trunkline.connections.errors import GrantRevokedError, ProviderFailedError
from trunkline.connections.schemas import Account, Client, Tokens
from trunkline.kernel.clock import now
from trunkline.kernel.egress import AnswerTooLargeError, Egress, EgressRefusedError
from trunkline.resilience.backoff import retry_after
from trunkline.resilience.failures import classify
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, point

SECONDS = 20.0
"""A token call holds a row lock; twice this is less than the database's idle limit of 60 s."""
RETRY_SECONDS = 30


_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class ProviderOAuth:
    """Raises ProviderFailedError, or GrantRevokedError when the provider says invalid_grant."""

    def __init__(self, endpoints: Endpoints, egress: Egress) -> None:
        self._endpoints = endpoints
        self._egress = egress

    def authorize_url(
        self, manifest: Manifest, client: Client, *, redirect_uri: str, state: str, verifier: str
    ) -> str:
        """Where to send the browser; S256 wherever the provider supports it."""
        oauth = AsyncOAuth2Client(
            client.client_id,
            scope=manifest.auth.scope_separator.join(manifest.auth.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=self._egress.transport(()),
        )
        url, _ = oauth.create_authorization_url(
            self._endpoints.url(manifest, manifest.auth.authorize_url),
            state=state,
            code_verifier=verifier if manifest.auth.pkce else None,
        )
        return str(url)

    async def exchange(
        self, manifest: Manifest, client: Client, *, code: str, redirect_uri: str, verifier: str
    ) -> Tokens:
        extra = {"code_verifier": verifier} if manifest.auth.pkce else {}
        async with self._oauth(manifest, client) as oauth:
            return await _tokens(
                oauth.fetch_token(
                    self._endpoints.url(manifest, manifest.auth.token_url),
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    **extra,
                )
            )

    async def refresh(self, manifest: Manifest, client: Client, refresh_token: str) -> Tokens:
        async with self._oauth(manifest, client) as oauth:
            # Alone here: an error says by `reply_lost` whether the refresh token may be spent.
            return await _tokens(
                oauth.refresh_token(
                    self._endpoints.url(manifest, manifest.auth.token_url), refresh_token=refresh_token
                )
            )

    async def revoke(self, manifest: Manifest, client: Client, token: str, hint: str) -> str:
        """What came of it, for the audit log: revoked, refused (status), unreachable or not_offered."""
        if manifest.auth.revoke_url is None:
            return "not_offered"
        try:
            async with asyncio.timeout(SECONDS), self._oauth(manifest, client) as oauth:
                answer = await oauth.revoke_token(
                    self._endpoints.url(manifest, manifest.auth.revoke_url), token=token, token_type_hint=hint
                )
        except (httpx2.HTTPError, EgressRefusedError, TimeoutError):
            return "unreachable"
        return "revoked" if answer.is_success else f"refused ({answer.status_code})"

    async def account(self, manifest: Manifest, access_token: str) -> Account:
        """Also the cheapest proof that a token works."""
        try:
            async with self._egress.client(self._endpoints.hosts(manifest)) as client:
                answer = await client.get(
                    self._endpoints.url(manifest, manifest.account.path),
                    headers={"authorization": f"Bearer {access_token}", "accept": "application/json"},
                )
        except (httpx2.HTTPError, EgressRefusedError) as error:
            raise _failed(error) from error
        if not answer.is_success:
            raise _refused(manifest, answer)
        document = _document(answer)
        identity = point(document, manifest.account.id)
        label = point(document, manifest.account.label)
        if not isinstance(identity, str | int) or isinstance(identity, bool) or identity == "":
            raise ProviderFailedError("malformed_answer", _later(), http_status=answer.status_code)
        return Account(str(identity)[:200], str(identity if label in {None, ""} else label)[:200])

    def _oauth(self, manifest: Manifest, client: Client) -> Any:
        oauth = AsyncOAuth2Client(
            client.client_id,
            client.secret,
            token_endpoint_auth_method=manifest.auth.client_auth,
            revocation_endpoint_auth_method=manifest.auth.client_auth,
            transport=self._egress.transport(self._endpoints.hosts(manifest)),
            timeout=httpx2.Timeout(SECONDS, connect=5.0),
            follow_redirects=False,
            trust_env=False,
        )

        def check(answer: httpx2.Response) -> httpx2.Response:
            if not answer.is_success or "access_token" not in _document(answer):
                raise _refused(manifest, answer)
            return answer

        oauth.register_compliance_hook("access_token_response", check)
        oauth.register_compliance_hook("refresh_token_response", check)
        return oauth


async def _tokens(call: Awaitable[dict[str, Any]]) -> Tokens:
    try:
        async with asyncio.timeout(SECONDS):
            answer = await call
    except (httpx2.HTTPError, EgressRefusedError, TimeoutError) as error:
        raise _failed(error, reply_lost=_sent(error)) from error
    access, refresh, lifetime = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    if not isinstance(access, str) or not access or not isinstance(refresh, str | None):
        raise ProviderFailedError("malformed_answer", _later(), reply_lost=True)
    scopes = answer.get("scopes", answer.get("scope"))
    if isinstance(scopes, str):
        scopes = scopes.replace(",", " ").split()
    return Tokens(
        access_token=access,
        refresh_token=refresh or None,
        expires_at=_end(lifetime),
        scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else None,
    )


def _sent(error: Exception) -> bool:
    """Whether the request may have reached the provider; only a failure before it went out is sure not to."""
    if isinstance(error, EgressRefusedError):
        return isinstance(error, AnswerTooLargeError)
    return not isinstance(error, _NOT_SENT)


def _end(seconds: object) -> datetime | None:
    """A year at most: beyond that it is a mistake, and no reason to overflow a date."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 366 * 86_400:
        return None
    return now() + timedelta(seconds=seconds)


def _document(answer: httpx2.Response) -> dict[str, Any]:
    """Empty for what is no JSON object."""
    try:
        document = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refused(manifest: Manifest, answer: httpx2.Response) -> Exception:
    """RFC 6749's invalid_grant counts also where the manifest does not name it."""
    code = classify(manifest, answer.status_code, answer.content).code
    if code == "grant_revoked" or _document(answer).get("error") == "invalid_grant":
        return GrantRevokedError()
    wait = retry_after(answer.headers, now())
    # A success that cannot be read; any other status is the provider's word that it gave nothing.
    lost = answer.is_success
    return ProviderFailedError(code, _later(wait), http_status=answer.status_code, reply_lost=lost)


def _failed(error: Exception, *, reply_lost: bool = False) -> ProviderFailedError:
    if isinstance(error, AnswerTooLargeError):
        code = "malformed_answer"
    elif isinstance(error, EgressRefusedError):
        code = "egress_refused"
    elif isinstance(error, TimeoutError):
        code = "provider_timeout"
    else:
        code = classify(None, error=error).code
    return ProviderFailedError(code, _later(), reply_lost=reply_lost)


def _later(seconds: float | None = None) -> datetime:
    return now() + timedelta(seconds=RETRY_SECONDS if seconds is None else seconds)
