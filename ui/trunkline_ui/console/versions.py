"""`/console/tenants/{tenant}/connections/{id}/version`: moving a connection between versions, by hand."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.packages.moving import Mover
from trunkline_ui.console.actions import unfit
from trunkline_ui.console.common import Frame
from trunkline_ui.console.packages import MANAGE
from trunkline_ui.portal.common import see_other
from trunkline_ui.rendering import Page, page


class Move(msgspec.Struct):
    version: str = ""
    reason: str = ""


class ConnectionVersion(Controller):
    include_in_schema = False
    path = "/console/tenants/{tenant:str}/connections/{connection_id:uuid}/version"
    opt = MANAGE

    @get()
    async def show(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        moves: NamedDependency[Mover],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
    ) -> Page:
        context = await _shown(framed, db, moves, tenant_id, tenant, connection_id, Move(), {})
        return page("console/version.html", context)

    @post(status_code=303)
    async def move(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        moves: NamedDependency[Mover],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
        data: Annotated[Move, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None] | Page:
        reason, errors = data.reason.strip(), {}
        if words := unfit(reason):
            errors["reason"] = words
        else:
            try:
                done = await moves.move(principal, tenant_id, connection_id, data.version, reason)
            except (BadInputError, ConflictError) as error:
                errors[error.field or "version"] = error.message
            else:
                text = f"It speaks {done.version} now, and everything is read anew."
                if done.reconnect:
                    text = f"It speaks {done.version} now. The customer must give access once more."
                return see_other(settings, f"/console/tenants/{tenant}", text)
        context = await _shown(framed, db, moves, tenant_id, tenant, connection_id, data, errors)
        return page("console/version.html", context, status=422)


async def _shown(
    framed: Frame,
    db: Database,
    moves: Mover,
    tenant_id: UUID,
    tenant: str,
    connection_id: UUID,
    form: Move,
    errors: dict[str, str],
) -> dict[str, Any]:
    found = await moves.steps(tenant_id, connection_id)
    async with db.console() as session:
        context = await framed(session, "/console")
    return context | {
        "slug": tenant,
        "here": f"/console/tenants/{tenant}/connections/{connection_id}/version",
        "connection": found.connection,
        "manifest": found.manifest,
        "steps": found.steps,
        "choices": [
            (one.version, f"{found.manifest.label} {one.version}") for one in found.steps if not one.refusal
        ],
        "form": form,
        "errors": errors,
    }
