"""Callbacks that do not belong, links that are passed on, and a connector that wants another's codes.

Whatever is refused here must not even ask a provider: its token endpoint counts what reaches it.
"""

import itertools
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest
from sqlalchemy import text

from trunkline.connections.clients import OAuthClients, callback_path
from trunkline.connections.cookies import cookie_name, digest
from trunkline.connections.jobs import expire_pending
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import ConflictError
from trunkline.kernel.principal import Principal
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS
from trunkline_tenants.directory import Directory

ORIGIN = "http://127.0.0.1:8700"
PASSWORD = "correct horse battery"
HOSTILE = OAuthClient("app-2", "other-secret", (f"{ORIGIN}/oauth/callback/lookalike",), "Trunkline")


class Lookalike(HubSpotSimulator):
    """A provider whose owner would like to have HubSpot's codes and tokens."""

    name = "lookalike"
    title = "Lookalike"


@pytest.fixture
def lookalike() -> Lookalike:
    return Lookalike(clients=[HOSTILE], portals=[msgspec.structs.replace(PORTALS[0], counts={})])


@pytest.fixture
def others(lookalike):
    return [lookalike]


@pytest.fixture
def issuers() -> bool:
    return False


@pytest.fixture
def registry(issuers) -> Connectors:
    honest = next(one for one in manifests() if one.name == "hubspot")
    if issuers:
        auth = msgspec.structs.replace(honest.auth, issuer="https://app.hubspot.com/issuer")
        honest = msgspec.structs.replace(honest, auth=auth)
    return Connectors([honest, msgspec.structs.replace(honest, name="lookalike", label="Lookalike")])


@pytest.fixture
async def both(connections, db, lookalike):
    async with db.tenant(OPERATOR) as session:
        await connections.register_oauth_client(
            session, OPERATOR, "lookalike", client_id=HOSTILE.client_id, secret=HOSTILE.client_secret
        )


@pytest.fixture
def asked(hubspot, lookalike):
    """Calls of any kind and outcome that reached a token endpoint, of either provider."""
    return lambda: hubspot.oauth.token_calls.total() + lookalike.oauth.token_calls.total()


async def set_out(browser, db, slug="globex", connector="hubspot") -> str:
    """Through the portal; where the provider is asked."""
    if "trunkline_session" not in browser.client.cookies:
        await browser.sign_in(slug)
    form = {"csrf_token": await browser.csrf(db), "connector": connector}
    begun = await browser.client.post("/portal/connections/start", data=form)
    assert begun.status_code == 303, begun.text
    return begun.headers["location"]


async def connected_count(db, *tenants: UUID) -> int:
    found = 0
    for tenant in tenants:
        async with db.tenant(tenant) as session:
            found += await session.scalar(text("select count(*) from connections where state <> 'pending'"))
    return found


async def test_no_callback_counts_anywhere_but_where_it_belongs(
    both, make_browser, widget, world, db, hubspot, asked
):
    """Each state at each address in each browser, with its own cookie and with another's."""
    one, two, three = make_browser(), make_browser(), make_browser()
    account = hubspot.accounts[0]
    trips = []
    for browser, slug, connector in (
        (one, "globex", "hubspot"),
        (one, "globex", "lookalike"),
        (two, "initech", "hubspot"),
    ):
        url = await set_out(browser, db, slug, connector)
        trips.append((browser, connector, await browser.consent(url, account)))
    session = await widget.session()
    begun = await widget.authorize(three, session, await widget.redeem(three, session))
    trips.append((three, "hubspot", await three.consent(begun.headers["location"], account)))

    paths = [callback_path(c, o) for c in ("hubspot", "lookalike") for o in (OPERATOR, world.tenant)]
    paths += [f"{paths[0]}/", f"{paths[0]}/{UUID(int=0).hex}", paths[0].replace("hubspot", "hubspo%74/")]
    tried = 0
    for (owner, connector, location), browser, path in itertools.product(trips, (one, two, three), paths):
        if browser is owner and path == callback_path(connector, OPERATOR):
            continue
        parts = urlsplit(location)
        answer = await browser.client.get(f"{path}?{parts.query}")
        assert answer.status_code in {400, 404}, (path, answer.text)
        tried += 1
    assert tried == 4 * 3 * 7 - 4
    # the flow cookie of one trip under the name of another, in the right browser at the right address
    for (owner, _, location), (stranger, _, other) in itertools.permutations(trips, 2):
        jar = {cookie.name: cookie.value for cookie in owner.client.cookies.jar}
        mine, theirs = (
            cookie_name(digest(parse_qs(urlsplit(url).query)["state"][0]), secure=False)
            for url in (location, other)
        )
        value = next(cookie.value for cookie in stranger.client.cookies.jar if cookie.name == theirs)
        header = "; ".join(f"{key}={held}" for key, held in {**jar, mine: value}.items())
        answer = await make_browser().client.get(location, headers={"cookie": header})
        assert answer.status_code == 400
    assert asked() == 0, "something was asked of a provider"
    assert await connected_count(db, *(tenant.id for tenant in world.tenants.values())) == 0
    # and each of them is good at its own place, once
    for owner, _, location in trips:
        assert (await owner.back(location)).status_code in {200, 303}
    assert asked() == 4
    for owner, _, location in trips:
        assert (await owner.back(location)).status_code == 400
    assert asked() == 4


