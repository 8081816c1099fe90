"""`/portal/connections/{id}`: how it stands, what it is doing now, its recipes, its runs."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.service import ConnectionService
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.recipes.service import RecipeService
from trunkline.runs import repository as runs_repository
from trunkline.runs.service import RunService
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.common import (
    AnyRequest,
    address,
    asked,
    authorize_origins,
    connection_of,
    frame,
    label_of,
    moment_cursor,
    pages,
    read_moment_cursor,
    stream_labels,
)
from trunkline_ui.portal.words import MODES, TRIGGERS, standing, stream_panel
from trunkline_ui.rendering import Page, page

RUNS_SHOWN = 10
WHILE_RUNNING = 2
"""Seconds between updates."""
WHILE_IDLE = 12


class ConnectionPages(Controller):
    include_in_schema = False

    @get("/portal/connections/{connection_id:uuid}")
    async def show(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        endpoints: NamedDependency[Endpoints],
        health: NamedDependency[HealthService],
        recipes: NamedDependency[RecipeService],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
    ) -> Page:
        before, after = (read_moment_cursor(asked(request, name)) for name in ("after", "before"))
        path = f"/portal/connections/{connection_id}"
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            judged = await health.of_connection(session, tenant_id, connection_id)
            streams = await runs.streams(session, tenant_id, connection_id)
            active = {
                run.stream: run
                for run in await runs_repository.active_runs(session, tenant_id, connection_id)
            }
            history, previous, following = pages(
                path,
                await runs_repository.runs(
                    session, tenant_id, connection_id, before=before, after=after, limit=RUNS_SHOWN + 1
                ),
                RUNS_SHOWN,
                lambda run: moment_cursor(run.created_at, run.id),
                {},
                at_start=before is None,
                back=after is not None,
            )
            made = await recipes.of_connection(session, tenant_id, connection_id)
            counts = await runs.counts(session, tenant_id, connection_id)
            context = await frame(request, session, tenant_id, principal, health, "/portal")
        label, moment = label_of(connectors, connection.connector), now()
        labels = stream_labels(connectors, connection.connector)
        context |= {
            "path": path,
            "here": address(path, after=asked(request, "after"), before=asked(request, "before")),
            "connection": connection,
            "label": label,
            "labels": labels,
            "standing": standing(
                connection.state,
                connection.state_since,
                judged.health if judged else None,
                label,
                streams,
                [labels.get(name, name) for name in active],
            ),
            "panels": [
                stream_panel(
                    one,
                    active.get(one.stream),
                    labels.get(one.stream, one.stream),
                    label,
                    connection.state,
                    moment,
                )
                for one in streams
            ],
            "every": WHILE_RUNNING if active else WHILE_IDLE,
            "recipes": made,
            "counts": counts,
            "history": history,
            "previous": previous,
            "following": following,
            "modes": MODES,
            "triggers": TRIGGERS,
        }
        return page(
            "portal/connection.html",
            context,
            block=("live", "history"),
            form_targets=authorize_origins(endpoints, connectors),
        )
