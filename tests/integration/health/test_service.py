"""Health of real rows: one connection, a tenant, many tenants at once."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert

from trunkline.connections.models import Connection
from trunkline.health import across
from trunkline.health.issues import open_issue
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.runs.models import Run, Stream

HEALTH = HealthService()


async def connect(db: Database, tenant: UUID, state: str = "active", account: str | None = "1") -> UUID:
    identity = uuid4()
    row = {
        "tenant_id": tenant,
        "id": identity,
        "connector": "hubspot",
        "name": "HubSpot",
        "state": state,
        "account_id": account,
        "oauth_client_tenant": OPERATOR,
        "oauth_client_id": identity,
        "scopes": [],
        "via": "portal",
        "created_by": "somebody",
    }
    async with db.tenant(tenant) as session:
        await session.execute(insert(Connection).values(**row))
    return identity


async def stream(db: Database, tenant: UUID, connection: UUID, name: str = "contacts", **values: Any) -> None:
    row = {
        "schedule_seconds": 60,
        "freshness_seconds": 900,
        "last_success_at": now(),
        "records": 10,
        **values,
    }
    async with db.tenant(tenant) as session:
        await session.execute(
            insert(Stream).values(tenant_id=tenant, connection_id=connection, stream=name, **row)
        )


async def test_many_tenants_at_once(db: Database) -> None:
    busy, quiet, empty = uuid4(), uuid4(), uuid4()
    failing, fine = await connect(db, busy), await connect(db, busy)
    await stream(db, busy, failing, failures=4, cause="provider_error", cause_since=now())
    await stream(db, busy, fine, "deals", last_success_at=now() - timedelta(minutes=5))
    await stream(db, quiet, await connect(db, quiet))
    await connect(db, busy, "disconnected")
    await connect(db, busy, "paused")
    for tenant, connection in ((busy, failing), (busy, fine)):
        async with db.tenant(tenant) as session:
            await open_issue(session, tenant, connection, "provider_error")
    strangers = [uuid4() for _ in range(40_000)]
    async with db.console() as session:
        found = await HEALTH.of_tenants(session, [busy, quiet, empty, *strangers])
    assert len(found) == 40_003
    one = found[busy]
    assert (one.level, one.connections, one.open_issues, one.records) == ("failing", 3, 2, 20)
    assert dict(one.levels) == {"failing": 1, "healthy": 1}
    assert one.worst_connection is not None
    assert one.worst_connection.id == failing
    assert one.lag_seconds is not None
    assert 300 <= one.lag_seconds < 400
    assert (found[quiet].level, found[quiet].open_issues) == ("healthy", 0)
    assert (found[empty].level, found[empty].connections) == (None, 0)


async def test_a_trip_that_never_came_back_is_left_out_everywhere(db: Database) -> None:
    tenant = uuid4()
    lost = await connect(db, tenant, "pending", account=None)
    async with db.tenant(tenant) as session:
        await open_issue(session, tenant, lost, "authorization_denied")
        assert await HEALTH.of_tenant(session, tenant) == []
        assert await HEALTH.of_connection(session, tenant, lost) is None
        assert await HEALTH.issues(session, tenant) == []
    async with db.console() as session:
        assert (await HEALTH.of_tenants(session, [tenant]))[tenant].connections == 0
        assert (await HEALTH.of_tenants(session, [tenant]))[tenant].open_issues == 0
        assert await across.causes(session) == []
        assert await across.count_open(session) == 0
        assert await across.affected(session, limit=10) == []
    came = await connect(db, tenant, "pending")
    async with db.tenant(tenant) as session:
        assert [one.row.id for one in await HEALTH.of_tenant(session, tenant)] == [came]


async def test_a_stream_that_a_failure_paused_fails_and_one_under_way_runs(db: Database) -> None:
    tenant, run = uuid4(), uuid4()
    connection = await connect(db, tenant)
    old = now() - timedelta(days=3)
    await stream(db, tenant, connection, failures=1, cause="forbidden", cause_since=old, paused_at=old)
    async with db.tenant(tenant) as session:
        await session.execute(
            insert(Run).values(
                tenant_id=tenant,
                id=run,
                connection_id=connection,
                stream="deals",
                mode="first",
                trigger="recipe",
                state="running",
            )
        )
    await stream(db, tenant, connection, "deals", last_success_at=None, created_at=old, run_id=run)
    async with db.tenant(tenant) as session:
        found = await HEALTH.of_connection(session, tenant, connection)
    assert found is not None
    assert found.health is not None
    assert (found.health.level, found.health.cause, found.health.stream) == (
        "failing",
        "forbidden",
        "contacts",
    )
    assert [one.running for one in found.row.facts.streams] == [False, True]


async def test_causes_count_tenants_once(db: Database) -> None:
    tenants = [uuid4() for _ in range(3)]
    for tenant in tenants:
        for _ in range(2):
            connection = await connect(db, tenant)
            async with db.tenant(tenant) as session:
                for _ in range(2):
                    await open_issue(session, tenant, connection, "bad_request")
    async with db.console() as session:
        (row,) = await across.causes(session)
        first = await across.affected(session, cause="bad_request", limit=4)
        rest = await across.affected(session, cause="bad_request", limit=4, offset=4)
    assert (row.tenants, row.connections, row.issues, row.times) == (3, 6, 6, 12)
    assert len({one.id for one in [*first, *rest]}) == 6
