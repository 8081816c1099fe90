"""What was written through a connection: shown on its page, tried again, decided, allowed."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.actions.schemas import ActionCallView
from trunkline.actions.service import ActionService
from trunkline.connections.cookies import flow_cookie
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest
from trunkline.work.queue import WorkQueue
from trunkline_ui.portal.common import connection_of, see_other, told

_BACK = told("/portal/connections/{connection_id}")
STATES = {
    "queued": ("Waiting", "info", "clock"),
    "sending": ("Being written", "info", "refresh"),
    "checking": ("Being looked up", "info", "search"),
    "done": ("Written", "success", "check"),
    "partial": ("Partly written", "warning", "alert"),
    "failed": ("Not written", "danger", "alert"),
    "unknown": ("Your decision", "warning", "alert"),
}
"""State -> word, tone, icon."""


class CallLine(msgspec.Struct, frozen=True):
    """A call as it is listed."""

    call: ActionCallView
    title: str
    word: str
    tone: str
    icon: str
    sentence: str
    """Why it waits or failed, and which fields are at fault."""


class Decide(msgspec.Struct):
    outcome: str = ""


def lines(manifest: Manifest | None, calls: list[ActionCallView]) -> list[CallLine]:
    titles = {one.name: one.title for one in manifest.actions} if manifest else {}
    return [
        CallLine(one, titles.get(one.action, one.action), *STATES[one.state], _sentence(one)) for one in calls
    ]


def _sentence(call: ActionCallView) -> str:
    if call.state in {"done", "sending"}:
        return ""
    blamed = {
        one.field.removeprefix("fields."): f" ({one.code})" if one.code else ""
        for one in call.results
        if one.field
    }
    if blamed:
        return f"Not accepted: {', '.join(field + code for field, code in blamed.items())}."
    return call.message or ""


class ActionCallDeeds(Controller):
    include_in_schema = False
    path = "/portal/connections/{connection_id:uuid}/calls"
    exception_handlers = {ConflictError: _BACK, BadInputError: _BACK}  # noqa: RUF012  Litestar's way

    @post("/{call_id:uuid}/retry", status_code=303, opt={"can": "runs.start"})
    async def retry(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        actions: NamedDependency[ActionService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
        call_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            if (await actions.call(session, tenant_id, call_id)).connection_id != connection_id:
                raise NotFoundError
            try:
                await actions.retry(session, tenant_id, principal, call_id)
            except ForbiddenError as error:  # a permission at the provider, not one of the reader's
                raise ConflictError(error.message) from error
        await work.wake()
        return see_other(settings, f"/portal/connections/{connection_id}", "It is tried again.")

    @post("/{call_id:uuid}/decide", status_code=303, opt={"can": "reviews.decide"})
    async def decide(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        actions: NamedDependency[ActionService],
        connection_id: FromPath[UUID],
        call_id: FromPath[UUID],
        data: Annotated[Decide, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            if (await actions.call(session, tenant_id, call_id)).connection_id != connection_id:
                raise NotFoundError
            if data.outcome not in {"written", "not_written"}:
                raise BadInputError("Say whether it was written.", field="outcome")
            await actions.decide(session, tenant_id, principal, call_id, data.outcome)  # type: ignore[arg-type]
        text = "Noted that it was written."
        if data.outcome == "not_written":
            text = "Noted that it was not written. You can have it tried again."
        return see_other(settings, f"/portal/connections/{connection_id}", text)

    @post("/allow", status_code=303, opt={"can": "connections.manage"})
    async def allow(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        """A reconnect that asks for the permissions of actions too."""
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            begun = await connections.begin(
                session,
                tenant_id,
                principal,
                connection.connector,
                connection_id=connection_id,
                actions=None,
            )
        return see_other(settings, begun.url, cookies=(flow_cookie(begun, secure=settings.secure),))
