"""Connect sessions, from the product's request to the trip to the provider.

The token is good once and becomes a frame key, which only the frame's memory holds; both and the completion
code are kept as hashes. What the frame asks opens its own sessions: its tenant is known by the session's id.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository
from trunkline.access.models import ConnectSession
from trunkline.access.origin import checked_origin
from trunkline.access.schemas import (
    ConnectSessionCreated,
    ConnectSessionIn,
    ConnectSessionOut,
    FrameView,
    Progress,
    Redeemed,
    SessionState,
)
from trunkline.access.tickets import FRAME_KEY, TOKEN, new_ticket, read_ticket
from trunkline.audit.service import append
from trunkline.connections.cookies import FLOW_SECONDS
from trunkline.connections.schemas import Begun
from trunkline.connections.service import ConnectionService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors

SESSION_SECONDS = 600
"""Longest life of a connect session."""
SCRIPT = "/widget/v1.js"
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")


class SessionSpentError(BadInputError):
    """The same for a wrong, used or expired token or frame key."""

    code = "connect_session_spent"

    def __init__(self) -> None:
        super().__init__("This connect window has expired. Close it and open it again.")


class AccessService:
    """One per process."""

    def __init__(
        self, settings: Settings, db: Database, connectors: Connectors, connections: ConnectionService
    ) -> None:
        self._settings = settings
        self._db = db
        self._connectors = connectors
        self._connections = connections

    # -- for the product's backend ----------------------------------------------------------

    async def create(
        self, session: AsyncSession, tenant_id: UUID, principal: Principal, data: ConnectSessionIn
    ) -> ConnectSessionCreated:
        """Raises BadInputError naming the field, NotFoundError for `connection_id`."""
        origin = checked_origin(data.origin)
        connectors = list(dict.fromkeys(data.connectors))
        recipes = list(dict.fromkeys(data.recipes))
        await self._connectors.refresh()
        actions = list(dict.fromkeys(data.actions))
        for field, value in (("end_user.id", data.end_user.id), ("end_user.name", data.end_user.name)):
            if not value.strip() or not value.isprintable():
                raise BadInputError(f"{field} must be readable text.", field=field)
        if data.connection_id is not None:
            connection = await self._connections.get(session, tenant_id, data.connection_id)
            if connection.connector not in connectors:
                raise BadInputError("connectors must contain the connection's own.", field="connectors")
            connectors = [connection.connector]
            kept = await self._connectors.find(connection.spoken)
            self._check(connectors, recipes, actions, {kept.name: kept})
        else:
            known = {manifest.name: manifest for manifest in self._connectors.offered(tenant_id)}
            self._check(connectors, recipes, actions, known)
        identity, moment = new_id(), now()
        token = new_ticket(TOKEN, identity)
        expires_at = moment + timedelta(seconds=SESSION_SECONDS)
        session.add(
            ConnectSession(
                tenant_id=tenant_id,
                id=identity,
                token_hash=token.hash,
                end_user_id=data.end_user.id,
                end_user_label=data.end_user.name,
                connectors=connectors,
                recipes=recipes,
                actions=actions,
                origin=origin,
                created_at=moment,
                expires_at=expires_at,
                connection_id=data.connection_id,
            )
        )
        await session.flush()
        await append(
            session,
            principal,
            "connect_session.created",
            "connect_session",
            identity,
            {"connectors": connectors, "origin": origin},
            tenant_id=tenant_id,
        )
        return ConnectSessionCreated(identity, token.value, expires_at, self._settings.origin + SCRIPT)

    async def status(self, session: AsyncSession, tenant_id: UUID, session_id: UUID) -> ConnectSessionOut:
        """Raises NotFoundError."""
        found = await repository.get(session, tenant_id, session_id)
        if found is None:
            raise NotFoundError
        return ConnectSessionOut(
            id=found.id,
            state=_state(found),
            connection_id=found.connection_id,
            error=found.error,
            created_at=found.created_at,
            expires_at=found.expires_at,
        )

    @staticmethod
    def _check(
        connectors: list[str], recipes: list[str], actions: list[str], known: Mapping[str, Manifest]
    ) -> None:
        if not connectors or (unknown := next((c for c in connectors if c not in known), None)) is not None:
            named = f'There is no connector named "{unknown}".' if connectors else "Name at least one."
            raise BadInputError(f"{named} Known: {', '.join(sorted(known))}.", field="connectors")
        offered = {recipe.key for name in connectors for recipe in known[name].recipes}
        if (strange := next((key for key in recipes if key not in offered), None)) is not None:
            raise BadInputError(
                f'No such recipe is suggested: "{strange}". Known: {", ".join(sorted(offered))}.',
                field="recipes",
            )
        acts = {action.name for name in connectors for action in known[name].actions}
        if (strange := next((name for name in actions if name not in acts), None)) is not None:
            raise BadInputError(
                f'There is no action "{strange}". Known: {", ".join(sorted(acts))}.', field="actions"
            )

    # -- for the frame ----------------------------------------------------------------------

    async def frame(self, session_id: UUID) -> FrameView:
        """Raises NotFoundError."""
        async with self._scope(session_id) as (session, tenant_id):
            found = await repository.get(session, tenant_id, session_id)
            if found is None:
                raise NotFoundError
            spent = found.expires_at <= now() or found.redeemed_at is not None
            return FrameView(found.id, found.origin, spent)

    async def redeem(self, session_id: UUID, token: str) -> Redeemed:
        """One caller gets the frame key for the token; everybody else SessionSpentError."""
        ticket = read_ticket(TOKEN, token)
        if ticket is None or ticket.session_id != session_id:
            raise SessionSpentError
        key = new_ticket(FRAME_KEY, session_id)
        async with self._scope(session_id) as (session, tenant_id):
            found = await repository.redeem(
                session,
                tenant_id,
                session_id,
                token_hash=ticket.hash,
                frame_key_hash=key.hash,
                moment=now(),
            )
            if found is None:
                raise SessionSpentError
            return Redeemed(
                frame_key=key.value,
                connectors=await self._spoken(session, tenant_id, found),
                reconnect=found.connection_id is not None,
            )

    async def _spoken(self, session: AsyncSession, tenant_id: UUID, found: ConnectSession) -> tuple[str, ...]:
        """In the versions that would be connected: what is consented to is what those ask for."""
        if found.connection_id is not None:
            connection = await self._connections.get(session, tenant_id, found.connection_id)
            return (connection.spoken,)
        await self._connectors.refresh()
        offered = {one.name: one.spoken for one in self._connectors.offered(tenant_id)}
        return tuple(offered.get(name, name) for name in found.connectors)

    async def authorize(self, session_id: UUID, frame_key: str, connector: str, nonce: str) -> Begun:
        """Starts the trip to the provider; can be repeated until one is completed.

        Raises SessionSpentError, BadInputError (connector, nonce), ConflictError.
        """
        if not _NONCE.fullmatch(nonce):
            raise BadInputError("The connect window sent no usable nonce.", field="nonce")
        async with self._held(session_id, frame_key) as (session, found):
            if found.expires_at <= now() or found.completed_at is not None:
                raise SessionSpentError
            if connector not in found.connectors:
                raise BadInputError("This connect window does not offer that provider.", field="connector")
            end_user = Principal(
                kind="end_user",
                id=found.end_user_id,
                role="end_user",
                label=found.end_user_label,
                tenant_id=found.tenant_id,
            )
            begun = await self._connections.begin(
                session,
                found.tenant_id,
                end_user,
                connector,
                via="widget",
                connection_id=await self._to_reconnect(session, found),
                connect_session_id=session_id,
                end_user_id=found.end_user_id,
                nonce=nonce,
                actions=found.actions,
            )
            if not await repository.set_out(session, found.tenant_id, session_id, begun.connection_id):
                raise SessionSpentError
            return begun

    async def progress(self, session_id: UUID, frame_key: str) -> Progress:
        """Never the completion code: the popup hands that to the window that opened it. SessionSpentError."""
        async with self._held(session_id, frame_key) as (_, found):
            if found.expires_at + timedelta(seconds=FLOW_SECONDS) <= now():
                raise SessionSpentError
            if found.completed_at is not None:
                return Progress("completed", None)
            return Progress("failed" if found.error else "open", found.error)

    async def _to_reconnect(self, session: AsyncSession, found: ConnectSession) -> UUID | None:
        """The session's connection, unless it is one that an earlier try of this session made."""
        if found.connection_id is None:
            return None
        try:
            connection = await self._connections.get(session, found.tenant_id, found.connection_id)
        except NotFoundError:
            return None
        return None if connection.connect_session_id == found.id else connection.id

    @asynccontextmanager
    async def _scope(self, session_id: UUID) -> AsyncIterator[tuple[AsyncSession, UUID]]:
        async with self._db.system() as system:
            tenant_id = await repository.tenant_of(system, session_id)
        if tenant_id is None:
            raise NotFoundError
        async with self._db.tenant(tenant_id) as session:
            yield session, tenant_id

    @asynccontextmanager
    async def _held(
        self, session_id: UUID, frame_key: str
    ) -> AsyncIterator[tuple[AsyncSession, ConnectSession]]:
        ticket = read_ticket(FRAME_KEY, frame_key)
        if ticket is None or ticket.session_id != session_id:
            raise SessionSpentError
        async with self._scope(session_id) as (session, tenant_id):
            found = await repository.of_frame_key(session, tenant_id, session_id, ticket.hash)
            if found is None:
                raise SessionSpentError
            yield session, found


def _state(found: ConnectSession) -> SessionState:
    if found.confirmed_at is not None:
        return "confirmed"
    if found.completed_at is not None:
        return "completed"
    if found.expires_at <= now():
        return "expired"
    return "open" if found.redeemed_at is None else "redeemed"
