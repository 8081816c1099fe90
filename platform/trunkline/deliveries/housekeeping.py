"""By itself: forgetting after 30 days, recovering for every tenant, noticing changes of health and ends of
certificates.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from trunkline.deliveries import endpoint_repository, repository
from trunkline.deliveries.catalogue import CertificateData, HealthData, patterns_of
from trunkline.deliveries.outbox import PURGE_EVERY, emit
from trunkline.deliveries.schedule import certificate_notice, next_certificate_notice
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


def watch_certificate(db: Database) -> Handler:
    """Kind `watch_certificate`, key: the endpoint; from when it is given a certificate until that has ended.

    Of notices that came while nothing ran, or while the endpoint was disabled, only the last is given.
    """

    async def handle(lease: Lease) -> Outcome:
        tenant_id, endpoint_id, now = lease.tenant_id, UUID(lease.key), lease.now()
        outcome = Done()
        async with db.tenant(tenant_id) as session:
            view = await endpoint_repository.endpoint(session, tenant_id, endpoint_id)
            if view is not None and view.certificate_ends is not None:
                ends, subject = view.certificate_ends, view.certificate_subject or ""
                days = certificate_notice(ends, now)
                if (
                    days is not None
                    and view.disabled_at is None
                    and await endpoint_repository.note_certificate(session, tenant_id, endpoint_id, days)
                ):
                    left = max(timedelta(0), ends - now).days
                    data = CertificateData(
                        endpoint_id=endpoint_id, subject=subject, ends_at=ends, days_left=left
                    )
                    emit(session, tenant_id, "endpoint.certificate_expiring", data, subject=endpoint_id)
                outcome = Done(again_at=next_certificate_notice(ends, now))
            await lease.finish(session, outcome)
        return outcome

    return handle
