"""`/portal/systems`: addresses at which a customer's own systems deliver events; what they sent is kept.

A secret stands in the answer to the form that made it and nowhere else: no redirect could carry it.
"""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.health.service import HealthService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.webhooks import replay_repository
from trunkline.webhooks.replay_repository import Wanted
from trunkline.webhooks.replays import ReplayService
from trunkline.webhooks.service import EndpointService
from trunkline_ui.portal.common import AnyRequest, frame, see_other, told, usable
from trunkline_ui.rendering import Page, page

HOME = "/portal/systems"
SHOWN = 50

SAMPLE = """\
secret=… # without its beginning, whsec_
url={url}
id=msg_$(date +%s%N)
at=$(date +%s)
body='{{"type": "order.paid", "timestamp": "2026-01-31T09:30:00Z", "data": {{"id": "1001"}}}}'
key=$(printf %s "$secret" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$(printf '%s.%s.%s' "$id" "$at" "$body" \\
  | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
curl --fail-with-body "$url" \\
  -H 'content-type: application/json' \\
  -H "webhook-id: $id" -H "webhook-timestamp: $at" -H "webhook-signature: v1,$signature" \\
  --data-binary "$body"
"""
"""For a POSIX shell with OpenSSL and curl; signs as Standard Webhooks has it."""


class Named(msgspec.Struct):
    name: str = ""


Form = Annotated[Named, Body(media_type=RequestEncodingType.URL_ENCODED)]


class SystemPages(Controller):
    include_in_schema = False
    path = HOME
    opt = {"can": "webhooks.manage"}  # noqa: RUF012  Litestar's way
    exception_handlers = {ConflictError: told(HOME)}  # noqa: RUF012

    @get()
    async def browse(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        hooks: NamedDependency[EndpointService],
    ) -> Page:
        return await _list(request, db, tenant_id, principal, health, hooks)

    @post(status_code=200)
    async def make(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        hooks: NamedDependency[EndpointService],
        data: Form,
    ) -> Page:
        try:
            async with db.tenant(tenant_id) as session:
                name = data.name if usable(data.name) else ""
                view, secret = await hooks.make_custom(session, tenant_id, name, principal)
                context = await frame(request, session, tenant_id, principal, health, HOME)
        except BadInputError as error:
            return await _list(request, db, tenant_id, principal, health, hooks, data.name, error.message)
        text = "The address is made."
        return page("portal/system_secret.html", context | {"one": view, "secret": secret, "text": text})

    @get("/{system_id:uuid}")
    async def show(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        hooks: NamedDependency[EndpointService],
        replays: NamedDependency[ReplayService],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            view = await hooks.custom(session, tenant_id, system_id)
            events = await replay_repository.events(
                session, tenant_id, connection_id=system_id, wanted=Wanted(), limit=SHOWN
            )
            last = await replays.open(session, tenant_id, events[0].id) if events else None
            context = await frame(request, session, tenant_id, principal, health, HOME)
        context |= {
            "one": view,
            "events": events,
            "last": last,
            "home": f"{HOME}/{system_id}",
            "sample": SAMPLE.format(url=view.url),
            "shown": SHOWN,
        }
        return page("portal/system.html", context)

    @post("/{system_id:uuid}/rotate", status_code=200)
    async def rotate(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        hooks: NamedDependency[EndpointService],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            secret = await hooks.rotate_secret(session, tenant_id, system_id, principal)
            view = await hooks.custom(session, tenant_id, system_id)
            context = await frame(request, session, tenant_id, principal, health, HOME)
        text = "The secret is changed. What the one before signs counts for a day more."
        return page("portal/system_secret.html", context | {"one": view, "secret": secret, "text": text})

    @get("/{system_id:uuid}/remove")
    async def ask_remove(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        health: NamedDependency[HealthService],
        hooks: NamedDependency[EndpointService],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            view = await hooks.custom(session, tenant_id, system_id)
            context = await frame(request, session, tenant_id, principal, health, HOME)
        return page("portal/system_remove.html", context | {"one": view, "home": f"{HOME}/{system_id}"})

    @post("/{system_id:uuid}/remove", status_code=303)
    async def remove(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        hooks: NamedDependency[EndpointService],
        system_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await hooks.remove(session, tenant_id, system_id, principal)
        return see_other(settings, HOME, "The address is removed; nothing is taken there any more.")


async def _list(
    request: AnyRequest,
    db: Database,
    tenant_id: UUID,
    principal: Principal,
    health: HealthService,
    hooks: EndpointService,
    name: str = "",
    error: str = "",
) -> Page:
    async with db.tenant(tenant_id) as session:
        systems = await hooks.customs(session, tenant_id)
        context = await frame(request, session, tenant_id, principal, health, HOME)
    given = name if usable(name) else ""
    context |= {"systems": systems, "name": given, "error": error}
    return page("portal/systems.html", context, status=422 if error else 200)
