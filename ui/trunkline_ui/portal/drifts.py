"""`/portal/connections/{id}/drift/{stream}`: fields that changed at the provider, and accepting them."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.runs import repository
from trunkline.runs.drift_controllers import accept
from trunkline.runs.service import RunService
from trunkline.sdk.registry import Connectors
from trunkline.work.queue import WorkQueue
from trunkline_ui.portal.common import (
    Frame,
    connection_of,
    label_of,
    see_other,
    stream_labels,
    told,
    usable,
)
from trunkline_ui.rendering import Page, page


class DriftPages(Controller):
    include_in_schema = False
    path = "/portal/connections/{connection_id:uuid}/drift/{stream:str}"
    exception_handlers = {ConflictError: told("/portal/connections/{connection_id}")}  # noqa: RUF012  Litestar's way

    @get(opt={"can": "recipes.manage"})
    async def ask(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        stream: FromPath[str],
    ) -> Page:
        if not usable(stream):
            raise NotFoundError
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            streams = await runs.streams(session, tenant_id, connection_id)
            drift = (await repository.drifting(session, tenant_id, connection_id)).get(stream, [])
            context = await framed(session, "/portal")
        if stream not in {one.stream for one in streams}:
            raise NotFoundError
        context |= {
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "stream": stream,
            "stream_label": stream_labels(connectors, connection.spoken).get(stream, stream),
            "drift": drift,
        }
        return page("portal/drift.html", context)

    @post(status_code=303, opt={"can": "recipes.manage"})
    async def accept(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
        stream: FromPath[str],
    ) -> Response[None]:
        if not usable(stream):
            raise NotFoundError
        async with db.tenant(tenant_id) as session:
            await accept(session, runs, principal, tenant_id, connection_id, stream)
        await work.wake()
        text = "The change is accepted. What was held stays, and the stream goes on."
        return see_other(settings, f"/portal/connections/{connection_id}", text)
