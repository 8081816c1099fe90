"""`/portal/issues`: what is wrong, what was wrong, and what helps."""

from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.deliveries import endpoint_repository
from trunkline.health.repository import IssueRow
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.resilience.failures import failure
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.common import Frame, stream_labels
from trunkline_ui.rendering import Page, page
from trunkline_ui.webhooks.words import certificate_notice

RESOLVED_SHOWN = 50


class IssueLine(msgspec.Struct, frozen=True, kw_only=True):
    issue: IssueRow
    connection: str
    stream: str
    sentence: str
    reconnect: bool
    owner: str


_OWNERS = {"us": "We are on it", "customer": "Needs you", "provider": "At the provider"}


class IssuePages(Controller):
    include_in_schema = False

    @get("/portal/issues")
    async def issues(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        health: NamedDependency[HealthService],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            still_open = await health.issues(session, tenant_id)
            every = await health.issues(session, tenant_id, still_open=False)
            known = {one.id: one for one in await connections.list(session, tenant_id)}
            troubled = await endpoint_repository.troubled(session, tenant_id)
            context = await framed(session, "/portal/issues")
        resolved = [issue for issue in every if issue.resolved_at is not None][:RESOLVED_SHOWN]
        context |= {
            "endpoints": [one for one in troubled if one.disabled_at or one.failing_since],
            "certificates": [
                (one, notice)
                for one in troubled
                if (notice := certificate_notice(one.certificate_ends, now()))
            ],
            "open_issues": [_line(issue, known, connectors) for issue in still_open],
            "resolved": [_line(issue, known, connectors) for issue in resolved],
        }
        return page("portal/issues.html", context, block="live")


def _line(issue: IssueRow, known: dict[UUID, Connection], connectors: Connectors) -> IssueLine:
    reason, connection = failure(issue.cause), known.get(issue.connection_id)
    labels = stream_labels(connectors, connection.spoken) if connection else {}
    return IssueLine(
        issue=issue,
        connection=connection.name if connection else "Connection",
        stream=labels.get(issue.stream, issue.stream) if issue.stream else "",
        sentence=reason.customer,
        reconnect=connection is not None and connection.state == "reconnect_required",
        owner=_OWNERS[reason.owner],
    )
