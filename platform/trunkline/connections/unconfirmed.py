"""Tokens of a reconnect through the widget, until the product's backend confirms it.

The connection itself goes on with what it has: whoever followed somebody else's link changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import repository
from trunkline.connections.clients import OAuthClients
from trunkline.connections.models import Connection, UnconfirmedCredential
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import Client, Tokens
from trunkline.connections.tokens import TokenKeeper
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.sdk.credentials import GIVEN, VALUES, values_of, way_of
from trunkline.sdk.manifest import OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault

_LIVE = ("setup", "active", "paused")


_VALUES = "unconfirmed_values"
"""Member of the connection's config: where the unconfirmed tokens are good for."""


def _without(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != _VALUES}


def _context(connection_id: UUID, field: str) -> str:
    return f"unconfirmed_credentials/{connection_id}/{field}"


class Unconfirmed:
    """Sessions are the tenant's own; the credential's lock is held by the caller."""

    def __init__(
        self,
        db: Database,
        connectors: Connectors,
        vault: Vault,
        clients: OAuthClients,
        provider: ProviderOAuth,
        tokens: TokenKeeper,
    ) -> None:
        self._db = db
        self._connectors = connectors
        self._vault = vault
        self._clients = clients
        self._provider = provider
        self._tokens = tokens

    async def put(
        self,
        session: AsyncSession,
        connection: Connection,
        connect_session_id: UUID,
        client: Client,
        tokens: Tokens,
        scopes: Sequence[str],
        values: Mapping[str, str],
    ) -> None:
        """`values`: where the tokens are good for, adopted along with them."""
        connection.config = {**connection.config, _VALUES: dict(values)}
        box = await self._vault.box(session, connection.tenant_id)
        access = box.seal(tokens.access_token.encode(), _context(connection.id, "access_token"))
        refresh = tokens.refresh_token and box.seal(
            tokens.refresh_token.encode(), _context(connection.id, "refresh_token")
        )
        await repository.put_unconfirmed(
            session,
            connection.tenant_id,
            connection.id,
            {
                "connect_session_id": connect_session_id,
                "access_token": access,
                "refresh_token": refresh,
                "key_version": box.version,
                "expires_at": tokens.expires_at,
                "scopes": list(scopes),
                "oauth_client_tenant": client.tenant_id,
                "oauth_client_id": client.id,
            },
        )

    async def adopt(self, session: AsyncSession, connection: Connection, connect_session_id: UUID) -> bool:
        """Confirmed: the connection's own from now on. False when that session's tokens are not there."""
        held = await repository.unconfirmed(session, connection.tenant_id, connection.id)
        if held is None or held.connect_session_id != connect_session_id:
            return False
        await self._tokens.store(
            session, connection.tenant_id, connection.id, await self._opened(session, held)
        )
        connection.oauth_client_tenant = held.oauth_client_tenant
        connection.oauth_client_id = held.oauth_client_id
        connection.scopes, connection.last_call_at = held.scopes, now()
        values = connection.config.get(_VALUES, connection.config.get(VALUES, {}))
        kept = {name: value for name, value in _without(connection.config).items() if name != GIVEN}
        connection.config = {**kept, VALUES: values}
        await repository.remove_unconfirmed(session, connection.tenant_id, connection.id)
        return True

    async def drop(self, session: AsyncSession, connection: Connection, held: UnconfirmedCredential) -> str:
        """Revokes and forgets; what came of it. A grant that a live connection rests on is kept."""
        client = await self._clients.exactly(
            connection.tenant_id,
            connection.connector,
            owner=held.oauth_client_tenant,
            row=held.oauth_client_id,
        )
        own = connection.state in _LIVE and connection.oauth_client_id == held.oauth_client_id
        async with self._db.system() as system:
            shared = own or await repository.grant_is_shared(
                system,
                client_row=held.oauth_client_id,
                account_id=connection.account_id,
                besides=connection.id,
            )
        manifest = await self._connectors.find(connection.spoken)
        way = way_of(manifest, connection.config)
        if not isinstance(way, OAuth2):
            result = "not_offered"
        elif shared:
            result = "kept"
        elif client is None:
            result = "no_oauth_client"
        else:
            tokens = await self._opened(session, held)
            kept = {**connection.config, VALUES: connection.config.get(_VALUES, {})}
            result = await self._provider.revoke(
                manifest,
                way,
                client,
                values_of(manifest, kept),
                (tokens.access_token, tokens.refresh_token),
            )
        connection.config = _without(connection.config)
        await repository.remove_unconfirmed(session, connection.tenant_id, connection.id)
        return result

    async def _opened(self, session: AsyncSession, held: UnconfirmedCredential) -> Tokens:
        box = await self._vault.box(session, held.tenant_id)

        def opened(blob: bytes, field: str) -> str:
            return box.open(blob, held.key_version, _context(held.connection_id, field)).decode()

        return Tokens(
            access_token=opened(held.access_token, "access_token"),
            refresh_token=None if held.refresh_token is None else opened(held.refresh_token, "refresh_token"),
            expires_at=held.expires_at,
            scopes=tuple(held.scopes),
        )
