"""`/portal`: every connection at a glance, and what needs somebody."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency

from trunkline.connections.service import ConnectionService
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.readers import repository as readers
from trunkline.runs import repository as runs_repository
from trunkline.sdk.own import CUSTOM
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.changes import DAYS, feed_lines, model_lines
from trunkline_ui.portal.common import AnyRequest, Frame, address, asked, label_of, see_other
from trunkline_ui.portal.words import Standing, standing
from trunkline_ui.rendering import Page, page

WORST_SHOWN = 3
"""Problems in the banner; the list of issues has the others."""
MANY = 12
"""Connections from which on they can be searched: about what a screen holds."""
_WORST_FIRST = ("reconnect_needed", "failing", "degraded", "delayed")


class ConnectionLine(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    label: str
    account: str
    state: str
    standing: Standing
    records: int
    last_success_at: datetime | None

    def bears(self, text: str) -> bool:
        """Whether its name, provider or account has that text in it."""
        return text.casefold() in f"{self.name}\n{self.label}\n{self.account}".casefold()


class OverviewPages(Controller):
    include_in_schema = False

    @get("/portal")
    async def overview(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        health: NamedDependency[HealthService],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            found = await connections.list(session, tenant_id)
            judged = {one.row.id: one for one in await health.of_tenant(session, tenant_id)}
            held = await runs_repository.held(session, tenant_id)
            days = await readers.days(session, tenant_id, DAYS)
            views = await readers.views(session, tenant_id)
            context = await framed(session, "/portal")
        lines = []
        for connection in found:
            one = judged.get(connection.id)
            label = label_of(connectors, connection.spoken)
            records, last = held.get(connection.id, (0, None))
            lines.append(
                ConnectionLine(
                    id=connection.id,
                    name=connection.name,
                    label=label,
                    account=connection.account_label or connection.account_id or "",
                    state=connection.state,
                    standing=standing(
                        connection.state,
                        connection.state_since,
                        one.health if one else None,
                        label,
                        asks=connection.connector != CUSTOM,
                    ),
                    records=records,
                    last_success_at=last,
                )
            )
        lines.sort(key=_rank)
        problems = [line for line in lines if line.standing.badge in _WORST_FIRST[:3]]
        moment, wanted = now(), asked(request, "q")
        context |= {
            "q": wanted,
            "total": len(lines),
            "here": address("/portal", q=wanted),
            "searched": len(lines) > MANY or bool(wanted),
            "models": model_lines(days, moment.date()),
            "days": DAYS,
            "feeds": feed_lines(views, moment),
            "lines": [line for line in lines if line.bears(wanted)],
            "problems": problems[:WORST_SHOWN],
            "more_problems": len(problems) - WORST_SHOWN,
        }
        return page("portal/overview.html", context, block="live")

    @get("/portal/connections")
    async def connections(self, settings: NamedDependency[Settings]) -> Response[None]:
        return see_other(settings, "/portal")


def _rank(line: ConnectionLine) -> int:
    """Worst first, disconnected last; otherwise the order stays."""
    if line.state == "disconnected":
        return len(_WORST_FIRST) + 1
    badge = line.standing.badge
    return _WORST_FIRST.index(badge) if badge in _WORST_FIRST else len(_WORST_FIRST)
