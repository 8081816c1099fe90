"""Each connector: connect, first sync, changes, deletions, a revoked grant, a new sign-in. One row each."""

from collections.abc import AsyncIterator

import pytest
from journey_kit.journey import Journey, quick
from journey_kit.rows import ROWS
from journey_kit.way import Ahead, live

from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline_connectors.catalogue import manifests


@pytest.fixture(params=ROWS)
async def journey(request, settings_for) -> AsyncIterator[Journey]:
    row, clock = ROWS[request.param], Ahead()
    simulator = row.make(now=clock)
    row.prepare(simulator)
    settings = settings_for(simulator)
    connectors = Connectors([quick(manifest) for manifest in manifests()])
    services = build_services(settings, connectors, application="test")
    await services.start()
    yield Journey(row, request.param, services, simulator, clock)
    await services.close()


async def test_the_whole_way(journey):
    row, simulator, account = journey.row, journey.simulator, journey.row.account
    await journey.register()

    finished = await journey.connect()
    assert (finished.purpose, await journey.state()) == ("connect", "active")
    await journey.install()
    await journey.work()
    await journey.holds()
    entities = await journey.rows(
        "SELECT recipe_id, count(*) AS n FROM entities WHERE tenant_id = :tenant GROUP BY 1"
    )
    assert len(entities) == len(journey.manifest.recipes)
    assert await journey.rows("SELECT 1 FROM quarantine WHERE tenant_id = :tenant") == []

    for kind in row.kinds.values():
        journey.actions.create(account, kind, 2)
        journey.actions.change(account, kind, 3)
    await journey.sync()
    for stream in row.silent:
        await journey.sync("full", stream)
    await journey.holds()

    for stream in row.tombstones:
        for item in live(simulator, account, row.kinds[stream])[-2:]:
            row.remove(simulator, account, row.kinds[stream], item.id)
    await journey.sync()
    await journey.holds()
    for stream in row.vanishing:
        item = live(simulator, account, row.kinds[stream])[-1]
        row.remove(simulator, account, row.kinds[stream], item.id)
        await journey.sync("full", stream)
    await journey.holds()

    for grant in list(simulator.oauth.grants.values()):
        simulator.oauth.revoke_grant(grant.id)
    await journey.sync()
    assert await journey.state() == "reconnect_required"
    first = next(iter(row.kinds.values()))
    journey.actions.change(account, first, 2)

    again = await journey.connect()
    assert (again.purpose, again.connection_id, await journey.state()) == (
        "reconnect", finished.connection_id, "active",
    )  # fmt: skip
    await journey.sync()
    await journey.settled()
    await journey.agrees()
