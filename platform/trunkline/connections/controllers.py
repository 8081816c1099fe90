"""Connections over the API. The provider's callback is a page: `trunkline_ui.widget`."""

from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.schemas import ConfirmIn, ConnectionDetail, ConnectionList, ConnectionOut
from trunkline.connections.service import ConnectionService
from trunkline.health.arrival import arrivals
from trunkline.health.schemas import HealthOut
from trunkline.health.service import HealthService
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.sdk.registry import Connectors


class ConnectionController(Controller):
    path = "/v1/connections"
    tags = ("Connections",)
    dependencies = ONCE

    @get(**needs("connections:read"), summary="The tenant's connections, newest first")
    async def list_connections(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
    ) -> ConnectionList:
        async with db.tenant(tenant_id) as session:
            found = await connections.list(session, tenant_id)
            return ConnectionList([ConnectionOut.of(connection) for connection in found])

    @post(
        "/confirm",
        status_code=200,
        **needs("connect:write"),
        summary="Confirm a connection that the widget reported",
    )
    async def confirm(
        self,
        once: NamedDependency[Once],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        data: JSONBody[ConfirmIn],
    ) -> Response[ConnectionOut]:
        """`code` as the widget's `connected` event carried it: good once, for a little under ten minutes.

        Until this call a new connection is `pending` and nothing is read from the account; a reconnected one
        goes on with the access it had.
        """

        async def deed(session: AsyncSession) -> ConnectionOut:
            return ConnectionOut.of(await connections.confirm(session, tenant_id, data.code, principal))

        return await once(tenant_id, deed)

    @get("/{connection_id:uuid}", **needs("connections:read"), summary="One connection")
    async def get_connection(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
        health: NamedDependency[HealthService],
        connectors: NamedDependency[Connectors],
        connection_id: FromPath[UUID],
    ) -> ConnectionDetail:
        """With how each of its streams stands against its target, why, since when, and what is being done."""
        async with db.tenant(tenant_id) as session:
            found = ConnectionDetail.of(await connections.get(session, tenant_id, connection_id))
            judged = await health.of_connection(session, tenant_id, connection_id)
            manifest = next((one for one in connectors.all() if one.name == found.connector), None)
            arriving = await arrivals(session, tenant_id, {connection_id: manifest})
        if judged is None:
            return found
        parents = manifest.parents if manifest else {}
        shown = HealthOut.of(judged, now(), arriving[connection_id], parents)
        return msgspec.structs.replace(found, health=shown)

    @delete(
        "/{connection_id:uuid}",
        status_code=200,
        **needs("connections:write"),
        summary="Disconnect: revoke the grant, forget the tokens",
    )
    async def disconnect(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connection_id: FromPath[UUID],
    ) -> ConnectionOut:
        """Records and recipes stay; the connection can be reconnected to the same account."""
        async with db.tenant(tenant_id) as session:
            return ConnectionOut.of(
                await connections.disconnect(session, tenant_id, connection_id, principal)
            )
