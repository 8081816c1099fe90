"""What gives access at a provider: authorize address, tokens, refresh, revoke, whose account."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import msgspec
from authlib.integrations.httpx_client import AsyncOAuth2Client

from trunkline.connections.errors import GrantRevokedError, ProviderFailedError
from trunkline.connections.schemas import Account, Client, Tokens
from trunkline.kernel.clock import now
from trunkline.kernel.egress import AnswerTooLargeError, Egress, EgressRefusedError
from trunkline.resilience.backoff import retry_after
from trunkline.resilience.failures import classify
from trunkline.sdk.credentials import call_headers
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Auth, ClientCredentials, Manifest, OAuth2, point
from trunkline.sdk.templates import fill_text

SECONDS = 20.0
"""A token call holds a row lock; twice this is less than the database's idle limit of 60 s."""
RETRY_SECONDS = 30


_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


Exchanged = OAuth2 | ClientCredentials


class ProviderOAuth:
    """Raises ProviderFailedError, or GrantRevokedError when the provider says invalid_grant.

    `values`: what stands for the placeholders of the connection's addresses.
    """

    def __init__(self, endpoints: Endpoints, egress: Egress) -> None:
        self._endpoints = endpoints
        self._egress = egress

    def authorize_url(
        self,
        manifest: Manifest,
        way: OAuth2,
        client: Client,
        values: Mapping[str, str],
        *,
        redirect_uri: str,
        state: str,
        verifier: str,
        more: Sequence[str] = (),
    ) -> str:
        """Where to send the browser; S256 wherever the provider supports it. Raises EgressRefusedError.

        `more`: scopes beside those that streams need.
        """
        oauth = AsyncOAuth2Client(
            client.client_id,
            scope=way.scope_separator.join(way.asked(more)) or None,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=self._egress.transport(()),
        )
        url, _ = oauth.create_authorization_url(
            self._endpoints.url(manifest, way.authorize_url, values),
            state=state,
            code_verifier=verifier if way.pkce else None,
            **way.authorize_params,
        )
        return str(url)

    async def exchange(
        self,
        manifest: Manifest,
        way: OAuth2,
        client: Client,
        values: Mapping[str, str],
        *,
        code: str,
        redirect_uri: str,
        verifier: str,
    ) -> Tokens:
        extra = {"code_verifier": verifier} if way.pkce else {}
        url = self._token_url(manifest, way, values)
        async with self._oauth(manifest, way, client.client_id, client.secret) as oauth:
            tokens = await _tokens(
                way,
                oauth.fetch_token(
                    url,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    **extra,
                    **way.token_params,
                ),
            )
        self._placed(manifest, {**values, **tokens.values})
        return tokens

    async def refresh(
        self, manifest: Manifest, way: OAuth2, client: Client, values: Mapping[str, str], refresh_token: str
    ) -> Tokens:
        url = self._token_url(manifest, way, values)
        async with self._oauth(manifest, way, client.client_id, client.secret) as oauth:
            # Alone here: an error says by `reply_lost` whether the refresh token may be spent.
            tokens = await _tokens(
                way, oauth.refresh_token(url, refresh_token=refresh_token, **way.token_params)
            )
        try:
            self._placed(manifest, {**values, **tokens.values})
        except ProviderFailedError:  # the tokens are good; where they are good for stays what it was
            return msgspec.structs.replace(tokens, values={})
        return tokens

    async def client_credentials(
        self,
        manifest: Manifest,
        way: ClientCredentials,
        values: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> Tokens:
        """What the customer typed, for an access token."""
        given = {**values, **secrets}
        identity, secret = fill_text(way.client_id, given) or "", fill_text(way.client_secret, given) or ""
        url = self._token_url(manifest, way, values)
        scope = {"scope": way.scope_separator.join(way.scopes)} if way.scopes else {}
        async with self._oauth(manifest, way, identity, secret) as oauth:
            tokens = await _tokens(
                way, oauth.fetch_token(url, grant_type="client_credentials", **scope, **way.token_params)
            )
        self._placed(manifest, {**values, **tokens.values})
        return msgspec.structs.replace(tokens, refresh_token=None)

    async def revoke(
        self,
        manifest: Manifest,
        way: Auth,
        client: Client,
        values: Mapping[str, str],
        tokens: tuple[str, str | None],
    ) -> str:
        """What came of it, for the audit log: revoked, refused (status), unreachable or not_offered.

        `tokens`: the access token, and the refresh token if there is one.
        """
        if not isinstance(way, OAuth2) or way.revoke_url is None:
            return "not_offered"
        access, refresh = tokens
        try:
            url = self._endpoints.url(manifest, way.revoke_url, values)
            async with asyncio.timeout(SECONDS):
                if way.revoke_by != "form":
                    async with self._egress.client(self._endpoints.hosts(manifest, values)) as plain:
                        answer = await plain.request(
                            way.revoke_by.upper(), url, headers=call_headers(manifest, way, access, values)
                        )
                else:
                    given = {**values, "client_id": client.client_id}
                    body = urlencode(
                        {name: fill_text(text, given) or "" for name, text in way.revoke_params.items()}
                    )
                    async with self._oauth(manifest, way, client.client_id, client.secret) as oauth:
                        answer = await oauth.revoke_token(
                            url,
                            token=refresh or access,
                            token_type_hint="refresh_token" if refresh else "access_token",
                            body=body,
                        )
        except (httpx2.HTTPError, EgressRefusedError, TimeoutError):
            return "unreachable"
        return "revoked" if answer.is_success else f"refused ({answer.status_code})"

    async def account(
        self,
        manifest: Manifest,
        way: Auth,
        token: str,
        values: Mapping[str, str],
        answer: Mapping[str, Any] | None = None,
    ) -> Account:
        """Also the cheapest proof that a token works. `answer`: what brought the token."""
        about = manifest.account
        document: Any = answer
        status = None
        if about.source == "call" or not answer:
            document, status = await self._called(manifest, way, token, values)
        identity, label = (
            fill_text(one, values) if one.startswith("{") else point(document, one)
            for one in (about.id, about.label)
        )
        if not isinstance(identity, str | int) or isinstance(identity, bool) or identity == "":
            raise ProviderFailedError("malformed_answer", _later(), http_status=status)
        return Account(str(identity)[:200], str(identity if label in {None, ""} else label)[:200])

    async def _called(
        self, manifest: Manifest, way: Auth, token: str, values: Mapping[str, str]
    ) -> tuple[dict[str, Any], int]:
        try:
            async with self._egress.client(self._endpoints.hosts(manifest, values)) as client:
                answer = await client.get(
                    self._endpoints.url(manifest, manifest.account.path, values),
                    headers=call_headers(manifest, way, token, values),
                )
        except (httpx2.HTTPError, EgressRefusedError) as error:
            raise _failed(error) from error
        if not answer.is_success:
            raise _refused(manifest, answer)
        return _document(answer), answer.status_code

    def _placed(self, manifest: Manifest, values: Mapping[str, str]) -> None:
        """The account's data is on a host that the manifest admits; raises ProviderFailedError."""
        try:
            self._endpoints.base(manifest, values)
        except EgressRefusedError as error:
            raise _failed(error) from error

    def _token_url(self, manifest: Manifest, way: Exchanged, values: Mapping[str, str]) -> str:
        try:
            return self._endpoints.url(manifest, way.token_url, values)
        except EgressRefusedError as error:
            raise _failed(error) from error

    def _oauth(self, manifest: Manifest, way: Exchanged, client_id: str, secret: str) -> Any:
        by = _as_json(way.client_auth) if way.token_body == "json" else way.client_auth  # noqa: S105
        oauth = AsyncOAuth2Client(
            client_id,
            secret,
            token_endpoint_auth_method=by,
            revocation_endpoint_auth_method=way.client_auth,
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


async def _tokens(way: Exchanged, call: Awaitable[dict[str, Any]]) -> Tokens:
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
    kept = {name: point(dict(answer), pointer) for name, pointer in way.keep.items()}
    return Tokens(
        access_token=access,
        refresh_token=refresh or None,
        expires_at=_end(lifetime),
        scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else None,
        values={name: str(value)[:500] for name, value in kept.items() if isinstance(value, str | int)},
        answer=dict(answer),
    )


def _as_json(client_auth: str) -> Callable[..., Any]:
    """An authlib client authentication that also makes the form a JSON document."""

    def encode(client: Any, method: str, uri: str, headers: Any, body: bytes) -> tuple[str, Any, bytes]:
        del method
        document = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if client_auth == "client_secret_basic":
            pair = b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        else:
            document["client_id"] = client.client_id
            if client_auth == "client_secret_post":
                document["client_secret"] = client.client_secret
        headers["Content-Type"] = "application/json"
        return uri, headers, msgspec.json.encode(document)

    return encode


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
    code = classify(manifest, answer.status_code, answer.content, headers=answer.headers).code
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
