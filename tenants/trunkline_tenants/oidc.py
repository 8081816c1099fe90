"""One OpenID Connect provider: what it publishes, where the browser goes, and whom its answer names.

Code flow with PKCE only. The algorithms are pinned here, never taken from a token or the provider's document.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.settings import Settings, SettingsError
from trunkline_tenants.errors import SingleSignOnError

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Signatures of a key pair: with none and HMAC among them, whoever reads the public key could sign."""
LEEWAY = 60
"""Seconds that two clocks may differ."""
LONGEST_TOKEN = 16 * 1024
"""Characters, looked at before anything is decoded."""
KEEP_SECONDS = 3600
FRESH_SECONDS = 60
"""Between two questions for keys that strangers' tokens can cause."""
SECONDS = 15.0
SCOPE = "openid email profile"


class Metadata(msgspec.Struct, frozen=True):
    """The part of the discovery document that is used (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Subject(msgspec.Struct, frozen=True):
    """Whom the provider vouches for. `email` is empty unless the provider says that it verified it."""

    issuer: str
    subject: str
    email: str


class OidcProvider:
    """Raises SettingsError when made with half of the settings; SingleSignOnError afterwards."""

    def __init__(self, settings: Settings, egress: Egress) -> None:
        issuer = settings.oidc_issuer
        for name in ("oidc_client_id", "oidc_client_secret", "oidc_domains"):
            if not getattr(settings, name):
                raise SettingsError(f"TRUNKLINE_{name.upper()} is missing: TRUNKLINE_OIDC_ISSUER needs it.")
        self._plain = ""
        self._own: Egress | None = None
        if not _https(issuer):
            if settings.env != "development" or urlsplit(issuer).hostname != "127.0.0.1":
                raise SettingsError(
                    "TRUNKLINE_OIDC_ISSUER must begin with https:// (http:// is for a provider on 127.0.0.1"
                    " in development)."
                )
            self._plain = _origin(issuer)
            # a way out of its own: what the sandbox is to connectors, the provider on this machine is here
            egress = self._own = Egress(msgspec.structs.replace(settings, sandbox_url=self._plain))
        self._egress = egress
        self._issuer = issuer
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret
        self._redirect_uri = f"{settings.origin}/login/sso/callback"
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()

    async def authorize_url(self, *, state: str, nonce: str, verifier: str) -> str:
        metadata = await self.metadata()
        async with self._oauth(metadata, ()) as oauth:
            url, _ = oauth.create_authorization_url(
                metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    async def exchange(self, code: str, *, nonce: str, verifier: str) -> Subject:
        """The code for tokens, once, and the ID token checked in every respect; the tokens are not kept."""
        metadata = await self.metadata()
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._oauth(metadata, {urlsplit(metadata.token_endpoint).netloc}) as oauth,
            ):
                answer = await oauth.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                )
        except Exception as error:  # authlib's, httpx2's, ours: all of them say that there is no token
            raise SingleSignOnError("token_request") from error
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            raise SingleSignOnError("no_id_token")
        return await self.verify(token, nonce=nonce, access_token=answer.get("access_token"))

    async def verify(self, token: str, *, nonce: str, access_token: Any = None) -> Subject:
        try:
            try:
                found = self._decode(token, await self.keys())
            except InvalidKeyIdError:
                found = self._decode(token, await self.keys(fresh=True))
            claims = CodeIDToken(
                found.claims,
                found.header,
                {
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._client_id},
                    "sub": {"essential": True},
                    "exp": {"essential": True},
                    "iat": {"essential": True},
                    "nonce": {"essential": True, "value": nonce},
                },
                {"nonce": nonce, "client_id": self._client_id, "access_token": access_token},
            )
            claims.validate(leeway=LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise SingleSignOnError("id_token") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise SingleSignOnError("subject")
        email = claims.get("email") if claims.get("email_verified") is True else ""
        return Subject(self._issuer, subject, email if isinstance(email, str) else "")

    def check_issuer(self, metadata: Metadata, given: str | None) -> None:
        """RFC 9207: an answer that names another issuer, or none where this one always names itself."""
        if given is None and not metadata.authorization_response_iss_parameter_supported:
            return
        if given != self._issuer:
            raise SingleSignOnError("issuer")

    async def metadata(self) -> Metadata:
        if self._metadata and time.monotonic() - self._metadata[0] < KEEP_SECONDS:
            return self._metadata[1]
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.convert(await self._get(address), Metadata)
        except msgspec.ValidationError as error:
            raise SingleSignOnError("discovery") from error
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        if found.issuer != self._issuer or not all(self._allowed(place) for place in places):
            raise SingleSignOnError("discovery")
        self._metadata = (time.monotonic(), found)
        return found

    async def keys(self, *, fresh: bool = False) -> KeySet:
        """The provider's signing keys; `fresh` asks again, if not just asked."""
        age = time.monotonic() - self._keys[0] if self._keys else KEEP_SECONDS
        if self._keys and age < (FRESH_SECONDS if fresh else KEEP_SECONDS):
            return self._keys[1]
        document = await self._get((await self.metadata()).jwks_uri)
        listed = document.get("keys")
        pairs = [
            key
            for key in (listed if isinstance(listed, list) else [])
            if isinstance(key, dict) and key.get("kty") in {"RSA", "EC"} and key.get("use", "sig") == "sig"
        ]
        try:
            found = KeySet.import_key_set({"keys": pairs})
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SingleSignOnError("keys") from error
        self._keys = (time.monotonic(), found)
        return found

    def _decode(self, token: str, keys: KeySet) -> jwt.Token:
        return jwt.decode(token, key=keys, registry=JWSRegistry(algorithms=list(ALGORITHMS)))

    def _allowed(self, address: str) -> bool:
        return _https(address) or bool(self._plain and _origin(address) == self._plain)

    async def _get(self, address: str) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._egress.client({urlsplit(address).netloc}) as client,
            ):
                answer = await client.get(address, headers={"accept": "application/json"})
            document = msgspec.json.decode(answer.content) if answer.is_success else None
        except (httpx2.HTTPError, TrunklineError, TimeoutError, msgspec.DecodeError, RecursionError) as error:
            raise SingleSignOnError("unreachable") from error
        if not isinstance(document, dict):
            raise SingleSignOnError("unreachable")
        return document

    def _oauth(self, metadata: Metadata, hosts: set[str] | tuple[()]) -> Any:
        basic = "client_secret_basic" in metadata.token_endpoint_auth_methods_supported
        return AsyncOAuth2Client(
            self._client_id,
            self._secret,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if basic else "client_secret_post",
            transport=self._egress.transport(hosts),
            timeout=httpx2.Timeout(SECONDS, connect=5.0),
            follow_redirects=False,
            trust_env=False,
        )


def query_value(query: Mapping[str, str], name: str, longest: int = 4096) -> str:
    """Empty for what is missing or longer than anything that a provider sends."""
    value = query.get(name, "")
    return value if len(value) <= longest else ""


def _https(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