async def test_another_member_in_the_same_browser_gets_nothing(browser, world, db, hubspot, asked):
    directory = Directory(db)
    user = await directory.create_user("second@globex.example", "Second", PASSWORD)
    await directory.set_member(world.tenant, user.id, "owner")
    url = await set_out(browser, db)
    location = await browser.consent(url, hubspot.accounts[0])
    browser.client.cookies.delete("trunkline_session")
    await browser.client.get("/login")
    form = {
        "email": "second@globex.example",
        "password": PASSWORD,
        "csrf_token": browser.client.cookies["trunkline_form"],
    }
    assert (await browser.client.post("/login", data=form)).status_code == 303
    assert (await browser.back(location)).status_code == 400
    assert asked() == 0


@pytest.mark.parametrize("attacker", ["hostile", "honest"])
async def test_a_hostile_connector_gets_no_code_and_no_token_of_an_honest_one(
    both, browser, db, hubspot, lookalike, asked, attacker
):
    """The person means to connect Lookalike, which sends the browser on to HubSpot with its own state; and
    the other way round: with HubSpot's state, seen somewhere, it has the browser come back to itself."""
    honest, hostile = await set_out(browser, db), await set_out(browser, db, connector="lookalike")
    states = {
        "honest": parse_qs(urlsplit(honest).query)["state"][0],
        "hostile": parse_qs(urlsplit(hostile).query)["state"][0],
    }
    back = await browser.consent(honest.replace(states["honest"], states[attacker]), hubspot.accounts[0])
    code = parse_qs(urlsplit(back).query)["code"][0]
    at = "hubspot" if attacker == "hostile" else "lookalike"
    answer = await browser.client.get(f"/oauth/callback/{at}?state={states[attacker]}&code={code}")
    assert answer.status_code == 400
    assert asked() == 0
    assert not lookalike.oauth.grants


async def test_a_redirect_that_is_not_exactly_ours_is_refused_by_the_provider_and_by_us(
    browser, db, hubspot, asked, settings
):
    url = await set_out(browser, db)
    exact = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    assert exact == f"{settings.origin}/oauth/callback/hubspot"
    for wrong in (f"{exact}/", f"{exact}?x=1", exact.replace("hubspot", "HubSpot"), f"{exact}/../lookalike"):
        shown = await browser.provider.get(httpx_url(url, redirect_uri=wrong))
        assert shown.status_code == 400
    query = urlsplit(await browser.consent(url, hubspot.accounts[0])).query
    for path in ("/oauth/callback/hubspot/", "/oauth/callback//hubspot", "/oauth/callback/hubspot/x"):
        assert (await browser.client.get(f"{path}?{query}")).status_code in {400, 404}
    assert asked() == 0


def httpx_url(url: str, **changes: str):
    import httpx2

    return httpx2.URL(url).copy_merge_params(changes)


