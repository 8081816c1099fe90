"""The rules of the simulators' authorization server."""

import hashlib
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_oauth import (
    AuthorizationPageError,
    AuthorizationRedirectError,
    OAuthClient,
    OAuthError,
    OAuthServer,
    TokenExpiredError,
    TokenInvalidError,
)

REDIRECT = "http://127.0.0.1:1/callback?kept=yes"
CLIENT = OAuthClient("app", "secret", (REDIRECT, "http://127.0.0.1:1/other"))
OTHER = OAuthClient("other-app", "other-secret", (REDIRECT,))
VERIFIER = "v" * 43


def challenge(verifier: str = VERIFIER) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def query(**more: str) -> dict[str, str]:
    return {"client_id": "app", "redirect_uri": REDIRECT, "scope": "read", "state": "s &1", **more}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> OAuthServer:
    server = OAuthServer(clock, {"read": "Read", "write": "Write"}, access_seconds=1800)
    server.register(CLIENT)
    server.register(OTHER)
    return server


def code_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["code"][0]


def code(server: OAuthServer, **more: str) -> str:
    return code_of(server.approve(server.begin(query(**more)).id, "acct"))


def redeem(server: OAuthServer, value: str, **more: str):
    form = {
        "grant_type": "authorization_code",
        "client_id": "app",
        "client_secret": "secret",
        "code": value,
        "redirect_uri": REDIRECT,
    }
    return server.token({**form, **more})


def refresh(server: OAuthServer, token: str, **more: str):
    form = {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": "secret",
        "refresh_token": token,
    }
    return server.token({**form, **more})


def test_state_comes_back_and_the_address_keeps_its_own_query(server):
    location = server.approve(server.begin(query()).id, "acct")
    answer = parse_qs(urlsplit(location).query)
    assert location.startswith("http://127.0.0.1:1/callback?")
    assert answer["state"] == ["s &1"]
    assert answer["kept"] == ["yes"]


@pytest.mark.parametrize(
    "uri", ["", REDIRECT + "/", REDIRECT.upper(), "http://127.0.0.1:1/callback", "https://evil.example/"]
)
def test_another_redirect_address_is_never_redirected_to(server, uri):
    with pytest.raises(AuthorizationPageError):
        server.begin(query(redirect_uri=uri))


def test_an_unknown_client_is_not_redirected(server):
    with pytest.raises(AuthorizationPageError):
        server.begin(query(client_id="nobody"))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"scope": "read everything"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "x"}, "invalid_request"),
    ],
)
def test_other_refusals_go_back_to_the_app_with_its_state(server, more, error):
    with pytest.raises(AuthorizationRedirectError) as caught:
        server.begin(query(**more))
    answer = parse_qs(urlsplit(caught.value.location).query)
    assert answer["error"] == [error]
    assert answer["state"] == ["s &1"]


def test_saying_no_is_access_denied_and_spends_the_page(server):
    request = server.begin(query())
    assert parse_qs(urlsplit(server.deny(request.id)).query)["error"] == ["access_denied"]
    with pytest.raises(AuthorizationPageError):
        server.approve(request.id, "acct")


def test_a_page_older_than_ten_minutes_is_spent(server, clock):
    request = server.begin(query())
    clock.advance(600)
    with pytest.raises(AuthorizationPageError):
        server.approve(request.id, "acct")


def test_a_code_works_once(server):
    value = code(server)
    redeem(server, value)
    with pytest.raises(OAuthError, match="auth code") as caught:
        redeem(server, value)
    assert caught.value.error == "invalid_grant"


def test_a_code_is_bound_to_its_client_and_address_and_time(server, clock):
    with pytest.raises(OAuthError):
        redeem(server, code(server), client_id="other-app", client_secret="other-secret")
    with pytest.raises(OAuthError, match="redirect_uri"):
        redeem(server, code(server), redirect_uri="http://127.0.0.1:1/other")
    value = code(server)
    clock.advance(601)
    with pytest.raises(OAuthError):
        redeem(server, value)


@pytest.mark.parametrize(
    ("name", "value"), [("client_secret", "wrong"), ("client_secret", ""), ("client_id", "x")]
)
def test_wrong_client_credentials_do_not_spend_the_code(server, name, value):
    held = code(server)
    with pytest.raises(OAuthError) as caught:
        redeem(server, held, **{name: value})
    assert caught.value.error == "invalid_client"
    assert redeem(server, held).grant.account == "acct"


