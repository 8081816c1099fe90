"""What becomes of a connection whose connector's version is withdrawn, comes back, or is left for another."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import journal
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.models import Connection
from trunkline.connections.tokens import TokenKeeper
from trunkline.kernel.principal import Principal
from trunkline.sdk.credentials import GIVEN

WITHDRAWN: Final = "connector_withdrawn"
"""Cause of a pause that a withdrawn version of its connector brought."""
MOVED: Final = "connector_moved"
"""Why access must be given anew after a move to another version of its connector."""


class ConnectorVersions:
    """Every connection given here is locked by the caller, whose session it is."""

    def __init__(self, tokens: TokenKeeper, events: ConnectionEvents) -> None:
        self._tokens = tokens
        self._events = events

    async def hold_back(self, session: AsyncSession, connection: Connection, principal: Principal) -> None:
        """The version that it speaks was withdrawn: paused until that is undone. `connection`: locked."""
        before, after = connection.enter("paused", WITHDRAWN)
        await session.flush()
        await journal.audited(session, principal, "paused", connection, before=before, after=after)
        await self._events.stopped(session, connection)

    async def let_go_on(self, session: AsyncSession, connection: Connection, principal: Principal) -> None:
        """What `hold_back` paused."""
        before, after = connection.enter("active", None)
        await session.flush()
        await journal.audited(session, principal, "resumed", connection, before=before, after=after)
        await self._events.reconnected(session, connection)

    async def speak(
        self,
        session: AsyncSession,
        connection: Connection,
        version: str,
        principal: Principal,
        reason: str,
        *,
        reconnect: bool,
    ) -> None:
        """Another version of its connector from now on. `connection`: locked; `reconnect`: its access is not
        used for that before it is given anew, but good again for the version that it was given to.
        """
        before, connection.connector_version = connection.connector_version, version
        given = connection.config.get(GIVEN)
        back = connection.state == "reconnect_required" and connection.cause == MOVED and not reconnect
        if given is None and reconnect and connection.state != "reconnect_required":
            connection.config = {**connection.config, GIVEN: before}
        elif back:
            connection.config = {key: value for key, value in connection.config.items() if key != GIVEN}
            connection.enter("active", None)
        await session.flush()
        await journal.audited(
            session,
            principal,
            "moved",
            connection,
            reason=reason,
            before={"version": before},
            after={"version": version},
        )
        await self._events.stopped(session, connection)
        if reconnect:
            await self._tokens.require_reconnect(session, connection.tenant_id, connection.id, MOVED)
        elif connection.state == "active":
            await journal.solved(session, connection.tenant_id, connection.id)
            await self._events.reconnected(session, connection)
