"""Refreshing: one call whoever asks, and never a second with a refresh token whose reply was lost."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from trunkline.connections import provider, repository
from trunkline.connections.errors import ProviderFailedError, ReconnectRequiredError
from trunkline.connections.provider import ProviderOAuth
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.sdk.registry import Connectors
from trunkline_connectors.catalogue import manifests


@pytest.fixture(autouse=True)
def rotating(hubspot):
    hubspot.oauth.rotate_refresh = True


async def one(db, world, query, **values):
    async with db.tenant(world.tenant) as session:
        return (await session.execute(text(query), values)).one_or_none()


async def intent(db, world):
    found = await one(db, world, "select generation from refresh_intents")
    return found and found.generation


async def test_of_fifty_workers_one_calls(
    connected, make_service, database_url, world, hubspot, exchanges, age
):
    """Fifty processes, but for their memory: a service each, which share no lock but the database's."""
    connection_id = await connected()
    await age(10)
    databases = [Database(database_url, pool_size=3, application=f"worker-{n}") for n in range(10)]
    services = [make_service(databases[n % 10]) for n in range(50)]
    tokens = await asyncio.gather(
        *(service.access_token(world.tenant, connection_id) for service in services)
    )
    for database in databases:
        await database.dispose()
    assert exchanges("refresh_token") == 1
    assert {token.generation for token in tokens} == {2}
    assert len({token.value for token in tokens}) == 1
    assert hubspot.oauth.authenticate(tokens[0].value)
    assert tokens[0].expires_at > now() + timedelta(minutes=25)


async def test_the_intent_is_committed_before_the_call_and_gone_with_the_answer(
    connected, connections, db, world, age, monkeypatch
):
    connection_id = await connected()
    await age(10)
    real, seen = ProviderOAuth.refresh, []

    async def watched(self, *given):
        seen.append(await intent(db, world))  # by another transaction
        return await real(self, *given)

    monkeypatch.setattr(ProviderOAuth, "refresh", watched)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2
    assert seen == [1]
    assert await intent(db, world) is None


async def ends_ambiguously(connections, world, db, connection_id, age):
    """The old token is used until it ends; then the customer must reconnect, and is told why."""
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1
    await age(2)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1
    await age(-1)
    with pytest.raises(ReconnectRequiredError) as raised:
        await connections.access_token(world.tenant, connection_id)
    assert raised.value.cause == "ambiguous_refresh"
    found = await one(db, world, "select state, cause from connections")
    assert tuple(found) == ("reconnect_required", "ambiguous_refresh")
    issue = await one(db, world, "select cause from issues where resolved_at is null")
    assert issue.cause == "ambiguous_refresh"


async def test_a_reply_that_never_came_is_not_asked_for_again(
    connected, connections, world, hubspot, db, age, monkeypatch
):
    connection_id = await connected()
    monkeypatch.setattr(provider, "SECONDS", 0.15)
    fault = hubspot.sim.faults.add("latency", seconds=60, latency_ms=600)
    await age(60)
    await ends_ambiguously(connections, world, db, connection_id, age)
    assert fault.hits == 1


async def test_a_reply_that_cannot_be_read_is_not_asked_for_again(
    connected, connections, world, hubspot, db, age, exchanges
):
    connection_id = await connected()
    fault = hubspot.sim.faults.add("truncated", seconds=60)
    await age(60)
    await ends_ambiguously(connections, world, db, connection_id, age)
    assert (fault.hits, exchanges("refresh_token")) == (1, 1)


async def test_a_process_that_dies_between_call_and_commit_is_not_followed_by_another_call(
    connected, connections, world, hubspot, db, age, exchanges, database_url, tmp_path, settings
):
    connection_id = await connected()
    await age(60)
    script = Path(__file__).parent / "refresh_process.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        database_url,
        settings.sandbox_url,
        str(tmp_path),
        str(world.tenant),
        str(connection_id),
    )
    assert await process.wait() == -9
    assert exchanges("refresh_token") == 1, "the provider has rotated, and nobody knows the new token"
    await ends_ambiguously(connections, world, db, connection_id, age)
    assert exchanges("refresh_token") == 1


async def test_a_rejected_token_without_a_known_refresh_token_needs_a_reconnect(
    connected, connect, connections, world, hubspot, db, age
):
    connection_id = await connected()
    hubspot.sim.faults.add("truncated", requests=1)
    await age(60)
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1
    with pytest.raises(ReconnectRequiredError, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    # and the reconnect makes everything good, the next refresh included
    assert (await connect(connection_id=connection_id)).status_code == 303
    assert await intent(db, world) is None
    await age(5)
    token = await connections.access_token(world.tenant, connection_id)
    assert hubspot.oauth.authenticate(token.value)


@pytest.mark.parametrize("trouble", ["refused", "unreachable"])
async def test_an_answer_that_gave_nothing_is_asked_for_again(
    connected, connections, make_service, world, hubspot, db, age, exchanges, trouble, monkeypatch
):
    connection_id = await connected()
    await age(5)
    if trouble == "refused":
        hubspot.sim.faults.add("500", requests=1)
    else:
        real, calls = provider._tokens, []

        async def nowhere(way, call):
            if not calls:
                call.close()
                calls.append(1)

                async def unreachable():
                    raise provider.httpx2.ConnectError("nobody listens")

                call = unreachable()
            return await real(way, call)

        monkeypatch.setattr(provider, "_tokens", nowhere)
    with pytest.raises(ProviderFailedError):
        await connections.access_token(world.tenant, connection_id)
    assert await intent(db, world) is None
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2
    assert exchanges("refresh_token") == 1


async def test_a_provider_that_never_rotates_is_simply_asked_again(
    connected, db, make_service, world, hubspot, age, exchanges
):
    hubspot.oauth.rotate_refresh = False
    connection_id = await connected()
    manifest = next(one for one in manifests() if one.name == "hubspot")
    auth = msgspec.structs.replace(manifest.auth, rotates=False)
    service = make_service(db, None, Connectors([msgspec.structs.replace(manifest, auth=auth)]))
    hubspot.sim.faults.add("truncated", requests=1)
    await age(5)
    with pytest.raises(ProviderFailedError) as raised:
        await service.access_token(world.tenant, connection_id)
    assert raised.value.failure_code == "malformed_answer"
    assert (await service.access_token(world.tenant, connection_id)).generation == 2


async def test_a_caller_that_is_cancelled_loses_no_reply(
    connected, connections, world, age, exchanges, monkeypatch
):
    connection_id = await connected()
    await age(5)
    real, sent = ProviderOAuth.refresh, asyncio.Event()

    async def noted(self, *given):
        sent.set()
        return await real(self, *given)

    monkeypatch.setattr(ProviderOAuth, "refresh", noted)
    asking = asyncio.create_task(connections.access_token(world.tenant, connection_id))
    await sent.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await connections.close()  # as a process does before it ends
    assert (await connections.access_token(world.tenant, connection_id)).generation == 2
    assert exchanges("refresh_token") == 1


async def test_a_new_token_is_committed_before_it_is_used(
    connected, connections, world, db, age, monkeypatch, exchanges
):
    """Where the database refuses it, nobody gets it, and the reply counts as lost."""
    connection_id = await connected()
    await age(60)

    async def broken(*_):
        raise ConnectionError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(repository, "put_credential", broken)
        with pytest.raises(ConnectionError):
            await connections.access_token(world.tenant, connection_id)
    await ends_ambiguously(connections, world, db, connection_id, age)
    assert exchanges("refresh_token") == 1
