"""`/portal/connect`: what can be connected, and setting out to the provider."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.connections.cookies import flow_cookie
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline_tenants.permissions import can
from trunkline_ui.portal.common import Frame, authorize_origins, see_other, told
from trunkline_ui.rendering import Page, page


class Start(msgspec.Struct):
    connector: str = ""


class ConnectPages(Controller):
    include_in_schema = False

    @get("/portal/connect")
    async def catalogue(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        endpoints: NamedDependency[Endpoints],
    ) -> Page:
        await connectors.refresh()
        offered = connectors.offered(tenant_id)
        async with db.tenant(tenant_id) as session:
            found = await connections.list(session, tenant_id)
            context = await framed(session, "/portal")
        context |= {
            "graded": {
                manifest.name: connectors.grade(manifest.name, manifest.version) for manifest in offered
            },
            "own_clients": can(principal, "oauth_clients.manage"),
            "manifests": sorted(offered, key=lambda one: one.label.casefold()),
            "present": {
                manifest.name: [
                    one for one in found if one.connector == manifest.name and one.state != "disconnected"
                ]
                for manifest in offered
            },
        }
        return page("portal/connect.html", context, form_targets=authorize_origins(endpoints, offered))

    @post(
        "/portal/connections/start",
        status_code=303,
        opt={"can": "connections.manage"},
        exception_handlers={ConflictError: told("/portal/connect"), NotFoundError: told("/portal/connect")},
    )
    async def start(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        data: Annotated[Start, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            begun = await connections.begin(session, tenant_id, principal, data.connector[:100], via="portal")
        return see_other(settings, begun.url, cookies=(flow_cookie(begun, secure=settings.secure),))
