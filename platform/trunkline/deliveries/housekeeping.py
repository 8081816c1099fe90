"""By itself: forgetting after 30 days, recovering for every tenant, noticing changes of health."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from trunkline.deliveries import endpoint_repository, repository
from trunkline.deliveries.catalogue import HealthData, patterns_of
from trunkline.deliveries.outbox import PURGE_EVERY, emit
from trunkline.health.service import HealthService
from trunkline.kernel.db import Database
from trunkline.vault import repository as tenants
from trunkline.work.lease import Done, Handler, Lease, Outcome

KEPT = timedelta(days=30)
WATCH_EVERY = timedelta(seconds=30)

Recover = Callable[[UUID, UUID, datetime, bool], Awaitable[int]]
"""(tenant, endpoint, since, missing too): one tenant's, in a transaction of its own."""


def purge_deliveries(db: Database) -> Handler:
    """Kind `purge_deliveries`: once a day, while a tenant has events."""

    async def handle(lease: Lease) -> Outcome:
        now = lease.now()
        async with db.tenant(lease.tenant_id) as session:
            left = await repository.purge(session, lease.tenant_id, now - KEPT)
            outcome = Done(again_at=now + PURGE_EVERY if left else None)
            await lease.finish(session, outcome)
        return outcome

    return handle


def recover_everywhere(db: Database, recover: Recover) -> Handler:
    """Kind `recover_deliveries`, the installation's: an endpoint of every tenant, one tenant after another.

    Begun again it does nothing twice: what is on its way already is neither failed nor missing.
    """

    async def handle(lease: Lease) -> Outcome:
        endpoint_id, since = UUID(lease.key), datetime.fromisoformat(lease.args["since"])
        async with db.system() as system:
            every = await tenants.tenants(system)
        for tenant_id in (lease.tenant_id, *(found for found, _ in every)):
            await recover(tenant_id, endpoint_id, since, bool(lease.args["missing"]))
        return Done()

    return handle


def watch_health(db: Database, health: HealthService) -> Handler:
    """Kind `watch_health`: compares how each connection stands with what was told last, and tells.

    Health is judged from facts and the clock, so no single transaction makes it: it is looked at after each
    event of a connection and every half minute, as long as somebody asks for `health.changed`. Each change
    that lasts that long is told of once: the level and the event commit together.
    """
    wanted = set(patterns_of("health.changed"))

    async def handle(lease: Lease) -> Outcome:
        tenant_id = lease.tenant_id
        async with db.tenant(tenant_id) as session:
            asking = await endpoint_repository.asking(session, tenant_id)
            outcome = Done()
            if any(wanted & set(one.types) for one in asking):
                told = await repository.levels(session, tenant_id)
                for one in await health.of_tenant(session, tenant_id):
                    level = one.health.level if one.health is not None else one.row.facts.state
                    before = told.get(one.row.id)
                    if level == before:
                        continue
                    await repository.put_level(session, tenant_id, one.row.id, level)
                    if before is None and level == "healthy":
                        continue
                    data = HealthData(
                        connection_id=one.row.id,
                        level=level,
                        before=before,
                        cause=one.health.cause if one.health else one.row.facts.cause,
                        since=one.health.since if one.health else one.row.facts.state_since,
                    )
                    emit(session, tenant_id, "health.changed", data, subject=one.row.id)
                outcome = Done(again_at=lease.now() + WATCH_EVERY)
            await lease.finish(session, outcome)
        return outcome

    return handle
