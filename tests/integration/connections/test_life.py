import httpx2
import pytest
from sqlalchemy import text

from trunkline.connections.errors import NotUsableError
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal


@pytest.fixture
def ada(world) -> Principal:
    return Principal(kind="member", id="ada", role="owner", label="Ada Byron", tenant_id=world.tenant)


async def audit(db, world):
    async with db.tenant(world.tenant) as session:
        rows = await session.execute(
            text(
                "select action, actor, detail, before, after, reason from audit_entries "
                "where action like 'connection.%' order by sequence"
            )
        )
        return list(rows.all())


async def test_pause_resume_and_rename_are_told_and_audited(connected, connections, events, db, world, ada):
    place = world.tenant, await connected()
    for step in (connections.pause, connections.pause, connections.resume, connections.resume):
        async with db.tenant(world.tenant) as session:
            await step(session, *place, ada)
    async with db.tenant(world.tenant) as session:
        assert (await connections.rename(session, *place, "  Main   CRM ", ada)).name == "Main CRM"
    refused = {"": "1 to 100", "  ": "1 to 100", "x" * 101: "1 to 100", "a\x00b": "cannot be shown"}
    for name, words in refused.items():
        async with db.tenant(world.tenant) as session:
            with pytest.raises(BadInputError, match=words):
                await connections.rename(session, *place, name, ada)
    assert [heard[0] for heard in events.heard] == ["activated", "stopped", "reconnected"]
    entries = await audit(db, world)
    assert [row.action.removeprefix("connection.") for row in entries] == [
        "connected",
        "paused",
        "resumed",
        "renamed",
    ]
    assert entries[-1].detail == {"connector": "hubspot"}
    assert [(row.before, row.after) for row in entries[1:]] == [
        ({"state": "active"}, {"state": "paused"}),
        ({"state": "paused"}, {"state": "active"}),
        ({"name": "HubSpot"}, {"name": "Main CRM"}),
    ]


async def test_disconnecting_revokes_forgets_and_says_what_the_provider_answered(
    connected, connections, events, db, world, ada, hubspot, product
):
    connection_id = await connected()
    async with db.tenant(world.tenant) as session:
        ended = await connections.disconnect(session, world.tenant, connection_id, ada, reason="Moving away")
    assert (ended.state, ended.cause) == ("disconnected", "disconnected_by_member")
    assert hubspot.oauth.grants["grant-1"].revoked_at
    assert events.heard[-1] == ("stopped", connection_id)
    last = (await audit(db, world))[-1]
    assert (last.action, last.reason) == ("connection.disconnected", "Moving away")
    assert last.detail["revocation"] == "revoked"
    with pytest.raises(NotUsableError):
        await connections.access_token(world.tenant, connection_id)
    async with db.tenant(world.tenant) as session:
        assert await session.scalar(text("select count(*) from credentials")) == 0
        for step in (connections.pause, connections.resume):
            with pytest.raises(ConflictError):
                await step(session, world.tenant, connection_id, ada)


async def test_the_product_disconnects_over_the_api(connected, product, hubspot):
    connection_id = await connected()
    path = f"/v1/connections/{connection_id}"
    assert (await product.delete(path, params={"tenant": "initech"})).status_code == 404
    assert not hubspot.oauth.grants["grant-1"].revoked_at
    answer = await product.delete(path, params={"tenant": "globex"})
    assert (answer.status_code, answer.json()["state"]) == (200, "disconnected")
    assert hubspot.oauth.grants["grant-1"].revoked_at


async def test_disconnecting_works_while_the_provider_is_down(
    connected, connections, db, world, ada, hubspot
):
    connection_id = await connected()
    hubspot.sim.faults.add("500", seconds=60)
    async with db.tenant(world.tenant) as session:
        ended = await connections.disconnect(session, world.tenant, connection_id, ada)
    assert ended.state == "disconnected"
    assert (await audit(db, world))[-1].detail["revocation"] == "refused (500)"


async def test_a_grant_that_another_connection_rests_on_is_kept(
    connected, connections, db, world, ada, hubspot
):
    one, two = await connected(), await connected()
    async with db.tenant(world.tenant) as session:
        await connections.disconnect(session, world.tenant, one, ada)
    assert (await audit(db, world))[-1].detail["revocation"] == "kept"
    token = await connections.access_token(world.tenant, two)
    assert hubspot.oauth.authenticate(token.value)
    async with db.tenant(world.tenant) as session:
        names = [found.name for found in await connections.list(session, world.tenant)]
    assert names == [f"HubSpot {hubspot.accounts[0]}", "HubSpot"]