def test_pkce_by_the_rfc(server):
    # RFC 7636, appendix B.
    verifier, made = (
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    )
    value = code(server, code_challenge=made, code_challenge_method="S256")
    assert redeem(server, value, code_verifier=verifier).access_token


@given(st.text(alphabet="abcXYZ019-._~", min_size=43, max_size=128))
def test_no_other_verifier_opens_a_challenge(wrong):
    clock = VirtualClock()
    server = OAuthServer(clock, {"read": "Read"})
    server.register(CLIENT)
    value = code(server, code_challenge=challenge(), code_challenge_method="S256")
    with pytest.raises(OAuthError, match="code_verifier"):
        redeem(server, value, code_verifier=wrong)


def test_a_challenge_demands_a_verifier_and_the_other_way_round(server):
    with pytest.raises(OAuthError, match="code_verifier"):
        redeem(server, code(server, code_challenge=challenge(), code_challenge_method="S256"))
    with pytest.raises(OAuthError, match="code_verifier"):
        redeem(server, code(server), code_verifier=VERIFIER)


def test_access_tokens_expire_and_say_when(server, clock):
    issued = redeem(server, code(server))
    clock.advance(1799)
    assert server.authenticate(issued.access_token).account == "acct"
    clock.advance(1)
    with pytest.raises(TokenExpiredError) as caught:
        server.authenticate(issued.access_token)
    assert caught.value.at == clock()
    assert server.authenticate(refresh(server, issued.refresh_token).access_token).account == "acct"


def test_a_refresh_token_is_not_an_access_token(server):
    with pytest.raises(TokenInvalidError):
        server.authenticate(redeem(server, code(server)).refresh_token)


def test_refresh_keeps_or_rotates(server):
    first = redeem(server, code(server))
    same = refresh(server, first.refresh_token)
    assert same.refresh_token == first.refresh_token
    server.rotate_refresh = True
    rotated = refresh(server, first.refresh_token)
    assert rotated.refresh_token != first.refresh_token
    with pytest.raises(OAuthError, match="refresh token"):
        refresh(server, first.refresh_token)


def test_another_client_cannot_refresh(server):
    first = redeem(server, code(server))
    with pytest.raises(OAuthError):
        refresh(server, first.refresh_token, client_id="other-app", client_secret="other-secret")


def test_revoking_a_grant_ends_all_its_tokens_and_no_others(server):
    first, again = redeem(server, code(server)), redeem(server, code(server))
    elsewhere = redeem(server, code_of(server.approve(server.begin(query()).id, "second")))
    assert first.grant.id == again.grant.id
    assert server.revoke_grant(first.grant.id)
    for issued in (first, again):
        with pytest.raises(TokenInvalidError):
            server.authenticate(issued.access_token)
        with pytest.raises(OAuthError):
            refresh(server, issued.refresh_token)
    assert server.authenticate(elsewhere.access_token).account == "second"
    assert redeem(server, code(server)).grant.id != first.grant.id


def test_expiring_now_leaves_the_refresh_token(server):
    issued = redeem(server, code(server))
    assert server.expire_access(issued.grant.id) == 1
    assert server.expire_access() == 0
    with pytest.raises(TokenExpiredError):
        server.authenticate(issued.access_token)
    assert refresh(server, issued.refresh_token).access_token


def test_optional_scopes_are_the_persons_choice(server):
    asked = query(optional_scope="write")
    without = redeem(server, code_of(server.approve(server.begin(asked).id, "a1")))
    having = redeem(server, code_of(server.approve(server.begin(asked).id, "a2", ["write", "made-up"])))
    assert (without.grant.scopes, having.grant.scopes) == (("read",), ("read", "write"))


def test_token_calls_are_counted_by_client_type_and_outcome(server):
    issued = redeem(server, code(server))
    refresh(server, issued.refresh_token)
    with pytest.raises(OAuthError):
        server.token({"grant_type": "password", "client_id": "<b>", "client_secret": ""})
    assert dict(server.token_calls) == {
        ("app", "authorization_code", "ok"): 1,
        ("app", "refresh_token", "ok"): 1,
        ("?", "?", "invalid_client"): 1,
    }


def test_state_survives_a_restart(server, clock):
    issued = redeem(server, code(server))
    fresh = OAuthServer(clock, server.scopes)
    fresh.register(OAuthClient("app", "new-secret", ()))
    fresh.load(server.dump())
    assert fresh.authenticate(issued.access_token).account == "acct"
    assert fresh.clients["app"].client_secret == "new-secret"
