"""Connections over the API. The provider's callback is a page: `trunkline_ui.widget`."""

from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from trunkline.connections.schemas import ConfirmIn, ConnectionList, ConnectionOut
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal


class ConnectionController(Controller):
    path = "/v1/connections"
    tags = ("Connections",)

    @get(summary="The tenant's connections, newest first")
    async def list_connections(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
    ) -> ConnectionList:
        async with db.tenant(tenant_id) as session:
            found = await connections.list(session, tenant_id)
            return ConnectionList([ConnectionOut.of(connection) for connection in found])

    @post("/confirm", status_code=200, summary="Confirm a connection that the widget reported")
    async def confirm(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        data: JSONBody[ConfirmIn],
    ) -> ConnectionOut:
        """`code` as the widget's `connected` event carried it: good once, for ten minutes.

        Until this call the connection is `pending` and nothing is read from the account.
        """
        async with db.tenant(tenant_id) as session:
            connection = await connections.confirm(session, tenant_id, data.code, principal)
            return ConnectionOut.of(connection)

    @get("/{connection_id:uuid}", summary="One connection")
    async def get_connection(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        tenant_id: NamedDependency[UUID],
        connection_id: FromPath[UUID],
    ) -> ConnectionOut:
        async with db.tenant(tenant_id) as session:
            return ConnectionOut.of(await connections.get(session, tenant_id, connection_id))

    @delete(
        "/{connection_id:uuid}", status_code=200, summary="Disconnect: revoke the grant, forget the tokens"
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
