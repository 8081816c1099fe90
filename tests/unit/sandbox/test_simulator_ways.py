"""Hosts of accounts, answers without a body and the odder rules of tokens, on a made-up provider."""

from base64 import b64encode

import httpx2
import pytest
from litestar import Response, get

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator import Account, ObjectType, RefusedError, Simulator, basic, bearer
from trunkline.sdk.simulator_clock import VirtualClock, wall_now
from trunkline.sdk.simulator_gate import HOST, AnyRequest, Reply
from trunkline.sdk.simulator_oauth import (
    OAuthClient,
    OAuthError,
    OAuthServer,
    TokenExpiredError,
    TokenInvalidError,
)
from trunkline.sdk.simulator_trouble import Page, aged, played

REDIRECT = "http://127.0.0.1:1/callback"
APP = OAuthClient("app", "secret", (REDIRECT,))
SCOPES = {"read": "Read"}


class Acme(Simulator):
    name = "acme"
    title = "Acme"
    scopes = SCOPES
    object_types = (ObjectType("things", "Thing", "Things"),)

    def __init__(self, *, clients=(), seed=1, now=wall_now) -> None:
        super().__init__(clients=clients, seed=seed, now=now)

    @property
    def accounts(self):
        return (Account("1", "One", "", "one.acme.example"), Account("2", "Two", "", "two.acme.example"))

    def make_oauth(self):
        return OAuthServer(self.now, SCOPES)

    def routes(self):
        @get("/api/me")
        async def me(request: AnyRequest) -> Response[dict[str, object]]:
            try:
                grant = self.oauth.authenticate(basic(request)[0] or bearer(request))
            except TokenInvalidError:
                raise RefusedError(Reply(401, "No.")) from None
            return Response({"account": grant.account, "host": request.scope.get(HOST)})

        return [me]

    def error_reply(self, status, message):
        return Reply(status, None)

    def fault_reply(self, kind):
        return Reply(429, "Slow down")

    def sample(self, object_type, number):
        return {}

    def touch(self, object_type, item, number):
        return {}

    def label(self, object_type, item):
        return item.id


@pytest.fixture
async def acme():
    simulator = Acme(clients=[APP])
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield simulator, http


def by_key(key):
    return {"Authorization": "Basic " + b64encode(f"{key}:X".encode()).decode()}


async def test_a_host_before_the_path_is_told_to_the_route_and_narrows_the_consent_page(acme):
    simulator, http = acme
    key = simulator.oauth.make_key("1")
    answer = await http.get("/acme/~One.acme.example/api/me", headers=by_key(key))
    assert answer.json() == {"account": "1", "host": "one.acme.example"}
    query = {"client_id": "app", "redirect_uri": REDIRECT, "scope": "read"}
    page = await http.get("/acme/~two.acme.example/oauth/authorize", params=query)
    assert 'value="2"' in page.text
    assert 'value="1"' not in page.text
    nobody = await http.get("/acme/~three.acme.example/oauth/authorize", params=query)
    assert nobody.status_code == 404


async def test_answers_without_a_body_and_in_plain_text(acme):
    simulator, http = acme
    missing = await http.get("/acme/nowhere")
    assert (missing.status_code, missing.content) == (404, b"")
    simulator.faults.add("429", requests=1)
    struck = await http.get("/acme/api/me")
    assert (struck.status_code, struck.text) == (429, "Slow down")


def tokens(server, **form):
    return server.token({"client_id": "app", "client_secret": "secret", **form})


def redeemed(server, **query):
    begun = server.begin({"client_id": "app", "redirect_uri": REDIRECT, **query})
    code = server.approve(begun.id, "1").rpartition("code=")[2]
    return tokens(server, grant_type="authorization_code", redirect_uri=REDIRECT, code=code)


def made(clock, **more):
    server = OAuthServer(clock, SCOPES, **more)
    server.register(APP)
    return server


def test_a_rotation_that_ends_the_access_token_too():
    server = made(VirtualClock(), rotate_refresh=True, rotation_ends_access=True)
    first = redeemed(server, scope="read")
    second = tokens(server, grant_type="refresh_token", refresh_token=first.refresh_token)
    server.authenticate(second.access_token)
    with pytest.raises(TokenInvalidError):
        server.authenticate(first.access_token)
    with pytest.raises(OAuthError):
        tokens(server, grant_type="refresh_token", refresh_token=first.refresh_token)


def test_a_refresh_token_lapses_without_use_and_use_resets_the_clock():
    clock = VirtualClock()
    server = made(clock, refresh_seconds=100)
    first = redeemed(server, scope="read")
    for _ in range(3):
        clock.advance(60)
        tokens(server, grant_type="refresh_token", refresh_token=first.refresh_token)
    clock.advance(101)
    with pytest.raises(OAuthError):
        tokens(server, grant_type="refresh_token", refresh_token=first.refresh_token)


def test_lifetimes_that_a_request_names():
    clock = VirtualClock()
    server = made(clock)
    first = server.lasting(redeemed(server, scope="read"), 300, 500)
    clock.advance(299)
    server.authenticate(first.access_token)
    clock.advance(2)
    with pytest.raises(TokenExpiredError):
        server.authenticate(first.access_token)
    clock.advance(200)
    with pytest.raises(OAuthError):
        tokens(server, grant_type="refresh_token", refresh_token=first.refresh_token)


def test_a_code_lives_as_long_as_the_provider_says():
    clock = VirtualClock()
    server = made(clock, code_seconds=120)
    begun = server.begin({"client_id": "app", "redirect_uri": REDIRECT, "scope": "read"})
    code = server.approve(begun.id, "1").rpartition("code=")[2]
    clock.advance(121)
    with pytest.raises(OAuthError):
        tokens(server, grant_type="authorization_code", redirect_uri=REDIRECT, code=code)


def test_a_scope_that_does_not_exist_is_granted_where_the_provider_does_so():
    assert redeemed(made(VirtualClock(), any_scope=True), scope="nonsense").grant.scopes == ("nonsense",)


def read(cursor):
    start = int(cursor or 0)
    items = [{"id": n, "at": "2026-01-02T00:00:00Z", "name": "x"} for n in range(start, start + 3)]
    return Page(items, str(start + 3) if start < 6 else None)


def older(item):
    return aged(item, {"at": lambda moment: moment.isoformat()}, "name")


def play(fault, cursor):
    return played(
        fault, read(cursor), cursor, read, older=older, refused=Reply(410, None), before=lambda _: ""
    )


def test_page_faults():
    assert play("void", "3") == Page([], None)
    assert play("loop", "3").next == "3"
    assert [item["id"] for item in play("big", "").items] == [0, 1, 2, 3, 4, 5]
    assert [item["id"] for item in play("overlap", "3").items] == [0, 1, 2, 3, 4, 5]
    assert [item["id"] for item in play("twice", "").items] == [0, 0, 1, 1, 2, 2]
    stale = play("stale", "").items[0]
    assert (stale["at"], stale["name"]) == ("2026-01-01T00:00:00+00:00", "An older form")
    assert play("empty", "3") == Page([], "3")
    assert play("resorted", "3") == read("3")
    with pytest.raises(RefusedError):
        play("cursor", "3")
    assert play("cursor", "") == read("")
