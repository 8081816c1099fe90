"""Our own form: a key that the customer pastes, and a sign-in that must know first where the account is."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text

from trunkline.connections.errors import ReconnectRequiredError
from trunkline.kernel.db import OPERATOR
from trunkline.sdk.authentication import Input
from trunkline.sdk.manifest import Account, Basic, Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.freshdesk.simulator import FreshdeskSimulator
from trunkline_connectors.zendesk.simulator import ZendeskSimulator

from .conftest import ORIGIN

HUBSPOT = next(one for one in manifests() if one.name == "hubspot")
DESK: Manifest = msgspec.structs.replace(
    HUBSPOT,
    name="freshdesk",
    label="Freshdesk",
    base_url="https://{domain}.freshdesk.com",
    hosts=("{domain}.freshdesk.com",),
    auth=Basic(
        inputs=(
            Input(name="domain", label="Freshdesk domain", suffix=".freshdesk.com"),
            Input(name="api_key", label="API key", form="key", secret=True),
        ),
        scope_words={"": "Read tickets"},
    ),
    account=Account(path="/api/v2/agents/me", id="{domain}", label="{domain}"),
    failures=(),
)
ZENDESK: Manifest = msgspec.structs.replace(
    HUBSPOT,
    name="zendesk",
    label="Zendesk",
    base_url="https://{subdomain}.zendesk.com",
    hosts=("{subdomain}.zendesk.com",),
    auth=OAuth2(
        authorize_url="https://{subdomain}.zendesk.com/oauth/authorizations/new",
        token_url="https://{subdomain}.zendesk.com/oauth/tokens",
        token_body="json",
        scopes=("read",),
        inputs=(Input(name="subdomain", label="Subdomain", suffix=".zendesk.com"),),
    ),
    account=Account(path="/api/v2/users/me", id="{subdomain}", label="{subdomain}"),
    failures=(),
)
APP = OAuthClient("zd", "zd-secret", (f"{ORIGIN}/oauth/callback/zendesk",), "Trunkline")


@pytest.fixture
def freshdesk() -> FreshdeskSimulator:
    return FreshdeskSimulator()


@pytest.fixture
def others(freshdesk) -> list[Any]:
    return [freshdesk, ZendeskSimulator(clients=[APP])]


@pytest.fixture
def registry() -> Connectors:
    return Connectors([HUBSPOT, DESK, ZENDESK])


class Form:
    """A person in front of it."""

    def __init__(self, browser, db) -> None:
        self.browser = browser
        self.db = db
        self.state = ""

    async def open(self, connector: str, connection_id: UUID | None = None):
        if "trunkline_session" not in self.browser.client.cookies:
            await self.browser.sign_in()
        given = {"csrf_token": await self.browser.csrf(self.db), "connector": connector}
        if connection_id:
            given["connection_id"] = str(connection_id)
        begun = await self.browser.client.post("/portal/connections/start", data=given)
        assert begun.status_code == 303, begun.text
        where = begun.headers["location"]
        assert where.startswith(f"{ORIGIN}/connect/{connector}?state=")
        self.state = parse_qs(urlsplit(where).query)["state"][0]
        return await self.browser.back(where)

    async def send(self, connector: str, csrf: str | None = None, **typed: str):
        given = {"csrf_token": csrf or await self.browser.csrf(self.db), "state": self.state, "way": ""}
        return await self.browser.client.post(
            f"/connect/{connector}", data=given | {f".{name}": value for name, value in typed.items()}
        )


@pytest.fixture
def form(browser, db) -> Form:
    return Form(browser, db)


def domain(simulator: FreshdeskSimulator, number: int = 0) -> str:
    return simulator.accounts[number].host.partition(".")[0]


async def test_a_key_is_proven_sealed_and_used(form, freshdesk, connections, world, db, database_url):
    import asyncpg

    shown = await form.open("freshdesk")
    assert shown.status_code == 200
    assert "Freshdesk domain" in shown.text
    assert 'type="password"' in shown.text
    key = freshdesk.oauth.make_key(freshdesk.accounts[0].id)
    wrong = await form.send("freshdesk", domain=domain(freshdesk), api_key="not-the-key")
    assert (wrong.status_code, "did not accept it" in wrong.text) == (422, True)
    assert "not-the-key" not in wrong.text
    assert domain(freshdesk) in wrong.text
    done = await form.send("freshdesk", domain=f"https://{domain(freshdesk)}.freshdesk.com/", api_key=key)
    assert done.status_code == 303, done.text
    connection_id = UUID(done.headers["location"].rpartition("/")[2])
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
    assert (found.state, found.account_id) == ("active", domain(freshdesk))
    assert found.config == {"values": {"domain": domain(freshdesk)}, "way": ""}
    token = await connections.access_token(world.tenant, connection_id)
    assert msgspec.json.decode(token.value) == {"api_key": key}
    owner = await asyncpg.connect(database_url)
    for table in ("credentials", "connections", "authorizations", "audit_entries", "work"):
        assert key.encode() not in repr(await owner.fetch(f"select * from {table}")).encode()
    await owner.close()
    again = await form.send("freshdesk", domain=domain(freshdesk), api_key=key)
    assert (again.status_code, "already used" in again.text) == (400, True)


@pytest.mark.parametrize(
    "typed", ["evil.com/", "a.b", "acme.evil.com", "", "-x", "xn--80ak6aa92e", "127.0.0.1", "acme@evil", "ä"]
)
async def test_a_domain_is_one_plain_label(form, freshdesk, typed):
    await form.open("freshdesk")
    answer = await form.send("freshdesk", domain=typed, api_key="a-long-enough-key")
    if typed == "evil.com/":  # one label, and a suffix that is not ours
        assert answer.status_code == 422
    assert (answer.status_code, "is one word of letters" in answer.text) == (422, True)
    assert freshdesk.log.runs() == []


async def test_a_refused_key_asks_for_a_new_one_and_only_for_the_same_account(
    form, freshdesk, connections, world, db
):
    await form.open("freshdesk")
    key = freshdesk.oauth.make_key(freshdesk.accounts[0].id)
    done = await form.send("freshdesk", domain=domain(freshdesk), api_key=key)
    connection_id = UUID(done.headers["location"].rpartition("/")[2])
    with pytest.raises(ReconnectRequiredError):
        await connections.token_rejected(world.tenant, connection_id, 1)
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
    assert (found.state, found.cause) == ("reconnect_required", "token_rejected")
    shown = await form.open("freshdesk", connection_id)
    assert "Reconnect Freshdesk" in shown.text
    assert "Freshdesk domain" not in shown.text
    foreign = freshdesk.oauth.make_key(freshdesk.accounts[1].id)
    assert (await form.send("freshdesk", api_key=foreign)).status_code == 422
    fresh = freshdesk.oauth.make_key(freshdesk.accounts[0].id)
    assert (await form.send("freshdesk", domain="other", api_key=fresh)).status_code == 303
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
    assert (found.state, found.account_id) == ("active", domain(freshdesk))
    token = await connections.access_token(world.tenant, connection_id)
    assert msgspec.json.decode(token.value) == {"api_key": fresh}


async def test_nobody_else_gets_at_a_form(form, make_browser, freshdesk, db):
    await form.open("freshdesk")
    stranger = make_browser()
    assert (await stranger.client.get(f"/connect/freshdesk?state={form.state}")).status_code == 400
    other = Form(stranger, db)
    await other.browser.sign_in("initech")
    other.state = form.state
    key = freshdesk.oauth.make_key(freshdesk.accounts[0].id)
    answer = await other.send("freshdesk", domain=domain(freshdesk), api_key=key)
    assert answer.status_code == 400
    assert (await form.browser.client.get("/connect/hubspot?state=" + form.state)).status_code == 400
    assert freshdesk.log.runs() == []


async def test_a_form_is_not_tried_for_ever(form, freshdesk):
    await form.open("freshdesk")
    answers = [
        (await form.send("freshdesk", domain=domain(freshdesk), api_key=f"wrong-{turn}")).status_code
        for turn in range(12)
    ]
    assert answers == [422] * 10 + [400] * 2


async def test_the_widget_ends_with_a_code_that_the_product_confirms(
    widget, browser, freshdesk, connections, world
):
    session = await widget.session(connectors=["freshdesk"], recipes=[])
    held = await browser.client.post(
        f"/widget/sessions/{session['id']}/redeem", json={"token": session["token"]}
    )
    assert "Read tickets" in held.json()["html"]
    asked = {
        "frame_key": held.json()["frame_key"],
        "connector": "freshdesk",
        "nonce": "nonce-of-the-frame-1",
    }
    begun = await browser.client.post(f"/widget/sessions/{session['id']}/authorize", data=asked)
    where = begun.headers["location"]
    shown = await browser.back(where)
    assert shown.status_code == 200, shown.text
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', shown.text)[1]
    key = freshdesk.oauth.make_key(freshdesk.accounts[0].id)
    sent = Form(browser, None)
    sent.state = parse_qs(urlsplit(where).query)["state"][0]
    done = await sent.send("freshdesk", csrf=csrf, domain=domain(freshdesk), api_key=key)
    assert done.status_code in {200, 201, 303}, done.text
    main = re.search(r"<main id=\"main\"([^>]*)>", done.text)[1]
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', main))
    assert data["ok"] == "yes"
    answer = await widget.confirm(data["code"])
    assert answer.json()["state"] == "active"
    token = await connections.access_token(world.tenant, UUID(data["connection"]))
    assert msgspec.json.decode(token.value) == {"api_key": key}


async def test_a_sign_in_that_must_know_the_subdomain_first(form, connections, world, db, browser):
    async with db.tenant(OPERATOR) as session:
        await connections.clients.register(
            session, OPERATOR, "zendesk", client_id=APP.client_id, secret=APP.client_secret
        )
    await form.open("zendesk")
    simulator = ZendeskSimulator()
    account = simulator.accounts[0]
    name = account.host.partition(".")[0]
    sent = await form.send("zendesk", subdomain=name)
    assert sent.status_code == 303
    assert f"/zendesk/~{account.host}/oauth/authorizations/new" in sent.headers["location"]
    back = await browser.consent(sent.headers["location"], account.id)
    done = await browser.back(back)
    assert done.status_code == 303, done.text
    connection_id = UUID(done.headers["location"].rpartition("/")[2])
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
        assert await session.scalar(text("select count(*) from authorizations where used_at is null")) == 0
    assert (found.account_id, found.config["values"]) == (name, {"subdomain": name})
