from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import text


async def test_a_person_connects_and_the_connection_is_active_at_once(
    connect, connections, events, world, db, hubspot, browser, product
):
    answer = await connect()
    assert answer.status_code == 303
    connection_id = UUID(answer.headers["location"].removeprefix("/portal/connections/"))
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
        work = await session.scalar(text("select count(*) from work"))
        actions = (
            await session.scalars(text("select action from audit_entries where action like 'connection.%'"))
        ).all()
    assert (found.state, found.account_id, found.via) == ("active", hubspot.accounts[0], "portal")
    assert found.name == "HubSpot"
    assert set(found.scopes) >= {"oauth", "crm.objects.contacts.read"}
    assert found.confirmed_at is not None
    assert events.heard == [("activated", connection_id, (), "member")]
    assert work == 0
    assert actions == ["connection.connected"]
    token = await connections.access_token(world.tenant, connection_id)
    assert hubspot.oauth.authenticate(token.value).account == hubspot.accounts[0]
    listed = (await product.get("/v1/connections", params={"tenant": "globex"})).json()["connections"]
    assert [item["id"] for item in listed] == [str(connection_id)]
    assert (await product.get("/v1/connections", params={"tenant": "initech"})).json() == {"connections": []}


async def test_no_token_is_readable_in_the_database(connected, connections, db, world, database_url):
    import asyncpg

    connection_id = await connected()
    token = await connections.access_token(world.tenant, connection_id)
    owner = await asyncpg.connect(database_url)
    for table in ("credentials", "oauth_clients", "authorizations", "data_keys", "audit_entries", "work"):
        dump = repr(await owner.fetch(f"select * from {table}")).encode()
        assert token.value.encode() not in dump
        assert b"very-secret" not in dump
    sealed = bytes(await owner.fetchval("select access_token from credentials"))
    assert token.value.encode() not in sealed
    await owner.close()


async def test_the_provider_is_asked_with_pkce_and_an_exact_redirect(browser, db, settings):
    await browser.sign_in()
    begun = await browser.client.post(
        "/portal/connections/start", data={"csrf_token": await browser.csrf(db)}
    )
    query = parse_qs(urlsplit(begun.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    assert len(query["state"][0]) == 43
    assert query["redirect_uri"] == [f"{settings.origin}/oauth/callback/hubspot"]
    cookie = begun.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/;" in cookie
    assert "max-age=600" in cookie


async def test_saying_no_leaves_nothing_behind_and_says_so(connect, db, world, exchanges, connections):
    answer = await connect(decision="deny")
    assert answer.status_code == 400
    assert "You did not give access" in answer.text
    assert exchanges() == 0
    async with db.tenant(world.tenant) as session:
        for table in ("connections", "authorizations", "work"):
            assert await session.scalar(text(f"select count(*) from {table}")) == 0


@pytest.fixture
async def trip(browser, db, hubspot):
    """(address that the provider sent back, browser) of a consent that was given."""
    await browser.sign_in()
    begun = await browser.client.post(
        "/portal/connections/start", data={"csrf_token": await browser.csrf(db)}
    )
    return await browser.consent(begun.headers["location"], hubspot.accounts[0])


async def test_a_state_is_good_once(trip, browser, exchanges):
    assert (await browser.back(trip)).status_code == 303
    before = exchanges()
    again = await browser.back(trip)
    assert again.status_code == 400
    assert "start again" in again.text
    assert exchanges() == before == 1


async def test_a_replay_with_its_cookie_asks_the_provider_nothing(trip, browser, exchanges):
    jar = {cookie.name: cookie.value for cookie in browser.client.cookies.jar}
    assert (await browser.back(trip)).status_code == 303
    header = "; ".join(f"{name}={value}" for name, value in jar.items())
    again = await browser.client.get(trip, headers={"cookie": header})
    assert again.status_code == 400
    assert exchanges() == 1


async def test_another_browser_gets_nothing(trip, make_browser, browser, exchanges):
    other = make_browser()
    await other.sign_in()
    answer = await other.back(trip)
    assert answer.status_code == 400
    assert exchanges() == 0
    assert (await browser.back(trip)).status_code == 303  # whoever set out still can


async def test_another_cookie_value_gets_nothing(trip, browser, exchanges):
    name = next(c.name for c in browser.client.cookies.jar if c.name.startswith("trunkline_flow"))
    session = browser.client.cookies["trunkline_session"]
    header = f"{name}={'A' * 43}.; trunkline_session={session}"
    browser.client.cookies.clear()
    answer = await browser.client.get(trip, headers={"cookie": header})
    assert answer.status_code == 400
    assert exchanges() == 0


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
async def test_in_the_portal_the_same_person_must_still_be_signed_in(trip, browser, exchanges, who):
    browser.client.cookies.delete("trunkline_session")
    if who == "somebody else":
        await browser.sign_in("initech")
    answer = await browser.back(trip)
    assert answer.status_code == 400
    assert exchanges() == 0


async def test_an_old_state_gets_nothing(trip, browser, exchanges, database_url):
    import asyncpg

    owner = await asyncpg.connect(database_url)
    await owner.execute("update authorizations set expires_at = now() - interval '1 second'")
    await owner.close()
    assert (await browser.back(trip)).status_code == 400
    assert exchanges() == 0


@pytest.mark.parametrize(
    "query",
    ["", "?state=", "?code=x", "?state=unknown&code=x", "?state=a&state=b&code=x", "?state=%00&code=x"],
)
async def test_a_callback_that_nobody_asked_for_asks_the_provider_nothing(browser, exchanges, query):
    answer = await browser.client.get(f"/oauth/callback/hubspot{query}")
    assert answer.status_code == 400
    assert "start again" in answer.text
    assert exchanges() == 0
    assert "/portal" not in answer.text  # a member is led back; nobody else has a portal to go to
    await browser.sign_in("initech")
    assert 'href="/portal/connect"' in (await browser.client.get(f"/oauth/callback/hubspot{query}")).text


async def test_a_code_that_the_provider_does_not_know_leaves_nothing_behind(trip, browser, db, world):
    state = parse_qs(urlsplit(trip).query)["state"][0]
    answer = await browser.client.get(f"/oauth/callback/hubspot?state={state}&code=wrong")
    assert answer.status_code == 400
    assert "HubSpot did not accept the sign-in" in answer.text
    async with db.tenant(world.tenant) as session:
        assert await session.scalar(text("select count(*) from connections")) == 0
