import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from trunkline.connections.errors import NotUsableError, ProviderFailedError, ReconnectRequiredError
from trunkline.kernel.clock import now
from trunkline.kernel.errors import NotFoundError


async def state(db, world, connection_id):
    async with db.tenant(world.tenant) as session:
        found = await session.execute(
            text("select state, cause from connections where id = :id"), {"id": connection_id}
        )
        return tuple(found.one())


async def test_twenty_rejections_at_once_make_one_call(connected, connections, world, exchanges):
    connection_id = await connected()
    await asyncio.gather(*(connections.token_rejected(world.tenant, connection_id, 1) for _ in range(20)))
    assert exchanges("refresh_token") == 1
    await connections.token_rejected(world.tenant, connection_id, 1)  # long since replaced
    assert exchanges("refresh_token") == 1
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2


async def test_a_token_with_time_left_is_not_refreshed(connected, connections, world, exchanges, age):
    connection_id = await connected()
    await age(400)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1
    await age(299)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2
    assert exchanges("refresh_token") == 1


async def test_several_refreshes_in_a_row_work_with_rotation(connected, connections, world, hubspot, age):
    hubspot.oauth.rotate_refresh = True
    connection_id = await connected()
    for generation in (2, 3, 4):
        await age(1)
        token = await connections.access_token(world.tenant, connection_id)
        assert token.generation == generation
        assert hubspot.oauth.authenticate(token.value)


async def test_a_revoked_grant_asks_for_a_reconnect_once(
    connected, connections, world, hubspot, exchanges, db, product
):
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(ReconnectRequiredError) as raised:
        await connections.token_rejected(world.tenant, connection_id, 1)
    assert (raised.value.cause, raised.value.failure_code) == ("grant_revoked", "grant_revoked")
    assert await state(db, world, connection_id) == ("reconnect_required", "grant_revoked")
    for _ in range(2):
        with pytest.raises(ReconnectRequiredError):
            await connections.access_token(world.tenant, connection_id)
        async with db.tenant(world.tenant) as session:
            await connections.require_reconnect(session, world.tenant, connection_id, "grant_revoked")
    assert exchanges("refresh_token") == 1
    async with db.tenant(world.tenant) as session:
        issues = (await session.execute(text("select cause, resolved_at from issues"))).all()
        told = await session.scalar(
            text("select count(*) from audit_entries where action = 'connection.reconnect_required'")
        )
    assert [tuple(issue) for issue in issues] == [("grant_revoked", None)]
    assert told == 1


async def test_an_outage_changes_nothing_and_names_a_time(
    connected, connections, world, hubspot, db, age, settings
):
    connection_id = await connected()
    hubspot.sim.faults.add("500", seconds=60)
    await age(5)
    with pytest.raises(ProviderFailedError) as raised:
        await connections.access_token(world.tenant, connection_id)
    assert raised.value.failure_code == "provider_error"
    assert now() < raised.value.retry_at <= now() + timedelta(seconds=30)
    assert await state(db, world, connection_id) == ("active", None)
    hubspot.sim.faults.clear()
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2


async def test_an_outage_ahead_of_time_goes_unnoticed(connected, connections, world, hubspot, age):
    connection_id = await connected()
    hubspot.sim.faults.add("500", seconds=60)
    await age(120)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1


async def test_other_tenants_and_unknown_ids_look_the_same(connected, connections, world):
    connection_id = await connected()
    for place in ((world.tenants["initech"].id, connection_id), (world.tenant, world.tenant)):
        with pytest.raises(NotFoundError):
            await connections.access_token(*place)
        with pytest.raises(NotFoundError):
            await connections.token_rejected(*place, 1)


async def test_swapped_tokens_do_not_open(connected, connections, world, hubspot, db):
    from trunkline.vault.errors import OpenError

    one, two = await connected(), await connected(hubspot.accounts[1])
    async with db.tenant(world.tenant) as session:
        await session.execute(
            text(
                "update credentials c set access_token = (select access_token from credentials o "
                "where o.connection_id = :other) where c.connection_id = :one"
            ),
            {"one": one, "other": two},
        )
    with pytest.raises(OpenError):
        await connections.access_token(world.tenant, one)
    assert await connections.access_token(world.tenant, two)
    async with db.tenant(world.tenant) as session:
        await session.execute(text("update credentials set access_token = refresh_token"))
    with pytest.raises(OpenError):
        await connections.access_token(world.tenant, two)


async def test_a_paused_connection_gives_no_token(connected, connections, world, db):
    from trunkline.kernel.principal import SYSTEM

    connection_id = await connected()
    async with db.tenant(world.tenant) as session:
        await connections.pause(session, world.tenant, connection_id, SYSTEM)
    with pytest.raises(NotUsableError) as raised:
        await connections.access_token(world.tenant, connection_id)
    assert raised.value.failure_code == "paused_by_member"