async def test_reconnecting_the_same_account_keeps_the_connection(
    connected, connect, connections, events, db, world, hubspot
):
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(Exception, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    answer = await connect(connection_id=connection_id)
    assert answer.headers["location"] == f"/portal/connections/{connection_id}"
    assert events.heard[-1] == ("reconnected", connection_id)
    token = await connections.access_token(world.tenant, connection_id)
    assert hubspot.oauth.authenticate(token.value)
    assert token.generation == 2
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
        still = await session.scalar(text("select count(*) from issues where resolved_at is null"))
    assert (found.state, found.cause, still) == ("active", None, 0)


async def test_reconnecting_another_account_is_refused_and_changes_nothing(
    connected, connect, connections, db, world, hubspot, events
):
    connection_id = await connected()
    answer = await connect(hubspot.accounts[1], connection_id=connection_id)
    assert answer.status_code == 400
    assert hubspot.accounts[0] in answer.text
    assert hubspot.accounts[1] in answer.text
    assert "Nothing was changed" in answer.text
    assert f'href="/portal/connections/{connection_id}"' in answer.text
    grants = {grant.account: grant for grant in hubspot.oauth.grants.values()}
    assert grants[hubspot.accounts[1]].revoked_at, "the new tokens are given back"
    assert not grants[hubspot.accounts[0]].revoked_at
    assert hubspot.oauth.authenticate((await connections.access_token(world.tenant, connection_id)).value)
    async with db.tenant(world.tenant) as session:
        found = await connections.get(session, world.tenant, connection_id)
    assert (found.account_id, found.state) == (hubspot.accounts[0], "active")
    assert [heard[0] for heard in events.heard] == ["activated"]


async def test_a_wrong_account_that_is_connected_elsewhere_is_not_cut_off(
    connected, connect, connections, world, hubspot
):
    one, two = await connected(), await connected(hubspot.accounts[1])
    assert (await connect(hubspot.accounts[1], connection_id=one)).status_code == 400
    await connections.token_rejected(world.tenant, two, 1)
    assert hubspot.oauth.authenticate((await connections.access_token(world.tenant, two)).value)


async def test_a_disconnected_account_can_be_reconnected(connected, connect, connections, db, world, ada):
    connection_id = await connected()
    async with db.tenant(world.tenant) as session:
        await connections.disconnect(session, world.tenant, connection_id, ada)
    assert (await connect(connection_id=connection_id)).status_code == 303
    assert await connections.access_token(world.tenant, connection_id)


async def test_another_tenants_connection_is_nowhere(connected, connections, db, world, ada, product):
    connection_id = await connected()
    other = world.tenants["initech"].id
    async with db.tenant(other) as session:
        assert await connections.list(session, other) == []
        for step in (connections.get,):
            with pytest.raises(NotFoundError):
                await step(session, other, connection_id)
        for step in (connections.pause, connections.resume, connections.disconnect):
            with pytest.raises(NotFoundError):
                await step(session, other, connection_id, ada)
        with pytest.raises(NotFoundError):
            await connections.begin(session, other, ada, "hubspot", connection_id=connection_id)
    mine = await product.get(f"/v1/connections/{connection_id}", params={"tenant": "initech"})
    never = await product.get(f"/v1/connections/{other}", params={"tenant": "initech"})
    assert mine.status_code == never.status_code == 404
    assert mine.json()["detail"] == never.json()["detail"]


async def test_a_tenants_own_oauth_client_comes_first(connections, world, db, ada):
    other = world.tenants["initech"].id
    async with db.tenant(other) as session:
        await connections.clients.register(
            session, other, "hubspot", client_id="own-app", secret="own-secret"
        )
    for tenant, wanted in ((other, "own-app"), (world.tenant, "app-1")):
        async with db.tenant(tenant) as session:
            begun = await connections.begin(session, tenant, ada, "hubspot")
        assert httpx2.URL(begun.url).params["client_id"] == wanted
    async with db.tenant(other) as session:
        await connections.clients.register(
            session, other, "hubspot", client_id="own-app-2", secret="own-secret"
        )
        assert await session.scalar(text("select count(*) from oauth_clients")) == 1
