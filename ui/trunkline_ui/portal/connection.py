"""`/portal/connections/{id}`: how it stands, what it is doing now, its recipes, its runs."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.actions import repository as calls_repository
from trunkline.actions.service import ActionService
from trunkline.connections.service import ConnectionService
from trunkline.health.arrival import arrivals
from trunkline.health.lines import stream_lines
from trunkline.health.service import HealthService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.recipes.service import RecipeService
from trunkline.reviews import repository as reviews_repository
from trunkline.runs import repository as runs_repository
from trunkline.runs.service import RunService
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.service import EndpointService
from trunkline_ui.portal.action_calls import lines
from trunkline_ui.portal.common import (
    AnyRequest,
    Frame,
    address,
    asked,
    authorize_origins,
    connection_of,
    label_of,
    manifest_of,
    moment_cursor,
    pages,
    read_moment_cursor,
    stream_labels,
)
from trunkline_ui.portal.freshness import fresh_line, judged_panel, targets
from trunkline_ui.portal.hooks import telling_of
from trunkline_ui.portal.words import MODES, TRIGGERS, standing, stream_panel
from trunkline_ui.rendering import Page, page

RUNS_SHOWN = 10
CALLS_SHOWN = 5
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
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        endpoints: NamedDependency[Endpoints],
        health: NamedDependency[HealthService],
        recipes: NamedDependency[RecipeService],
        runs: NamedDependency[RunService],
        hooks: NamedDependency[EndpointService],
        actions: NamedDependency[ActionService],
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
            asides = await runs_repository.aside_runs(session, tenant_id, connection_id)
            drift = await runs_repository.drifting(session, tenant_id, connection_id)
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
            manifest = manifest_of(connectors, connection.spoken)
            arriving = await arrivals(session, tenant_id, {connection_id: manifest})
            counts = await runs.counts(session, tenant_id, connection_id)
            waiting = await reviews_repository.reviews(
                session, tenant_id, connection_id=connection_id, state="open"
            )
            telling = await telling_of(session, hooks, manifest, connection)
            calls = await calls_repository.calls(
                session, tenant_id, connection_id=connection_id, limit=CALLS_SHOWN
            )
            undecided = await calls_repository.calls(
                session, tenant_id, connection_id=connection_id, state="unknown", limit=CALLS_SHOWN
            )
            offered = await actions.offered(session, tenant_id, connection_id)
            context = await framed(session, "/portal")
        label, moment = label_of(connectors, connection.spoken), now()
        asks = manifest is None or manifest.asks
        labels = stream_labels(connectors, connection.spoken)
        facts = judged.row.facts if judged else None
        fresh = stream_lines(facts, manifest.parents if manifest else {}, moment) if facts else {}
        context |= {
            "telling": telling,
            "asks": asks,
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
                [labels.get(name, name) for name, run in active.items() if run.state != "waiting"],
                asks=asks,
                mapped=asks or bool(made),
                moment=moment,
            ),
            "panels": [
                judged_panel(
                    stream_panel(
                        one,
                        active.get(one.stream),
                        labels.get(one.stream, one.stream),
                        label,
                        connection.state,
                        moment,
                        asides=[run for run in asides if run.stream == one.stream],
                        drift=drift.get(one.stream, ()),
                    ),
                    fresh.get(one.stream),
                )
                for one in streams
            ],
            "fresh": {name: fresh_line(one, labels) for name, one in fresh.items()},
            "arriving": arriving[connection_id],
            "schedules": {one.stream: one.schedule_seconds for one in streams},
            "targets": targets(streams, labels, manifest),
            "every": WHILE_RUNNING if active or asides else WHILE_IDLE,
            "offered": offered,
            "lacking": any(one.missing_scopes for one in offered),
            "calls": lines(manifest, [*undecided, *(one for one in calls if one.state != "unknown")]),
            "recipes": made,
            "suggested": manifest.recipes
            if manifest and asks and not made and connection.state == "active" and context["may"]["recipes"]
            else (),
            "counts": counts,
            "reviews": waiting,
            "history": history,
            "previous": previous,
            "following": following,
            "modes": MODES,
            "triggers": TRIGGERS,
        }
        return page(
            "portal/connection.html",
            context,
            block=("live", "written", "history", "hook"),
            form_targets=authorize_origins(endpoints, () if manifest is None else (manifest,)),
        )
