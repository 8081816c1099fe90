"""What a connection's life means for its webhooks (`trunkline.connections.events`)."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel.principal import Principal
from trunkline.webhooks import repository
from trunkline.webhooks.service import EndpointService
from trunkline.work.queue import WorkQueue


class HookEvents:
    """Called inside the transaction of the change."""

    def __init__(self, endpoints: EndpointService, work: WorkQueue) -> None:
        self._endpoints = endpoints
        self._work = work

    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None:
        del suggested, principal
        await self._endpoints.make_for_connection(
            session, connection.tenant_id, connection.id, connection.spoken
        )
        await self._wake(session, connection)
        await self._register(session, connection)

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None:
        """Also after it moved to a version of its connector that takes in what the one before did not."""
        await self._endpoints.make_for_connection(
            session, connection.tenant_id, connection.id, connection.spoken
        )
        await self._wake(session, connection)
        await self._work.cancel(session, connection.tenant_id, repository.REMOVE, str(connection.id))
        await self._register(session, connection)

    async def ending(self, session: AsyncSession, connection: Connection) -> bool:
        """True: the address is registered at the provider, and work that removes it was asked for."""
        found = await repository.endpoint_of_connection(session, connection.tenant_id, connection.id)
        if found is None or found.registration is None:
            return False
        await self._work.enqueue(
            session,
            tenant_id=connection.tenant_id,
            kind=repository.REMOVE,
            key=str(connection.id),
            connection_id=connection.id,
        )
        return True

    async def stopped(self, session: AsyncSession, connection: Connection) -> None:
        """What arrives while it is paused waits; a disconnected one's address is nobody's from now on."""
        for kind in (repository.PROCESS, repository.REGISTER):
            await self._work.cancel(session, connection.tenant_id, kind, str(connection.id))
        if connection.state == "disconnected":
            await self._endpoints.forget_own(session, connection.tenant_id, connection.id)

    async def _register(self, session: AsyncSession, connection: Connection) -> None:
        """Also where there is nothing to register: the work knows the connector, and ends."""
        await self._work.enqueue(
            session,
            tenant_id=connection.tenant_id,
            kind=repository.REGISTER,
            key=str(connection.id),
            connection_id=connection.id,
        )

    async def _wake(self, session: AsyncSession, connection: Connection) -> None:
        await repository.wake(session, connection.tenant_id, connection.id)
        self._work.hint(session)
