"""What the engine does when a connection's life changes (`trunkline.connections.events`)."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.health.issues import resolve_issues
from trunkline.kernel.principal import Principal
from trunkline.runs.service import RunService


class RunEvents:
    """Called inside the transaction of the change. Recipes set up their streams through `ensure_stream`."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None:
        del suggested, principal  # recipes answer to these
        await self._runs.start_streams(session, connection.tenant_id, connection.id, "recipe")

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None:
        await resolve_issues(session, connection.tenant_id, connection.id)
        await self._runs.start_streams(session, connection.tenant_id, connection.id, "reconnect")

    async def ending(self, session: AsyncSession, connection: Connection) -> bool:
        del session, connection
        return False  # what runs needs no access to be stopped

    async def stopped(self, session: AsyncSession, connection: Connection) -> None:
        await self._runs.stop_streams(session, connection.tenant_id, connection.id)