class TestIssuer:
    """RFC 9207, for providers whose manifest names the issuer."""

    @pytest.fixture
    def issuers(self) -> bool:
        return True

    async def test_the_right_issuer_connects(self, browser, db, hubspot, settings, asked):
        hubspot.oauth.issuer = f"{settings.sandbox_url}/hubspot/issuer"
        back = await browser.consent(await set_out(browser, db), hubspot.accounts[0])
        assert "iss=" in back
        assert (await browser.back(back)).status_code == 303
        assert asked() == 1

    @pytest.mark.parametrize("issuer", ["", "https://evil.example", "{right}/", "{right}x"])
    async def test_a_missing_or_wrong_issuer_asks_nothing(
        self, browser, db, hubspot, settings, asked, issuer
    ):
        right = f"{settings.sandbox_url}/hubspot/issuer"
        hubspot.oauth.issuer = issuer.format(right=right)
        back = await browser.consent(await set_out(browser, db), hubspot.accounts[0])
        answer = await browser.back(back)
        assert answer.status_code == 400
        assert "did not come from HubSpot" in answer.text
        twice = f"{back}&iss={right}"  # a parameter given twice is no parameter
        assert (await browser.back(twice)).status_code == 400
        assert asked() == 0

    async def test_an_answer_of_another_provider_is_not_sent_to_this_one(
        self, both, browser, db, hubspot, lookalike, settings, asked
    ):
        """Mix-up: HubSpot's callback, HubSpot's state, and an answer that Lookalike made."""
        for simulator, name in ((hubspot.oauth, "hubspot"), (lookalike.oauth, "lookalike")):
            simulator.issuer = f"{settings.sandbox_url}/{name}/issuer"
        state = parse_qs(urlsplit(await set_out(browser, db)).query)["state"][0]
        hostile = await set_out(browser, db, connector="lookalike")
        made = urlsplit(await browser.consent(hostile, PORTALS[0].id))
        query = made.query.replace(parse_qs(made.query)["state"][0], state)
        assert (await browser.client.get(f"/oauth/callback/hubspot?{query}")).status_code == 400
        assert asked() == 0


# -- a link that is passed on --------------------------------------------------------------


@pytest.fixture(params=["portal", "widget"])
async def attack(request, browser, widget, db):
    """The attacker has set out and holds every link of the trip."""
    if request.param == "portal":
        return SimpleNamespace(via="portal", url=await set_out(browser, db), links=["/portal/connect"])
    session = await widget.session()
    key = await widget.redeem(browser, session)
    begun = await widget.authorize(browser, session, key)
    path = f"/widget/sessions/{session['id']}"
    return SimpleNamespace(
        via="widget",
        url=begun.headers["location"],
        links=[f"{path}/authorize", f"{path}/redeem", f"/widget/frame/{session['id']}"],
        session=session,
        key=key,
    )


async def test_a_victim_who_follows_any_link_connects_nothing(
    attack, make_browser, world, db, hubspot, asked, widget, browser
):
    victim = make_browser()
    await victim.sign_in("initech")  # also a customer, who might think nothing of it
    for link in attack.links:
        answer = await victim.client.get(link)
        assert "trunkline_flow" not in answer.headers.get("set-cookie", "")
    # all the way: the provider's page, consent, callback
    location = await victim.consent(attack.url, hubspot.accounts[0])
    assert (await victim.back(location)).status_code == 400
    # and the attacker, who gets hold of nothing but the state, cannot finish it with a code of the victim's
    assert asked() == 0
    assert await connected_count(db, *(tenant.id for tenant in world.tenants.values())) == 0
    if attack.via == "widget":
        assert (await widget.status(browser, attack.session, attack.key))["state"] == "open"


async def test_even_with_the_attackers_cookie_planted_nothing_becomes_active(
    attack, make_browser, world, db, hubspot, connections, browser, widget, database_url
):
    """A host beside ours could set a cookie for both, were it not for __Host-. Suppose that it did."""
    victim = make_browser()
    await victim.sign_in("initech")
    for cookie in browser.client.cookies.jar:
        if cookie.name.startswith("trunkline_flow"):
            victim.client.cookies.set(cookie.name, cookie.value)
    location = await victim.consent(attack.url, hubspot.accounts[0])
    page = await victim.back(location)
    assert await connected_count(db, *(tenant.id for tenant in world.tenants.values())) == 0
    if attack.via == "portal":
        assert page.status_code == 400
        assert not hubspot.oauth.grants
        return
    # the tokens are there, sealed, and nobody can use them; the code is in the victim's window only
    assert "cc_" in page.text
    seen = [await widget.status(browser, attack.session, attack.key)]
    seen.append((await browser.client.get(f"/widget/frame/{attack.session['id']}")).text)
    assert "cc_" not in repr(seen)
    owner = await asyncpg.connect(database_url)
    due, completed, key = await owner.fetchrow(
        "select w.due_at, s.completed_at, w.key from work w, connect_sessions s where w.kind = 'expire_pending'"
    )
    assert (due - completed).total_seconds() <= 600
    # ten minutes later at the latest the work row has them revoked and purged
    await owner.execute("update connect_sessions set completed_at = completed_at - interval '575 seconds'")
    await owner.close()

    class Lease(SimpleNamespace):
        async def finish(self, session, outcome) -> None: ...

    await expire_pending(db, connections)(Lease(tenant_id=world.tenant, key=key))
    assert all(grant.revoked_at for grant in hubspot.oauth.grants.values())
    async with db.tenant(world.tenant) as session:
        assert await session.scalar(text("select count(*) from credentials")) == 0
        assert await session.scalar(text("select count(*) from connections")) == 0


