"""A tenant's own OAuth client: its own address, and nobody else's connections."""

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest
from attacks_kit.steps import set_out
from sqlalchemy import text

from trunkline.connections.clients import OAuthClients, callback_path
from trunkline.kernel.errors import ConflictError
from trunkline.kernel.principal import Principal
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline_connectors.catalogue import manifests

ORIGIN = "http://127.0.0.1:8700"


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
        await connections.clients.bring(
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
    clients = OAuthClients(db, Vault(LocalKeyFile(tmp_path / "wrapping.key")), Connectors(manifests()))
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
        await connections.clients.bring(session, own.tenant, ada, "hubspot", client_id="another", secret="x")
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
        lambda s: connections.clients.bring(s, *place, client_id="another", secret="x"),
        lambda s: connections.clients.remove(s, *place),
    ):
        async with db.tenant(own.tenant) as session:
            with pytest.raises(ConflictError, match="1 connection still uses this client"):
                await step(session)
    hubspot.oauth.register(OAuthClient("initech-app", "new-secret", (own.redirect,), "Initech"))
    async with db.tenant(own.tenant) as session:
        await connections.clients.bring(session, *place, client_id="initech-app", secret="new-secret")
        (found,) = await connections.list(session, own.tenant)
    await connections.token_rejected(own.tenant, found.id, 1)
    async with db.tenant(own.tenant) as session:
        ended = await connections.disconnect(session, own.tenant, found.id, ada)
        assert ended.state == "disconnected"
        await connections.clients.remove(session, *place)
        assert await connections.clients.own(session, own.tenant) == {}
    async with db.tenant(own.tenant) as session:
        actions = (await session.scalars(text("select action from audit_entries"))).all()
    assert {"oauth_client.added", "oauth_client.replaced", "oauth_client.removed"} <= set(actions)
    assert parse_qs(urlsplit(await set_out(browser, db, "initech")).query)["client_id"] == ["app-1"]
