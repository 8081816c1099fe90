"""An authorization server for simulators: rules and memory, no HTTP and no provider's words."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from trunkline.sdk.simulator_clock import Now

KEY_CLIENT = "API key"
"""Stands as the client of a grant that a person made as a key; no app can have a space in its id."""
CODE_SECONDS = 600
"""Longest lifetime RFC 6749 (4.1.2) recommends for a code; the consent page's form lives as long."""


class OAuthClient(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    name: str = ""

    def __repr__(self) -> str:
        return f"OAuthClient({self.client_id!r})"


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """A checked request that waits for a person's decision; single use."""

    id: str
    client: OAuthClient
    redirect_uri: str
    scopes: tuple[str, ...]
    optional: tuple[str, ...]
    state: str | None
    challenge: str | None
    expires_at: datetime


class Grant(msgspec.Struct):
    """What one app may do in one account, until revoked."""

    id: str
    client_id: str
    account: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None


class Token(msgspec.Struct):
    grant_id: str
    expires_at: datetime | None
    """None: does not expire (refresh tokens, keys, and access tokens where `access_seconds` is 0)."""


class OAuthState(msgspec.Struct):
    """What survives a restart of the process."""

    clients: list[OAuthClient]
    grants: list[Grant]
    access: dict[str, Token]
    refresh: dict[str, Token]


class Issued(msgspec.Struct, frozen=True):
    access_token: str
    refresh_token: str
    expires_in: int
    grant: Grant


class AuthorizationPageError(Exception):
    """The request must not be redirected (unknown app or address): shown to the person instead."""


class AuthorizationRedirectError(Exception):
    """The request is refused by a redirect to the app."""

    def __init__(self, location: str) -> None:
        super().__init__("redirect")
        self.location = location


class OAuthError(Exception):
    """RFC 6749 (5.2) error; `reason` is finer, for providers that name it otherwise."""

    def __init__(self, error: str, description: str, reason: str = "") -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.reason = reason or error


class TokenInvalidError(Exception):
    """Unknown, revoked, or of a revoked grant."""


class TokenExpiredError(Exception):
    def __init__(self, at: datetime) -> None:
        super().__init__("expired")
        self.at = at


class _Code(msgspec.Struct):
    request: AuthorizationRequest
    account: str
    scopes: tuple[str, ...]
    expires_at: datetime


def _opaque(prefix: str, size: int) -> str:
    return prefix + secrets.token_urlsafe(size)


class OAuthServer:
    """Clients, consents, grants and tokens of one simulated provider.

    `rotate_refresh` makes each refresh return a new refresh token and ends the old one, with
    `rotation_ends_access` the grant's older access tokens too; `refresh_seconds` without use end a refresh
    token. `default_scopes` are what an app asks for that names none, where they are chosen at the provider;
    with `any_scope`, scopes that do not exist are granted, and open nothing.
    """

    def __init__(
        self,
        now: Now,
        scopes: Mapping[str, str],
        *,
        access_seconds: int = 3600,
        always: Collection[str] = (),
        default_scopes: Collection[str] = (),
        pkce_required: bool = False,
        rotate_refresh: bool = False,
        rotation_ends_access: bool = False,
        refresh_seconds: int | None = None,
        code_seconds: int = CODE_SECONDS,
        any_scope: bool = False,
        new_token: Callable[[str], str] | None = None,
    ) -> None:
        self._now = now
        self.scopes = scopes
        self.always = tuple(always)
        self.default_scopes = tuple(default_scopes)
        self.access_seconds = access_seconds
        self.pkce_required = pkce_required
        self.rotate_refresh = rotate_refresh
        self.rotation_ends_access = rotation_ends_access
        self.refresh_seconds = refresh_seconds
        self.code_seconds = code_seconds
        self.any_scope = any_scope
        self.issuer = ""
        """Sent as `iss` with every answer (RFC 9207), unless empty."""
        self._new_token = new_token or (lambda kind: _opaque(f"{kind}-", 48))
        self.clients: dict[str, OAuthClient] = {}
        self.grants: dict[str, Grant] = {}
        self.token_calls: Counter[tuple[str, str, str]] = Counter()
        """By client id, grant type and outcome (`ok` or the error); unknown clients and types as "?"."""
        self.revision = 0
        """Grows with every change of clients, grants and tokens."""
        self._requests: dict[str, AuthorizationRequest] = {}
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}

    def register(self, client: OAuthClient) -> None:
        """Adds a client, or replaces the one of that id; its grants stay."""
        self.clients[client.client_id] = client
        self.revision += 1

    # -- the person's part ------------------------------------------------------------------

    def begin(self, query: Mapping[str, str]) -> AuthorizationRequest:
        """Checks an authorize request; raises AuthorizationPageError or AuthorizationRedirectError."""
        client = self.clients.get(query.get("client_id", ""))
        if client is None:
            raise AuthorizationPageError("No app with this client_id exists here.")
        redirect_uri = query.get("redirect_uri", "")
        if redirect_uri not in client.redirect_uris:
            raise AuthorizationPageError(
                "The redirect_uri is not one of those registered for this app; it must match exactly."
            )
        state = query.get("state")
        required = tuple(dict.fromkeys(query.get("scope", "").split())) or self.default_scopes
        optional = tuple(
            s for s in dict.fromkeys(query.get("optional_scope", "").split()) if s not in required
        )
        challenge = query.get("code_challenge") or None
        refused = ""
        if query.get("response_type", "code") != "code":
            refused = "unsupported_response_type"
        elif not required or any(scope not in self.scopes for scope in required if not self.any_scope):
            refused = "invalid_scope"
        elif (challenge is None and self.pkce_required) or (
            challenge is not None and query.get("code_challenge_method") != "S256"
        ):
            refused = "invalid_request"
        if refused:
            raise AuthorizationRedirectError(self._answer(redirect_uri, {"error": refused}, state))
        self._drop_stale()
        request = AuthorizationRequest(
            _opaque("", 18),
            client,
            redirect_uri,
            (*self.always, *(s for s in required if s not in self.always)),
            tuple(scope for scope in optional if scope in self.scopes and scope not in self.always),
            state,
            challenge,
            self._now() + timedelta(seconds=CODE_SECONDS),
        )
        self._requests[request.id] = request
        return request

    def approve(self, request_id: str, account: str, optional: Collection[str] = ()) -> str:
        """Where to send the browser with the code; raises AuthorizationPageError once used or stale."""
        request = self._decide(request_id)
        code = _opaque("", 24)
        scopes = (*request.scopes, *(scope for scope in request.optional if scope in optional))
        expires_at = self._now() + timedelta(seconds=self.code_seconds)
        self._codes[code] = _Code(request, account, scopes, expires_at)
        return self._answer(request.redirect_uri, {"code": code}, request.state)

    def deny(self, request_id: str) -> str:
        """Where to send the browser; raises AuthorizationPageError once used or stale."""
        request = self._decide(request_id)
        error = {"error": "access_denied", "error_description": "The person said no."}
        return self._answer(request.redirect_uri, error, request.state)

    # -- the app's part ---------------------------------------------------------------------

    def check_client(self, client_id: str, client_secret: str) -> OAuthClient:
        client = self.clients.get(client_id)
        if client is None:
            raise OAuthError("invalid_client", "missing or unknown client id", "client_id")
        if not secrets.compare_digest(client.client_secret.encode(), client_secret.encode()):
            raise OAuthError("invalid_client", "missing or invalid client secret", "client_secret")
        return client

    def token(self, form: Mapping[str, str]) -> Issued:
        """authorization_code and refresh_token grants; raises OAuthError."""
        kind = form.get("grant_type", "")
        known_kind = kind if kind in {"authorization_code", "refresh_token"} else "?"
        client_id = form.get("client_id", "")
        known_client = client_id if client_id in self.clients else "?"
        try:
            issued = self._token(kind, self.check_client(client_id, form.get("client_secret", "")), form)
        except OAuthError as error:
            self.token_calls[known_client, known_kind, error.error] += 1
            raise
        self.token_calls[known_client, known_kind, "ok"] += 1
        return issued

    def redirect_of(self, code: str) -> str | None:
        """What a code was made for, of providers that do not ask for it again."""
        held = self._codes.get(code)
        return held.request.redirect_uri if held else None

    def authenticate(self, token: str) -> Grant:
        """The grant of an access token; raises TokenInvalidError or TokenExpiredError."""
        held = self._access.get(token)
        if held is None or self.grants[held.grant_id].revoked_at is not None:
            raise TokenInvalidError
        if held.expires_at is not None and held.expires_at <= self._now():
            raise TokenExpiredError(held.expires_at)
        return self.grants[held.grant_id]

    def make_key(self, account: str, scopes: Collection[str] = (), value: str = "") -> str:
        """A key of one account that does not expire; every scope where none are named."""
        grant = Grant(
            f"grant-{len(self.grants) + 1}", KEY_CLIENT, account, tuple(scopes or self.scopes), self._now()
        )
        self.grants[grant.id] = grant
        key = value or self._new_token("key")
        self._access[key] = Token(grant.id, None)
        self.revision += 1
        return key

    def lasting(self, issued: Issued, access_seconds: int, refresh_seconds: int | None) -> Issued:
        """With lifetimes that the request named, where a provider lets it; 0 and None: without an end."""
        moment = self._now()
        lives = moment + timedelta(seconds=access_seconds) if access_seconds else None
        lapses = None if refresh_seconds is None else moment + timedelta(seconds=refresh_seconds)
        self._access[issued.access_token] = Token(issued.grant.id, lives)
        self._refresh[issued.refresh_token] = Token(issued.grant.id, lapses)
        return msgspec.structs.replace(issued, expires_in=access_seconds)

    def find(self, token: str, client_id: str | None = None) -> tuple[str, Token, Grant] | None:
        """(`access` or `refresh`, token, grant) if usable now and, if asked, of that client."""
        for kind, tokens in (("access", self._access), ("refresh", self._refresh)):
            held = tokens.get(token)
            if held is None:
                continue
            grant = self.grants[held.grant_id]
            usable = grant.revoked_at is None and (held.expires_at is None or held.expires_at > self._now())
            if usable and client_id in {None, grant.client_id}:
                return kind, held, grant
        return None

    def revoke(self, token: str, client_id: str | None = None) -> bool:
        """Ends the grant of a refresh token, or one access token (RFC 7009 leaves the rest open)."""
        found = self.find(token, client_id)
        if found is None:
            return False
        kind, _, grant = found
        self.revision += 1
        if kind == "access":
            del self._access[token]
        else:
            self.revoke_grant(grant.id)
        return True

    # -- the control page's part ------------------------------------------------------------

    def revoke_grant(self, grant_id: str) -> bool:
        """Every token of the grant stops working, as when a customer removes the app."""
        grant = self.grants.get(grant_id)
        if grant is None or grant.revoked_at is not None:
            return False
        grant.revoked_at = self._now()
        self.revision += 1
        for tokens in (self._access, self._refresh):
            for value in [value for value, held in tokens.items() if held.grant_id == grant_id]:
                del tokens[value]
        return True

    def expire_access(self, grant_id: str | None = None) -> int:
        """Ends the life of access tokens now (all grants' without an id); how many were alive."""
        moment = self._now()
        count = 0
        for held in self._access.values():
            if grant_id in {None, held.grant_id} and held.expires_at is not None and held.expires_at > moment:
                held.expires_at = moment
                count += 1
        self.revision += bool(count)
        return count

    def dump(self) -> OAuthState:
        return OAuthState(
            list(self.clients.values()), list(self.grants.values()), dict(self._access), dict(self._refresh)
        )

    def load(self, state: OAuthState) -> None:
        """Clients given by the running configuration win over kept ones."""
        for client in state.clients:
            self.clients.setdefault(client.client_id, client)
        self.grants.update({grant.id: grant for grant in state.grants})
        self._access.update(state.access)
        self._refresh.update(state.refresh)

    # -- inside -----------------------------------------------------------------------------

    def _answer(self, redirect_uri: str, values: Mapping[str, str], state: str | None) -> str:
        return _answer(redirect_uri, {**values, **({"iss": self.issuer} if self.issuer else {})}, state)

    def _decide(self, request_id: str) -> AuthorizationRequest:
        request = self._requests.pop(request_id, None)
        if request is None or request.expires_at <= self._now():
            raise AuthorizationPageError(
                "This page was already answered, or it is too old. Go back to the app and start again."
            )
        return request

    def _token(self, kind: str, client: OAuthClient, form: Mapping[str, str]) -> Issued:
        if kind == "authorization_code":
            return self._redeem(client, form)
        if kind == "refresh_token":
            return self._renew(client, form)
        raise OAuthError("unsupported_grant_type", "missing or unknown grant type", "grant_type")

    def _redeem(self, client: OAuthClient, form: Mapping[str, str]) -> Issued:
        # Taken out first: a code that failed once is spent too.
        code = self._codes.pop(form.get("code", ""), None)
        if (
            code is None
            or code.expires_at <= self._now()
            or code.request.client.client_id != client.client_id
        ):
            raise OAuthError("invalid_grant", "missing or unknown auth code", "code")
        if form.get("redirect_uri", "") != code.request.redirect_uri:
            raise OAuthError(
                "invalid_grant", "redirect_uri is not the one the code was made for", "redirect_uri"
            )
        self._check_pkce(code.request.challenge, form.get("code_verifier") or None)
        grant = next(
            (
                grant
                for grant in self.grants.values()
                if (grant.client_id, grant.account) == (client.client_id, code.account)
                and grant.revoked_at is None
            ),
            None,
        )
        if grant is None:
            grant = Grant(
                f"grant-{len(self.grants) + 1}", client.client_id, code.account, code.scopes, self._now()
            )
            self.grants[grant.id] = grant
        else:
            grant.scopes = code.scopes
        return self._issue(grant, None)

    def _renew(self, client: OAuthClient, form: Mapping[str, str]) -> Issued:
        value = form.get("refresh_token", "")
        held = self._refresh.get(value)
        grant = self.grants[held.grant_id] if held else None
        lapsed = held is not None and held.expires_at is not None and held.expires_at <= self._now()
        if grant is None or lapsed or grant.client_id != client.client_id or grant.revoked_at is not None:
            raise OAuthError("invalid_grant", "missing or invalid refresh token", "refresh_token")
        return self._issue(grant, value)

    def _issue(self, grant: Grant, refresh: str | None) -> Issued:
        self._drop_stale()
        self.revision += 1
        if refresh is not None and self.rotate_refresh:
            del self._refresh[refresh]
            refresh = None
            if self.rotation_ends_access:
                self._access = {v: held for v, held in self._access.items() if held.grant_id != grant.id}
        access = self._new_token("access")
        if refresh is None:
            refresh = self._new_token("refresh")
        issued = Issued(access, refresh, self.access_seconds, grant)
        return self.lasting(issued, self.access_seconds, self.refresh_seconds)

    @staticmethod
    def _check_pkce(challenge: str | None, verifier: str | None) -> None:
        if challenge is None and verifier is None:
            return
        # A verifier without a challenge is a downgrade (RFC 9700, 2.1.1).
        if challenge is None or verifier is None:
            raise OAuthError("invalid_grant", "code_verifier does not belong to this code", "code_verifier")
        made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not 43 <= len(verifier) <= 128 or not secrets.compare_digest(made.encode(), challenge.encode()):
            raise OAuthError(
                "invalid_grant", "code_verifier does not match the code_challenge", "code_verifier"
            )

    def _drop_stale(self) -> None:
        """Keeps memory bounded; expired access tokens stay a day, so that they read as expired."""
        moment = self._now()
        self._requests = {key: item for key, item in self._requests.items() if item.expires_at > moment}
        self._codes = {key: item for key, item in self._codes.items() if item.expires_at > moment}
        keep = moment - timedelta(days=1)
        for value in [v for v, held in self._access.items() if held.expires_at and held.expires_at < keep]:
            del self._access[value]


def _answer(redirect_uri: str, values: Mapping[str, str], state: str | None) -> str:
    """The redirect with the answer added to whatever query the address already has."""
    parts = urlsplit(redirect_uri)
    query = urlencode({**values, **({} if state is None else {"state": state})})
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))
