"""`/console/tenants/{tenant}`: one tenant, read-only: nothing of its records, nobody's name."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.health import across
from trunkline.health.arrival import arrivals
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.readers import repository as readers
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.repository import registered
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import UnknownTenantError
from trunkline_tenants.permissions import can
from trunkline_ui.console.common import Frame
from trunkline_ui.console.tenant_view import (
    connection_panel,
    issue_line,
    labels_of,
    reader_line,
    run_line,
    severity,
    work_line,
)
from trunkline_ui.portal.common import label_of, stream_labels
from trunkline_ui.portal.words import MODES, TRIGGERS
from trunkline_ui.rendering import Page, page

RUNS_SHOWN = 12
ISSUES_SHOWN = 100
WORK_SHOWN = 50


class TenantPages(Controller):
    include_in_schema = False

    @get("/console/tenants/{tenant:str}")
    async def show(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        connectors: NamedDependency[Connectors],
        health: NamedDependency[HealthService],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
    ) -> Page:
        known = await directory.tenant_by_slug(tenant)
        if known is None:
            raise UnknownTenantError
        async with db.console() as session:
            found = await health.of_tenant(session, tenant_id, disconnected=True)
            known_as = {one.name: one for one in connectors.all()}
            arriving = await arrivals(
                session, tenant_id, {one.row.id: known_as.get(one.row.connector) for one in found}
            )
            addresses = await registered(session, tenant_id)
            issues = await across.affected(session, tenant_id=tenant_id, limit=ISSUES_SHOWN)
            runs = await across.last_runs(session, tenant_id, limit=RUNS_SHOWN)
            work = await across.pending_work(session, tenant_id, limit=WORK_SHOWN)
            reading = await readers.views(session, tenant_id)
            context = await framed(session, "/console")
        streams = {name: stream_labels(connectors, name) for name in {one.row.connector for one in found}}
        labels, moment = labels_of(found, streams), now()
        context |= {
            "tenant": known,
            "here": f"/console/tenants/{known.slug}",
            "panels": [
                connection_panel(
                    one,
                    label_of(connectors, one.row.connector),
                    streams[one.row.connector],
                    known_as[one.row.connector].parents if one.row.connector in known_as else {},
                    moment,
                )
                for one in sorted(found, key=severity)
            ],
            "arriving": arriving,
            "addresses": addresses,
            "movable": {one.row.id for one in found if connectors.is_partners(one.row.connector)}
            if can(principal, "packages.manage")
            else set(),
            "issues": [issue_line(row, streams.get(row.connector, {})) for row in issues],
            "runs": [run_line(row, labels) for row in runs if row.connection_id in labels],
            "readers": [reader_line(row, moment) for row in reading],
            "work": [work_line(row, labels, moment) for row in work.rows],
            "work_count": work.count,
            "most_work": across.MOST_WORK,
            "modes": MODES,
            "triggers": TRIGGERS,
        }
        return page("console/tenant.html", context, block="live")
