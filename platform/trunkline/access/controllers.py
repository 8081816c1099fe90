"""Connect sessions over the API."""

from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from trunkline.access.schemas import ConnectSessionCreated, ConnectSessionIn, ConnectSessionOut
from trunkline.access.service import AccessService
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs


class ConnectSessionController(Controller):
    path = "/v1/connect-sessions"
    tags = ("Connect sessions",)
    dependencies = ONCE

    @post(**needs("connect:write"), summary="Let one of your users connect an account")
    async def create(
        self,
        once: NamedDependency[Once],
        access: NamedDependency[AccessService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        data: JSONBody[ConnectSessionIn],
    ) -> Response[ConnectSessionCreated]:
        """Hand the token to your page, which passes it to `Trunkline.open`: good once, for ten minutes."""
        return await once(tenant_id, lambda session: access.create(session, tenant_id, principal, data))

    @get("/{session_id:uuid}", **needs("connect:write"), summary="How far a connect session has come")
    async def status(
        self,
        db: NamedDependency[Database],
        access: NamedDependency[AccessService],
        tenant_id: NamedDependency[UUID],
        session_id: FromPath[UUID],
    ) -> ConnectSessionOut:
        async with db.tenant(tenant_id) as session:
            return await access.status(session, tenant_id, session_id)