def test_on_https_the_flow_cookie_cannot_be_planted_by_a_sibling():
    """__Host-: Secure, for the whole site, and without a domain, or the browser refuses it."""
    from trunkline.connections.cookies import flow_cookie
    from trunkline.connections.schemas import Begun

    begun = Begun(connection_id=UUID(int=1), url="https://x", state_hash=digest("s"), flow="a.b")
    cookie = flow_cookie(begun, secure=True)
    assert cookie.key.startswith("__Host-trunkline_flow_")
    assert (cookie.secure, cookie.httponly, cookie.path, cookie.domain) == (True, True, "/", None)
    assert cookie.max_age == 600


# -- a widget's reconnect ------------------------------------------------------------------


def code_of(page) -> str:
    return page.text.partition('data-code="')[2].partition('"')[0]


async def test_a_reconnect_through_the_widget_uses_nothing_new_until_confirmed(
    connected, connections, make_browser, widget, world, db, hubspot, product, database_url
):
    """Somebody else's consent, got by a link, must not bring a withdrawn connection back to life."""
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(Exception, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    victim = make_browser()
    _, page = await widget.finish(victim, connection_id=str(connection_id))
    shown = (await product.get(f"/v1/connections/{connection_id}", params={"tenant": "globex"})).json()
    assert shown["state"] == "reconnect_required"
    with pytest.raises(Exception, match="connected again"):
        await connections.access_token(world.tenant, connection_id)
    token = hubspot.oauth.grants["grant-2"]
    owner = await asyncpg.connect(database_url)
    held = await owner.fetchrow("select * from unconfirmed_credentials")
    assert held["created_at"] is not None
    assert not token.revoked_at
    await owner.execute("update unconfirmed_credentials set created_at = now() - interval '575 seconds'")

    class Lease(SimpleNamespace):
        async def finish(self, session, outcome) -> None: ...

    await expire_pending(db, connections)(Lease(tenant_id=world.tenant, key=str(connection_id)))
    assert token.revoked_at, "what nobody confirmed is given back"
    assert await owner.fetchval("select count(*) from unconfirmed_credentials") == 0
    await owner.close()
    assert (await widget.confirm(code_of(page))).status_code == 400
    shown = (await product.get(f"/v1/connections/{connection_id}", params={"tenant": "globex"})).json()
    assert shown["state"] == "reconnect_required"


async def test_a_confirmed_reconnect_uses_the_new_tokens(
    connected, connections, browser, widget, world, db, hubspot
):
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(Exception, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    _, page = await widget.finish(browser, connection_id=str(connection_id))
    assert (await widget.confirm(code_of(page))).json()["state"] == "active"
    assert (await widget.confirm(code_of(page))).status_code == 400
    token = await connections.access_token(world.tenant, connection_id)
    assert hubspot.oauth.authenticate(token.value)
    async with db.tenant(world.tenant) as session:
        for table in ("unconfirmed_credentials", "work"):
            assert await session.scalar(text(f"select count(*) from {table}")) == 0


# -- a tenant's own OAuth client -----------------------------------------------------------


@pytest.fixture
def ada(world) -> Principal:
    other = world.tenants["initech"].id
    return Principal(kind="member", id="ada", role="owner", label="Ada", tenant_id=other)


@pytest.fixture
async def own(world, connections, db, hubspot, ada):
    """Initech brings its own, registered at HubSpot with Initech's own address."""
    tenant = world.tenants["initech"].id
    redirect = f"{ORIGIN}{callback_path('hubspot', tenant)}"
    hubspot.oauth.register(OAuthClient("initech-app", "initech-secret", (redirect,), "Initech"))
    async with db.tenant(tenant) as session:
        await connections.bring_oauth_client(
            session, tenant, ada, "hubspot", client_id=" initech-app ", secret="initech-secret\n"
        )
    return SimpleNamespace(tenant=tenant, redirect=redirect)


async def test_an_own_client_has_its_own_address_and_serves_its_owner_only(
    own, make_browser, world, db, hubspot, connections, settings
):
    theirs, ours = make_browser(), make_browser()
    urls = {"initech": await set_out(theirs, db, "initech"), "globex": await set_out(ours, db, "globex")}
    asked_for = {slug: parse_qs(urlsplit(url).query) for slug, url in urls.items()}
    assert asked_for["initech"]["redirect_uri"] == [own.redirect]
    assert asked_for["initech"]["client_id"] == ["initech-app"]
    assert asked_for["globex"]["client_id"] == ["app-1"]
    location = await theirs.consent(urls["initech"], hubspot.accounts[0])
    wrong = location.replace(own.redirect, f"{ORIGIN}/oauth/callback/hubspot")
    assert (await theirs.back(wrong)).status_code == 400
    assert not hubspot.oauth.token_calls
    assert (await theirs.back(location)).status_code == 303
    assert (await ours.back(await ours.consent(urls["globex"], hubspot.accounts[1]))).status_code == 303
    calls = {(client, outcome) for client, _, outcome in hubspot.oauth.token_calls}
    assert calls == {("initech-app", "ok"), ("app-1", "ok")}


async def test_nobodys_connection_can_name_anothers_client(own, world, db, tmp_path, connected, database_url):
    connection_id = await connected()
    async with db.tenant(own.tenant) as session:
        row = await session.scalar(text("select id from oauth_clients"))
    clients = OAuthClients(db, Vault(LocalKeyFile(tmp_path / "wrapping.key")))
    place = {"owner": own.tenant, "row": row}
    assert (await clients.exactly(own.tenant, "hubspot", **place)).client_id == "initech-app"
    assert await clients.exactly(world.tenant, "hubspot", **place) is None
    assert await clients.exactly(own.tenant, "hubspot", owner=own.tenant, row=UUID(int=5)) is None
    owner = await asyncpg.connect(database_url)
    for table in ("connections", "authorizations"):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(
                f"update {table} set oauth_client_tenant = $1 where tenant_id = $2", own.tenant, world.tenant
            )
    assert await owner.fetchval("select count(*) from connections where id = $1", connection_id) == 1
    dump = repr(await owner.fetch("select * from oauth_clients"))
    dump += repr(await owner.fetch("select * from audit_entries"))
    await owner.close()
    assert "initech-app" in dump
    assert "initech-secret" not in dump


async def test_settings_that_change_during_a_trip_end_it_unasked(
    own, browser, db, connections, ada, hubspot, asked
):
    url = await set_out(browser, db, "initech")
    location = await browser.consent(url, hubspot.accounts[0])
    async with db.tenant(own.tenant) as session:
        await connections.bring_oauth_client(
            session, own.tenant, ada, "hubspot", client_id="another", secret="x"
        )
    answer = await browser.back(location)
    assert answer.status_code == 400
    assert "were changed meanwhile" in answer.text
    assert asked() == 0


async def test_a_client_in_use_keeps_its_id_but_not_its_secret(
    own, browser, db, connections, ada, hubspot, world
):
    location = await browser.consent(await set_out(browser, db, "initech"), hubspot.accounts[0])
    assert (await browser.back(location)).status_code == 303
    place = own.tenant, ada, "hubspot"
    for step in (
        lambda s: connections.bring_oauth_client(s, *place, client_id="another", secret="x"),
        lambda s: connections.remove_oauth_client(s, *place),
    ):
        async with db.tenant(own.tenant) as session:
            with pytest.raises(ConflictError, match="1 connection still uses this client"):
                await step(session)
    hubspot.oauth.register(OAuthClient("initech-app", "new-secret", (own.redirect,), "Initech"))
    async with db.tenant(own.tenant) as session:
        await connections.bring_oauth_client(session, *place, client_id="initech-app", secret="new-secret")
        (found,) = await connections.list(session, own.tenant)
    await connections.token_rejected(own.tenant, found.id, 1)
    async with db.tenant(own.tenant) as session:
        ended = await connections.disconnect(session, own.tenant, found.id, ada)
        assert ended.state == "disconnected"
        await connections.remove_oauth_client(session, *place)
        assert await connections.own_oauth_clients(session, own.tenant) == {}
    async with db.tenant(own.tenant) as session:
        actions = (await session.scalars(text("select action from audit_entries"))).all()
    assert {"oauth_client.added", "oauth_client.replaced", "oauth_client.removed"} <= set(actions)
    assert parse_qs(urlsplit(await set_out(browser, db, "initech")).query)["client_id"] == ["app-1"]
