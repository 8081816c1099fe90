"""What not every provider has: API keys, ids of its own, scopes chosen at the provider, plain-text answers."""

from typing import ClassVar

import msgspec
import pytest
from litestar import Response, get

from trunkline.sandbox.actions import Actions, ControlError
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator import Account, ObjectType, Simulator, basic, bearer, token_form
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_gate import AnyRequest, Reply
from trunkline.sdk.simulator_oauth import KEY_CLIENT, OAuthClient, OAuthServer, TokenInvalidError

REDIRECT = "http://127.0.0.1:1/callback"
APP = OAuthClient("app", "secret", (REDIRECT,))
OBJECTS = (ObjectType("notes", "Note", "Notes"),)


class Plain(Simulator):
    name = "plain"
    title = "Plain"
    keys = True
    scopes: ClassVar = {"read": "Read", "write": "Write"}
    object_types = OBJECTS
    accounts = (Account("a", "A", ""), Account("b", "B", ""))

    def make_oauth(self):
        return OAuthServer(self.now, self.scopes, access_seconds=0, default_scopes=("read",))

    def routes(self):
        @get("/whoami")
        async def whoami(request: AnyRequest) -> Response[dict[str, str]]:
            return Response(
                {"account": self.oauth.authenticate(bearer(request) or basic(request)[0]).account}
            )

        return [whoami]

    def error_reply(self, status, message):
        return Reply(status, [{"message": message}])

    def fault_reply(self, kind):
        return Reply(429, "Slow down")

    def sample(self, object_type, number):
        return {"words": number, "open": True}

    def touch(self, object_type, item, number):
        return {"words": number}

    def label(self, object_type, item):
        return item.id

    def public_id(self, object_type, object_id):
        return f"note_{object_id}"

    def own_id(self, object_type, public_id):
        return public_id.removeprefix("note_")


@pytest.fixture
def plain():
    return Plain(clients=[APP], now=VirtualClock())


@pytest.fixture
async def http(plain):
    import httpx2

    transport = httpx2.ASGITransport(app=create_sandbox([plain]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox/plain") as client:
        yield client


async def test_a_key_opens_one_account_until_it_is_revoked(http, plain):
    key = (await http.post("/_control/api/keys", json={"account": "b"})).json()["key"]
    for auth in ({"headers": {"Authorization": f"Bearer {key}"}}, {"auth": (key, "X")}):
        assert (await http.get("/whoami", **auth)).json() == {"account": "b"}
    grant = next(iter(plain.oauth.grants.values()))
    assert (grant.client_id, grant.scopes) == (KEY_CLIENT, ("read", "write"))
    page = (await http.post("/_control", data={"do": "make_key", "account": "a"})).headers["location"]
    assert "Copy the new key now" in (await http.get(page.removeprefix("/plain"))).text
    again = Plain(now=VirtualClock())
    again.take_up(msgspec.convert(msgspec.to_builtins(plain.keep()), type(plain.keep())))
    assert again.oauth.authenticate(key).account == "b"
    shown = (await http.get("/_control")).text
    assert ("Take the key back" in shown, "Remove the app" in shown) == (True, False)
    await http.post("/_control", data={"do": "revoke", "grant": grant.id})
    with pytest.raises(TokenInvalidError):
        plain.oauth.authenticate(key)


@pytest.mark.parametrize("asked", [("c", ()), ("a", ("nope",))])
def test_a_key_of_nothing_known_is_refused(plain, asked):
    with pytest.raises(ControlError):
        Actions(plain).make_key(*asked)


def test_a_token_may_live_for_ever_and_scopes_be_chosen_at_the_provider(plain):
    begun = plain.oauth.begin({"client_id": "app", "redirect_uri": REDIRECT})
    assert begun.scopes == ("read",)
    form = {
        "grant_type": "authorization_code",
        "client_id": "app",
        "client_secret": "secret",
        "redirect_uri": REDIRECT,
        "code": plain.oauth.approve(begun.id, "a").rpartition("code=")[2],
    }
    issued = plain.oauth.token(form)
    plain.now.advance(10**9)
    assert plain.oauth.authenticate(issued.access_token).account == "a"
    assert plain.oauth.expire_access() == 0


async def test_people_meet_public_ids_only(http, plain):
    made = {"account": "a", "object": "notes", "count": 2}
    ids = (await http.post("/_control/api/records", json=made)).json()["ids"]
    assert ids == ["note_100001", "note_100002"]
    form = {"do": "change_one", "account": "a", "object": "notes", "id": ids[0]}
    for name, text, value in (("words", "12", 12), ("open", "false", False), ("new", "x", "x")):
        await http.post("/_control", data={**form, "property": name, "value": text})
        assert plain.store.get("a", "notes", "100001").values[name] == value
    await http.post("/_control", data={**form, "property": "words", "value": "many"})
    assert plain.store.get("a", "notes", "100001").values["words"] == 12
    body = {"account": "a", "object": "notes", "ids": ids[1:]}
    assert (await http.post("/_control/api/records/archive", json=body)).json() == {"ids": ids[1:]}
    assert "note_100002" in (await http.get("/_control")).text


async def test_an_answer_may_be_plain_text_or_a_list(http, plain):
    assert (await http.get("/nowhere")).json() == [{"message": "Not Found"}]
    plain.faults.add("429", requests=1)
    answer = await http.get("/whoami")
    assert (answer.status_code, answer.text) == (429, "Slow down")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_clients_secret_comes_by_basic_or_in_the_body():
    from litestar import Litestar, post
    from litestar.testing import AsyncTestClient

    @post("/token")
    async def token(request: AnyRequest) -> dict[str, str]:
        return await token_form(request)

    async with AsyncTestClient(Litestar([token], openapi_config=None)) as client:
        sent = {"grant_type": "refresh_token", "client_id": "app", "client_secret": "secret"}
        for more in (
            {"data": sent},
            {"json": sent},
            {"data": {"grant_type": "refresh_token"}, "auth": ("app", "secret")},
        ):
            assert (await client.post("/token", **more)).json() == sent
        odd = await client.post("/token", content=b"[", headers={"content-type": "application/json"})
        assert odd.json() == {}
