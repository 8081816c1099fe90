"""Connect sessions over the API."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from trunkline.access.schemas import ConnectSessionCreated, ConnectSessionIn, ConnectSessionOut
from trunkline.access.service import AccessService
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal


class ConnectSessionController(Controller):
    path = "/v1/connect-sessions"
    tags = ("Connect sessions",)

    @post(summary="Let one of your users connect an account")
    async def create(
        self,
        db: NamedDependency[Database],
        access: NamedDependency[AccessService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        data: JSONBody[ConnectSessionIn],
    ) -> ConnectSessionCreated:
        """Hand the token to your page, which passes it to `Trunkline.open`: good once, for ten minutes."""
        async with db.tenant(tenant_id) as session:
            return await access.create(session, tenant_id, principal, data)

    @get("/{session_id:uuid}", summary="How far a connect session has come")
    async def status(
        self,
        db: NamedDependency[Database],
        access: NamedDependency[AccessService],
        tenant_id: NamedDependency[UUID],
        session_id: FromPath[UUID],
    ) -> ConnectSessionOut:
        async with db.tenant(tenant_id) as session:
            return await access.status(session, tenant_id, session_id)
