"""What others want to know of a connection's life; called inside the transaction that changes it."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel.principal import Principal


class ConnectionEvents(Protocol):
    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None:
        """For the first time. `suggested`: keys of the manifest's recipes to set up."""

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None:
        """Credentials work again (reconnected or resumed): go on from the checkpoints."""

    async def ending(self, session: AsyncSession, connection: Connection) -> bool:
        """About to be disconnected. True: something is to be ended at the provider first.

        Its access is kept for that; who says so calls `ConnectionService.revoke_ended` afterwards.
        """

    async def stopped(self, session: AsyncSession, connection: Connection) -> None:
        """Paused or disconnected: no more calls."""


class NoEvents:
    """Nobody listens."""

    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None: ...

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None: ...

    async def ending(self, session: AsyncSession, connection: Connection) -> bool:
        del session, connection
        return False

    async def stopped(self, session: AsyncSession, connection: Connection) -> None: ...
