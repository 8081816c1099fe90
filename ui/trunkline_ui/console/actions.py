"""What a staff administrator does to a customer's connection: only with a reason, which the customer sees."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.audit.service import LONGEST_REASON, append
from trunkline.health.service import ConnectionHealth, HealthService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.runs.service import RunService
from trunkline.work.queue import WorkQueue
from trunkline_ui.console.common import ACT, Frame
from trunkline_ui.portal.common import see_other, told
from trunkline_ui.rendering import Page, page


class Reason(msgspec.Struct):
    reason: str = ""


class ConnectionSync(Controller):
    include_in_schema = False
    path = "/console/tenants/{tenant:str}/connections/{connection_id:uuid}/sync"
    opt = ACT
    exception_handlers = {ConflictError: told("/console/tenants/{tenant}")}  # noqa: RUF012  Litestar's way

    @get()
    async def ask(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        health: NamedDependency[HealthService],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
    ) -> Page:
        return await _form(framed, db, health, tenant_id, tenant, connection_id)

    @post(status_code=303)
    async def start(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        runs: NamedDependency[RunService],
        work: NamedDependency[WorkQueue],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
        data: Annotated[Reason, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page | Response[None]:
        reason = data.reason.strip()
        error = unfit(reason)
        if error:
            return await _form(
                framed, db, health, tenant_id, tenant, connection_id, reason=reason, error=error
            )
        async with db.tenant(tenant_id) as session:
            started = await runs.sync_now(session, tenant_id, connection_id)
            if started:
                await append(
                    session,
                    principal,
                    "connection.sync_requested",
                    "connection",
                    connection_id,
                    reason=reason,
                    tenant_id=tenant_id,
                )
        await work.wake()
        back = f"/console/tenants/{tenant}"
        if not started:
            return see_other(
                settings, back, "There is nothing to sync: no stream of it is being read.", "info"
            )
        return see_other(settings, back, "Sync started. Your reason is in the tenant's activity.")


def unfit(reason: str) -> str:
    """What is wrong with a reason; empty if nothing is."""
    if not reason:
        return "Say why: the tenant sees it in its activity."
    if len(reason) > LONGEST_REASON:
        return f"A reason has {LONGEST_REASON} characters at most; this one has {len(reason)}."
    if not all(character.isprintable() or character in "\r\n\t" for character in reason):
        return "The reason has a character that cannot be shown. Type it anew."
    return ""


async def _form(
    framed: Frame,
    db: Database,
    health: HealthService,
    tenant_id: UUID,
    tenant: str,
    connection_id: UUID,
    *,
    reason: str = "",
    error: str = "",
) -> Page:
    async with db.console() as session:
        found: ConnectionHealth | None = await health.of_connection(session, tenant_id, connection_id)
        context = await framed(session, "/console")
    if found is None:
        raise NotFoundError
    context |= {
        "slug": tenant,
        "connection": found.row,
        "reason": reason,
        "error": error,
        "longest": LONGEST_REASON,
    }
    return page("console/sync.html", context, status=422 if error else 200)
