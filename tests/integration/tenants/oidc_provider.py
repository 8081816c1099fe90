"""An OpenID Connect provider that is real as far as a client can tell: discovery, keys, codes, PKCE, RS256.

What it says can be bent from outside, one attribute at a time; `token_calls` counts what it was asked.
"""

import base64
import hashlib
import secrets
import time
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from litestar import Litestar, Request, Response, get, post

CLIENT_ID, CLIENT_SECRET = "trunkline", "a secret of the provider's"


@cache
def key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


class Provider:
    def __init__(self) -> None:
        self.issuer = ""
        self.email = "ada@globex.example"
        self.subject = "sub-ada"
        self.verified: Any = True
        self.claims: dict[str, Any] = {}
        self.without: set[str] = set()
        self.metadata: dict[str, Any] = {}
        self.signing = key("first")
        self.published = [key("first")]
        self.forge: Any = None
        """Makes the ID token from its claims, in place of the provider."""
        self.token_calls = 0
        self.jwks_calls = 0
        self.codes: dict[str, dict[str, str]] = {}

    def authorize(self, location: str) -> dict[str, str]:
        """What a consenting person's browser brings back."""
        parts = urlsplit(location)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert set(asked["scope"].split()) == {"openid", "email", "profile"}
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def id_token(self, asked: dict[str, str], access_token: str) -> str:
        moment = int(time.time())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 300,
            "nonce": asked["nonce"],
            "email": self.email,
            "email_verified": self.verified,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if name not in self.without}
        if self.forge:
            return str(self.forge(claims))
        return jwt.encode({"alg": "RS256", "kid": self.signing.kid}, claims, self.signing)

    def app(self) -> Litestar:
        @get("/.well-known/openid-configuration", sync_to_thread=False)
        def discovery() -> dict[str, Any]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                "code_challenge_methods_supported": ["S256"],
                **self.metadata,
            }

        @get("/jwks", sync_to_thread=False)
        def jwks() -> Any:
            self.jwks_calls += 1
            return KeySet(list(self.published)).as_dict(private=False)

        @post("/token", status_code=200)
        async def token(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
            self.token_calls += 1
            form = await request.form()
            asked = self.codes.pop(form["code"], None)
            given = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
            right = (
                asked is not None
                and request.headers.get("authorization") == f"Basic {given}"
                and asked["code_challenge"] == base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
                and asked["redirect_uri"] == form["redirect_uri"]
            )
            if not right or asked is None:
                return Response({"error": "invalid_grant"}, status_code=400)
            access = secrets.token_urlsafe(16)
            answer = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
            return Response({**answer, "id_token": self.id_token(asked, access)})

        return Litestar([discovery, jwks, token], openapi_config=None, logging_config=None)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def other_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "elsewhere"})
