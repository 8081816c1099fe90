"""What members do to a connection or a run: each a form, a message and a way back; never a dead end."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.audit.service import append
from trunkline.connections.cookies import flow_cookie
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.runs.schemas import RunView
from trunkline.runs.service import RunService
from trunkline.sdk.registry import Connectors
from trunkline.work.queue import WorkQueue
from trunkline_ui.portal.common import (
    Frame,
    as_id,
    connection_of,
    label_of,
    see_other,
    told,
    usable,
)
from trunkline_ui.portal.words import ASIDE
from trunkline_ui.rendering import Page, page

_BACK = told("/portal/connections/{connection_id}")


class Sync(msgspec.Struct):
    stream: str = ""


class SetAside(msgspec.Struct):
    """Empty: all. `record`: the provider's id, with its stream."""

    stream: str = ""
    recipe: str = ""
    record: str = ""


class Rename(msgspec.Struct):
    name: str = ""


class ConnectionActions(Controller):
    include_in_schema = False
    path = "/portal/connections/{connection_id:uuid}"
    exception_handlers = {ConflictError: _BACK, BadInputError: _BACK}  # noqa: RUF012  Litestar's way

    @post("/sync", status_code=303, opt={"can": "runs.start"})
    async def sync(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
        data: Annotated[Sync, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        stream = data.stream if usable(data.stream) else "-"
        async with db.tenant(tenant_id) as session:
            started = await runs.sync_now(session, tenant_id, connection_id, stream or None)
            if started:
                detail = {"stream": stream} if stream else {}
                await append(
                    session, principal, "connection.sync_requested", "connection", connection_id, detail
                )
        await work.wake()
        back = f"/portal/connections/{connection_id}"
        if not started:
            return see_other(settings, back, "There is nothing to sync yet. Set up a recipe first.", "info")
        return see_other(settings, back, "Sync started.")

    @get("/reread", opt={"can": "runs.start"})
    async def ask_reread(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        connection_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            context = await framed(session, "/portal")
        label = label_of(connectors, connection.spoken)
        context |= {"connection": connection, "label": label, "what": "reread"}
        return page("portal/confirm.html", context)

    @post("/reread", status_code=303, opt={"can": "runs.start"})
    async def reread(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            started = await runs.sync_now(session, tenant_id, connection_id, mode="full")
            if any(_reads_all(run) for run in started):
                await append(session, principal, "connection.reread_requested", "connection", connection_id)
        await work.wake()
        text, tone = _reread_words(started)
        return see_other(settings, f"/portal/connections/{connection_id}", text, tone)  # type: ignore[arg-type]

    @post("/set-aside/retry", status_code=303, opt={"can": "runs.start"})
    async def retry_set_aside(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
        data: Annotated[SetAside, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        recipe = as_id(data.recipe)
        if not all(map(usable, (data.stream, data.record))) or (data.recipe and recipe is None):
            raise NotFoundError
        async with db.tenant(tenant_id) as session:
            started = await runs.retry_set_aside(
                session,
                tenant_id,
                connection_id,
                stream=data.stream or None,
                recipe_id=recipe,
                external_id=data.record or None,
            )
            if started:
                given = {"stream": data.stream, "recipe_id": data.recipe, "external_id": data.record}
                detail = {name: value for name, value in given.items() if value}
                await append(session, principal, "record.retried", "connection", connection_id, detail)
        await work.wake()
        if not started:
            back = f"/portal/records?connection={connection_id}&show=quarantined"
            return see_other(settings, back, "Nothing of that kind is set aside any more.", "info")
        text = "Tried again with the recipe in force. What fits now flows; what does not stays set aside."
        return see_other(settings, f"/portal/runs/{started[0].id}", text)

    @post("/pause", status_code=303, opt={"can": "connections.manage"})
    async def pause(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            done = await connections.pause(session, tenant_id, connection_id, principal)
        text = f"{done.name} is paused. Nothing is read until somebody resumes it."
        return see_other(settings, f"/portal/connections/{connection_id}", text)

    @post("/resume", status_code=303, opt={"can": "connections.manage"})
    async def resume(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            done = await connections.resume(session, tenant_id, connection_id, principal)
        await work.wake()
        text = f"{done.name} is active again and goes on from where it stood."
        return see_other(settings, f"/portal/connections/{connection_id}", text)

    @post("/rename", status_code=303, opt={"can": "connections.manage"})
    async def rename(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connection_id: FromPath[UUID],
        data: Annotated[Rename, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            done = await connections.rename(session, tenant_id, connection_id, data.name, principal)
        return see_other(settings, f"/portal/connections/{connection_id}", f"Renamed to {done.name}.")

    @post("/reconnect", status_code=303, opt={"can": "connections.manage"})
    async def reconnect(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            known = await connection_of(connections, session, tenant_id, connection_id)
            begun = await connections.begin(
                session, tenant_id, principal, known.connector, via="portal", connection_id=connection_id
            )
        return see_other(settings, begun.url, cookies=(flow_cookie(begun, secure=settings.secure),))

    @get("/disconnect", opt={"can": "connections.manage"})
    async def ask_disconnect(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        connection_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            context = await framed(session, "/portal")
        label = label_of(connectors, connection.spoken)
        context |= {"connection": connection, "label": label, "what": "disconnect"}
        return page("portal/confirm.html", context)

    @post("/disconnect", status_code=303, opt={"can": "connections.manage"})
    async def disconnect(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            done = await connections.disconnect(session, tenant_id, connection_id, principal)
        text = f"{done.name} is disconnected. We hold no access any more; what was read before is kept."
        return see_other(settings, f"/portal/connections/{connection_id}", text)


class Back(msgspec.Struct):
    back: str = ""
    """`connection`: the form stood on the connection's page."""


class RunActions(Controller):
    include_in_schema = False
    exception_handlers = {ConflictError: told("/portal/runs/{run_id}")}  # noqa: RUF012  Litestar's way

    @post("/portal/runs/{run_id:uuid}/cancel", status_code=303, opt={"can": "runs.start"})
    async def cancel(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        run_id: FromPath[UUID],
        data: Annotated[Back, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            run = await runs.cancel_run(session, tenant_id, run_id, principal)
        after = "begins anew" if run.mode in ASIDE else "goes on from there"
        text = f"The run is cancelled. What it had done is kept; the next one {after}."
        return see_other(settings, _back_of(data, run), text)

    @post("/portal/runs/{run_id:uuid}/pause", status_code=303, opt={"can": "runs.start"})
    async def pause(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        run_id: FromPath[UUID],
        data: Annotated[Back, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            run = await runs.pause_run(session, tenant_id, run_id, principal)
        text = "Paused. It goes on from where it stands when somebody resumes it."
        return see_other(settings, _back_of(data, run), text)

    @post("/portal/runs/{run_id:uuid}/resume", status_code=303, opt={"can": "runs.start"})
    async def resume(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        run_id: FromPath[UUID],
        data: Annotated[Back, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            run = await runs.resume_run(session, tenant_id, run_id, principal)
        await work.wake()
        return see_other(settings, _back_of(data, run), "Resumed. It goes on from where it stood.")


def _back_of(data: Back, run: RunView) -> str:
    """Where the form stood: on the connection's page or on the run's."""
    return (
        f"/portal/connections/{run.connection_id}" if data.back == "connection" else f"/portal/runs/{run.id}"
    )


def _reads_all(run: RunView) -> bool:
    return run.mode in {"full", "first"}


def _reread_words(started: list[RunView]) -> tuple[str, str]:
    """A run under way keeps its own mode, so that asking may not have been enough."""
    if not started:
        return "There is nothing to read yet. Set up a recipe first.", "info"
    if all(_reads_all(run) for run in started):
        return "Everything is being read anew.", "success"
    return "A sync is under way. Start the full re-read when it has ended, or cancel it first.", "warning"
