"""What providers sent a tenant, without what it was about; and having it processed again, with a reason.

Staff see counts, types and outcomes. What an event says and a replay would change, only its tenant sees.
"""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.health.service import ConnectionHealth, HealthService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.webhooks import replay_repository as repository
from trunkline.webhooks.replays import ReplayService
from trunkline_tenants.directory import Directory
from trunkline_tenants.permissions import can
from trunkline_ui.console.actions import unfit
from trunkline_ui.console.common import ACT, Frame
from trunkline_ui.portal.common import AnyRequest, address, asked, asked_id, see_other, told
from trunkline_ui.portal.events import OUTCOMES, SHOWN, STATES, TONES, wanted_of
from trunkline_ui.rendering import Page, page


class ReplayIn(msgspec.Struct):
    standing: str = ""
    q: str = ""
    reason: str = ""


class ConsoleEvents(Controller):
    include_in_schema = False
    path = "/console/tenants/{tenant:str}/connections/{connection_id:uuid}/events"
    exception_handlers = {  # noqa: RUF012  Litestar's way
        ConflictError: told("/console/tenants/{tenant}/connections/{connection_id}/events"),
        BadInputError: told("/console/tenants/{tenant}/connections/{connection_id}/events"),
    }

    @get()
    async def events(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        directory: NamedDependency[Directory],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
    ) -> Page:
        chosen = {"standing": asked(request, "standing"), "q": asked(request, "q")}
        before = asked_id(request, "after")
        async with db.console() as session:
            found: ConnectionHealth | None = await health.of_connection(session, tenant_id, connection_id)
            if found is None:
                raise NotFoundError
            events = await repository.outlines(
                session,
                tenant_id,
                connection_id,
                wanted=wanted_of(chosen["standing"], chosen["q"]),
                before=before,
                limit=SHOWN + 1,
            )
            refused = await repository.refused(session, tenant_id)
            context = await framed(session, "/console")
        home = f"/console/tenants/{tenant}/connections/{connection_id}/events"
        known = await directory.tenant(tenant_id)
        context |= {
            "slug": tenant,
            "tenant_name": known.name if known else tenant,
            "may_act": can(principal, "console.act"),
            "connection": found.row,
            "events": events[:SHOWN],
            "refused": refused,
            "chosen": chosen,
            "states": STATES,
            "tones": TONES,
            "following": address(home, **chosen, after=events[SHOWN - 1].id) if len(events) > SHOWN else "",
            "first": address(home, **chosen) if before else "",
            "home": home,
        }
        return page("console/events.html", context)

    @post(status_code=303, opt=ACT)
    async def plan(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        connection_id: FromPath[UUID],
        data: Annotated[ReplayIn, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        if wrong := unfit(data.reason.strip()):
            raise BadInputError(wrong, field="reason")
        async with db.tenant(tenant_id) as session:
            replay_id = await replays.plan(
                session,
                tenant_id,
                connection_id,
                wanted_of(data.standing, data.q),
                principal,
                reason=data.reason,
            )
        return see_other(settings, f"/console/tenants/{tenant}/replays/{replay_id}")


class ConsoleReplays(Controller):
    include_in_schema = False
    path = "/console/tenants/{tenant:str}/replays/{replay_id:uuid}"
    exception_handlers = {  # noqa: RUF012  Litestar's way
        ConflictError: told("/console/tenants/{tenant}/replays/{replay_id}")
    }

    @get()
    async def show(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        replay_id: FromPath[UUID],
    ) -> Page:
        async with db.console() as session:
            found = await repository.replay_outline(session, tenant_id, replay_id)
            if found is None:
                raise NotFoundError
            outcomes = await repository.progress(session, tenant_id, replay_id)
            context = await framed(session, "/console")
        known = await directory.tenant(tenant_id)
        context |= {
            "slug": tenant,
            "tenant_name": known.name if known else tenant,
            "replay": found,
            "made": outcomes,
            "done": sum(outcomes.values()),
            "outcomes": OUTCOMES,
            "may_act": can(principal, "console.act"),
            "here": f"/console/tenants/{tenant}/replays/{replay_id}",
        }
        return page("console/replay.html", context, block="live")

    @post("/start", status_code=303, opt=ACT)
    async def start(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        replay_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await replays.start(session, tenant_id, replay_id, principal)
        return see_other(settings, f"/console/tenants/{tenant}/replays/{replay_id}", "Replay started.")

    @post("/cancel", status_code=303, opt=ACT)
    async def cancel(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
        replay_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await replays.cancel(session, tenant_id, replay_id, principal)
        return see_other(
            settings, f"/console/tenants/{tenant}/replays/{replay_id}", "Replay cancelled.", "info"
        )
