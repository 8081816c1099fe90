"""Signing in by an identity provider, against a real one on this machine: the way in, and the ways around it."""

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from joserfc import jwt
from joserfc.jws import JWSRegistry
from oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, key, other_key, part
from sqlalchemy import select, update

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.egress import Egress
from trunkline.kernel.settings import Settings, SettingsError
from trunkline_tenants import factor_repository
from trunkline_tenants.errors import SingleSignOnError
from trunkline_tenants.logins import Logins
from trunkline_tenants.models import Identity, LoginChallenge, LoginSession
from trunkline_tenants.oidc import OidcProvider
from trunkline_tenants.schemas import Visit
from trunkline_tenants.single_sign_on import SingleSignOn
from trunkline_tenants.throttle import Throttle

SESSION, STEP = "trunkline_session", "trunkline_step"
ORIGIN = "http://testserver.local"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(made.app(), log_level="warning", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    made.issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    yield made
    server.should_exit = True
    await task


@pytest.fixture
def settings(provider: Provider) -> Settings:
    return Settings(
        public_url=ORIGIN,
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_domains="globex.example, Trunkline.Example",
        oidc_name="Globex ID",
    )


async def leave(client, target: str = "") -> str:
    answer = await client.get("/login/sso", params={"next": target} if target else None)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def sign_in(client, provider: Provider, **more: str):
    back = provider.authorize(await leave(client))
    return await client.get("/login/sso/callback", params={**back, **more})


async def identities(db) -> list[tuple[str, str]]:
    async with db.tenant(OPERATOR) as session:
        rows = await session.execute(select(Identity.issuer, Identity.subject))
        return [tuple(row) for row in rows]


async def test_a_member_signs_in_and_lands_where_they_wanted(client, other, provider, db) -> None:
    assert "Continue with Globex ID" in (await client.get("/login?next=/portal/owners")).text
    back = provider.authorize(await leave(client, "/portal/owners"))
    step = client.cookies[STEP]
    answer = await client.get("/login/sso/callback", params=back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/portal/owners")
    assert (await client.get("/portal")).json()["name"] == "Ada Byron"
    assert STEP not in client.cookies
    assert step != client.cookies[SESSION]
    assert await identities(db) == [(provider.issuer, "sub-ada")]
    # from now on by the subject, whatever the address says
    provider.email, provider.verified = "somebody@else.example", False
    assert (await sign_in(other, provider)).status_code == 303
    assert (await other.get("/portal")).json()["name"] == "Ada Byron"


async def test_staff_sign_in_too(client, provider) -> None:
    provider.email, provider.subject = "support@trunkline.example", "sub-support"
    assert (await sign_in(client, provider)).headers["location"] == "/console"


async def test_who_has_a_second_factor_is_still_asked_for_it(client, provider, db, vault, people) -> None:
    ada = people.users["ada@globex.example"].id
    async with db.tenant(OPERATOR) as session:
        version = (await vault.box(session, OPERATOR)).version
        await factor_repository.put(session, ada, b"sealed elsewhere", version)
        await factor_repository.confirm(session, ada, now())
    assert (await sign_in(client, provider)).headers["location"] == "/login/code"
    assert SESSION not in client.cookies
    assert (await client.get("/login/code")).status_code == 200


async def test_an_unverified_address_links_nobody(client, provider, db) -> None:
    for verified in (False, None, "true", 1):
        provider.verified = verified
        answer = await sign_in(client, provider)
        assert answer.status_code == 401
        assert "no account here belongs to you" in answer.text
    assert await identities(db) == []


async def test_other_domains_and_strangers_get_nothing(client, provider, db) -> None:
    for email in (
        "peter@initech.example",
        "nobody@globex.example",
        "ada@globex.example.evil.example",
        "no address",
    ):
        provider.email = email
        assert (await sign_in(client, provider)).status_code == 401
        assert SESSION not in client.cookies
    assert await identities(db) == []


async def test_an_address_that_changed_hands_does_not_move_the_account(client, other, provider, db) -> None:
    assert (await sign_in(client, provider)).status_code == 303
    provider.subject = "sub-somebody-new"
    assert (await sign_in(other, provider)).status_code == 401
    assert SESSION not in other.cookies
    assert await identities(db) == [(provider.issuer, "sub-ada")]


async def test_a_disabled_account_is_out(client, provider, directory, people) -> None:
    await sign_in(client, provider)
    await directory.disable_user(people.users["ada@globex.example"].id)
    client.cookies.clear()
    assert (await sign_in(client, provider)).status_code == 401


# the flow belongs to one browser, once


async def test_a_callback_from_another_browser_asks_the_provider_nothing(client, other, provider) -> None:
    back = provider.authorize(await leave(client))
    assert (await other.get("/login/sso/callback", params=back)).status_code == 401
    await leave(other)
    assert (await other.get("/login/sso/callback", params=back)).status_code == 401
    assert SESSION not in other.cookies
    assert provider.token_calls == 0


async def test_a_callback_works_once(client, provider) -> None:
    back = provider.authorize(await leave(client))
    step = client.cookies[STEP]
    assert (await client.get("/login/sso/callback", params=back)).status_code == 303
    client.cookies.delete(SESSION)
    client.cookies.set(STEP, step)
    assert (await client.get("/login/sso/callback", params=back)).status_code == 401
    assert provider.token_calls == 1


async def test_a_wrong_state_asks_the_provider_nothing(client, provider) -> None:
    for state in ("", "x" * 43, None):
        back = provider.authorize(await leave(client))
        back = {**back, "state": state} if state is not None else {"code": back["code"]}
        assert (await client.get("/login/sso/callback", params=back)).status_code == 401
    assert provider.token_calls == 0


async def test_a_flow_ends_after_ten_minutes(client, provider, db) -> None:
    back = provider.authorize(await leave(client))
    async with db.tenant(OPERATOR) as session:
        left = (await session.execute(select(LoginChallenge.expires_at))).scalar_one() - now()
        assert left.total_seconds() <= 600
        await session.execute(update(LoginChallenge).values(expires_at=now()))
    assert (await client.get("/login/sso/callback", params=back)).status_code == 401
    assert provider.token_calls == 0


async def test_nothing_of_a_flows_secrets_is_stored(client, provider, db) -> None:
    back = provider.authorize(await leave(client))
    asked = provider.codes[back["code"]]
    async with db.tenant(OPERATOR) as session:
        row = (await session.execute(select(LoginChallenge))).scalar_one()
    kept = repr(vars(row))
    for secret in (client.cookies[STEP], asked["state"], asked["nonce"], asked["code_challenge"]):
        assert secret not in kept


async def test_an_answer_of_another_issuer_asks_nothing(client, provider, settings, db, directory) -> None:
    assert (await sign_in(client, provider, iss="https://evil.example")).status_code == 401
    assert provider.token_calls == 0
    assert (await sign_in(client, provider, iss=provider.issuer)).status_code == 303


async def test_a_provider_that_names_itself_must_do_so(client, provider) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    assert (await sign_in(client, provider)).status_code == 401
    assert provider.token_calls == 0


async def test_a_refusal_is_told_and_a_doubled_parameter_is_none(client, provider) -> None:
    back = provider.authorize(await leave(client))
    refused = {"error": "access_denied", "state": back["state"]}
    answer = await client.get("/login/sso/callback", params=refused)
    assert "did not let you in" in answer.text
    back = provider.authorize(await leave(client))
    twice = [("state", back["state"]), ("code", back["code"]), ("code", "other")]
    assert (await client.get("/login/sso/callback", params=twice)).status_code == 401
    assert provider.token_calls == 0


# the ID token


def _none(claims) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


def _hmac_of_the_public_key(claims) -> str:
    head = f"{part({'alg': 'HS256', 'kid': 'first'})}.{part(claims)}"
    public = key("first").as_pem(private=False)
    mac = hmac.new(public, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _hmac_of_the_client_secret(claims) -> str:
    head = f"{part({'alg': 'HS256'})}.{part(claims)}"
    mac = hmac.new(CLIENT_SECRET.encode(), head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _own_key_in_the_header(claims) -> str:
    own = other_key()
    return jwt.encode({"alg": "ES256", "jwk": own.as_dict(private=False)}, claims, own)


def _unknown_key(claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, key("never published"))


def _unknown_critical_header(claims) -> str:
    class Lax(JWSRegistry):
        def check_header(self, header) -> None:
            pass

    head = {"alg": "RS256", "kid": "first", "crit": ["bork"], "bork": True}
    return jwt.encode(head, claims, key("first"), registry=Lax())


def _changed_after_signing(claims) -> str:
    head, _, mac = jwt.encode({"alg": "RS256", "kid": "first"}, claims, key("first")).split(".")
    return f"{head}.{part({**claims, 'sub': 'somebody else'})}.{mac}"


def _huge(claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, {**claims, "pad": "x" * 20_000}, key("first"))


FORGERIES = (
    _none,
    _hmac_of_the_public_key,
    _hmac_of_the_client_secret,
    _own_key_in_the_header,
    _unknown_key,
    _unknown_critical_header,
    _changed_after_signing,
    _huge,
    lambda _: "",
    lambda _: "a.b.c",
    lambda _: None,
)


async def test_no_forged_token_gets_in(client, provider, db) -> None:
    for forge in FORGERIES:
        provider.forge = forge
        answer = await sign_in(client, provider)
        assert answer.status_code == 401, forge
        assert SESSION not in client.cookies, forge
    provider.forge = lambda claims: jwt.encode({"alg": "RS256", "kid": "first"}, claims, key("first"))
    assert (await sign_in(client, provider)).status_code == 303


CLAIMS = (
    {"iss": "https://evil.example"},
    {"aud": "another client"},
    {"aud": ["another client"]},
    {"aud": [CLIENT_ID, "another client"]},
    {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
    {"azp": "another client"},
    {"nonce": "another one"},
    {"exp": 1},
    {"exp": "soon"},
    {"iat": 4_000_000_000},
    {"nbf": 4_000_000_000},
    {"sub": ""},
    {"sub": 7},
    {"sub": "x" * 256},
    {"at_hash": "wrong"},
)


async def test_every_claim_is_checked(client, provider, db) -> None:
    for claims in CLAIMS:
        provider.claims = claims
        assert (await sign_in(client, provider)).status_code == 401, claims
    provider.claims = {}
    for name in ("iss", "sub", "aud", "exp", "iat", "nonce"):
        provider.without = {name}
        assert (await sign_in(client, provider)).status_code == 401, name
    assert await identities(db) == []
    async with db.system() as session:
        assert (await session.execute(select(LoginSession))).first() is None


async def test_a_token_just_expired_is_still_taken_and_an_older_one_not(client, other, provider) -> None:
    provider.claims = {"exp": int(time.time()) - 20}
    assert (await sign_in(client, provider)).status_code == 303
    provider.claims = {"exp": int(time.time()) - 120}
    assert (await sign_in(other, provider)).status_code == 401


async def test_new_keys_are_fetched_when_a_token_names_one(client, other, provider, monkeypatch) -> None:
    assert (await sign_in(client, provider)).status_code == 303
    provider.signing, provider.published = key("second"), [key("second")]
    asked = provider.jwks_calls
    assert (await sign_in(other, provider)).status_code == 401  # asked a moment ago: not again at once
    assert provider.jwks_calls == asked
    monkeypatch.setattr("trunkline_tenants.oidc.FRESH_SECONDS", 0)
    assert (await sign_in(other, provider)).status_code == 303
    assert provider.jwks_calls == asked + 1


async def test_a_discovery_document_that_points_elsewhere_is_refused(client, provider) -> None:
    for metadata in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://127.0.0.1:1/token"},
        {"jwks_uri": "http://evil.example/jwks"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://user@evil.example/"},
        {"token_endpoint": None},
    ):
        provider.metadata = metadata
        answer = await client.get("/login/sso")
        assert answer.status_code == 401, metadata
        assert "location" not in answer.headers
    assert (await client.get("/login")).status_code == 200


# settings


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"oidc_issuer": "http://idp.example"}, "TRUNKLINE_OIDC_ISSUER"),
        ({"oidc_issuer": "http://127.0.0.1:5", "env": "production"}, "TRUNKLINE_OIDC_ISSUER"),
        ({"oidc_issuer": "http://127.0.0.1.evil.example"}, "TRUNKLINE_OIDC_ISSUER"),
        ({"oidc_client_id": ""}, "TRUNKLINE_OIDC_CLIENT_ID"),
        ({"oidc_client_secret": ""}, "TRUNKLINE_OIDC_CLIENT_SECRET"),
        ({"oidc_domains": ""}, "TRUNKLINE_OIDC_DOMAINS"),
    ],
)
async def test_half_a_setup_is_refused_by_name(change, named) -> None:
    whole = {
        "oidc_issuer": "https://idp.example",
        "oidc_client_id": "x",
        "oidc_client_secret": "y",
        "oidc_domains": "globex.example",
    }
    egress = Egress(Settings())
    OidcProvider(Settings(**whole), egress)
    with pytest.raises(SettingsError, match=named):
        OidcProvider(Settings(**{**whole, **change}), egress)
    await egress.close()


async def test_without_a_provider_there_is_no_button_and_no_way(db, directory) -> None:
    egress = Egress(Settings())
    sso = SingleSignOn(Settings(), db, directory, Logins(db, Throttle(None)), egress)
    with pytest.raises(SingleSignOnError):
        await sso.begin("")
    with pytest.raises(SingleSignOnError):
        await sso.finish({"state": "x", "code": "y"}, "z" * 43, Visit())
    await egress.close()
