"""Callbacks that do not belong, links that are passed on, and a connector that wants another's codes.

Whatever is refused here must not even ask a provider: its token endpoint counts what reaches it.
"""

import itertools
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
import pytest
from attacks_kit.steps import connected_count, set_out

from trunkline.connections.clients import callback_path
from trunkline.connections.cookies import cookie_name, digest
from trunkline.kernel.db import OPERATOR
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_oauth import OAuthClient
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
        await connections.clients.register(
            session, OPERATOR, "lookalike", client_id=HOSTILE.client_id, secret=HOSTILE.client_secret
        )


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
