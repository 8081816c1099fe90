"""`/portal/runs/{id}`: everything about one run."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.recipes import repository as recipes_repository
from trunkline.runs import repository as runs_repository
from trunkline.runs.service import RunService
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.common import Frame, connection_of, label_of, stream_labels
from trunkline_ui.portal.words import LIMITS, MODES, TRIGGERS, aside_sentence, cause_sentence, progress
from trunkline_ui.rendering import Page, page


class RunPages(Controller):
    include_in_schema = False

    @get("/portal/runs/{run_id:uuid}")
    async def show(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        runs: NamedDependency[RunService],
        run_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            run = await runs.run(session, tenant_id, run_id)
            connection = await connection_of(connections, session, tenant_id, run.connection_id)
            used = await recipes_repository.as_of(
                session, tenant_id, run.connection_id, run.stream, run.started_at or run.created_at
            )
            asides = await runs_repository.aside_runs(session, tenant_id, run.connection_id)
            context = await framed(session, "/portal")
        label = label_of(connectors, connection.spoken)
        took = (run.finished_at - run.started_at) if run.finished_at and run.started_at else None
        context |= {
            "run": run,
            "connection": connection,
            "label": label,
            "stream": stream_labels(connectors, connection.spoken).get(run.stream, run.stream),
            "recipes": used,
            "took": took,
            "mode": MODES[run.mode],
            "trigger": TRIGGERS[run.trigger],
            "cause": cause_sentence(run.cause),
            "limited": run.cause in LIMITS,
            "progress": progress(run),
            "aside": aside_sentence(run, label) if run.id in {one.id for one in asides} else "",
        }
        return page("portal/run.html", context, block="live")
