"""Access tokens: sealed at rest, refreshed ahead of their end by one worker at a time.

The row lock on the credential is the single flight, across processes. A new token is committed before anybody
uses it; a worker that waited finds the new generation and uses that. An intent is committed before each call:
whoever gets the lock and finds one knows that a reply was lost, perhaps with the only refresh token that
works. Asking again could have the provider end the whole grant, so nobody does: the old access token is used
until it ends, then the account must be connected again.

A pasted key is kept as an access token without end. What the customer typed to be exchanged for tokens is
kept as a refresh token that never changes.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import journal, repository
from trunkline.connections.clients import OAuthClients
from trunkline.connections.errors import (
    GrantRevokedError,
    NotUsableError,
    ProviderFailedError,
    ReconnectRequiredError,
)
from trunkline.connections.models import Connection, Credential
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import AccessToken, Client, Tokens
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import SYSTEM
from trunkline.sdk.credentials import VALUES, values_of, way_of
from trunkline.sdk.manifest import ApiKey, Basic, ClientCredentials, Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.vault.box import Box
from trunkline.vault.service import Vault

SPARE_SECONDS = 30
"""A token with less left may end on its way; it is not given out."""
LOCK_RETRY_SECONDS = 5
REFRESHES = 8
"""At a time in one process: each holds a connection of the pool (20) while it asks for a second one."""
AMBIGUOUS = "ambiguous_refresh"
_LOCK_NOT_AVAILABLE = "55P03"


def _context(connection_id: UUID, field: str) -> str:
    return f"credentials/{connection_id}/{field}"


class _Renewed(msgspec.Struct, frozen=True):
    """What came of asking for a new token; raised after the transaction has written it down."""

    token: AccessToken | None = None
    cause: str = ""
    error: ProviderFailedError | None = None


class TokenKeeper:
    def __init__(
        self,
        db: Database,
        connectors: Connectors,
        vault: Vault,
        clients: OAuthClients,
        provider: ProviderOAuth,
    ) -> None:
        self._db = db
        self._connectors = connectors
        self._vault = vault
        self._clients = clients
        self._provider = provider
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(REFRESHES)
        self._under_way: set[asyncio.Task[AccessToken]] = set()

    async def access_token(self, tenant_id: UUID, connection_id: UUID, *, ended: bool = False) -> AccessToken:
        """Opens its own sessions. Raises NotUsableError, ReconnectRequiredError, ProviderFailedError.

        `ended`: also of a disconnected connection, for as long as its tokens are held.
        """
        async with self._db.tenant(tenant_id) as session:
            connection = await self._usable(session, tenant_id, connection_id, ended=ended)
            held = await repository.credential(session, tenant_id, connection_id)
            if held is None:
                raise NotUsableError("There is no access to this account.", code="disconnected_by_member")
            way = way_of(await self._connectors.find(connection.spoken), connection.config)
            ahead = 0 if isinstance(way, ApiKey | Basic) else way.refresh_ahead_seconds
            if not _ends_within(held, ahead):
                return await self._opened(session, held, connection.config)
        return await self._refreshed(tenant_id, connection_id, held.generation, ended=ended)

    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
        """After a 401. Opens its own sessions; does nothing if somebody already has a newer token."""
        await self._refreshed(tenant_id, connection_id, generation, rejected=True)

    async def store(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, tokens: Tokens
    ) -> None:
        box = await self._vault.box(session, tenant_id)
        await repository.put_credential(
            session, tenant_id, connection_id, _sealed(box, connection_id, tokens, tokens.refresh_token)
        )
        await repository.end_refresh(session, tenant_id, connection_id)

    async def settle(self) -> None:
        """Waits for refreshes under way: a process that ends in the middle of one loses its reply."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def revoke(self, session: AsyncSession, connection: Connection) -> str:
        """Ends the grant at the provider and forgets the tokens; what came of it, for the audit log.

        The credential's row stays locked meanwhile, so that no refresh crosses. A grant on which another
        live connection rests is kept: ending it would cut that one off.
        """
        place = connection.tenant_id, connection.id
        held = await repository.credential(session, *place, locked=True)
        if held is None:
            return "nothing_held"
        manifest = await self._connectors.find(connection.granted)
        client = await self._clients.of_connection(connection)
        async with self._db.system() as system:
            shared = await repository.grant_is_shared(
                system,
                client_row=connection.oauth_client_id,
                account_id=connection.account_id,
                besides=connection.id,
            )
        way = way_of(manifest, connection.config)
        if not isinstance(way, OAuth2):
            result = "not_offered"
        elif shared:
            result = "kept"
        elif client is None:
            result = "no_oauth_client"
        else:
            box = await self._vault.box(session, connection.tenant_id)

            def opened(blob: bytes, field: str) -> str:
                return box.open(blob, held.key_version, _context(connection.id, field)).decode()

            refresh = None if held.refresh_token is None else opened(held.refresh_token, "refresh_token")
            pair = opened(held.access_token, "access_token"), refresh
            values = values_of(manifest, connection.config)
            result = await self._provider.revoke(manifest, way, client, values, pair)
        await repository.remove_credential(session, *place)
        await repository.end_refresh(session, *place)
        return result

    async def require_reconnect(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str
    ) -> None:
        """Idempotent; a connection that is not authorised any more stays as it is."""
        changed = await repository.set_state(
            session,
            tenant_id,
            connection_id,
            "reconnect_required",
            cause=cause,
            only_from=("setup", "active", "paused"),
        )
        if changed is not None:
            await journal.audited(session, SYSTEM, "reconnect_required", changed, cause=cause)
            await journal.problem(session, tenant_id, connection_id, cause)

    async def _usable(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, ended: bool = False
    ) -> Connection:
        connection = await repository.get(session, tenant_id, connection_id)
        if connection is None:
            raise NotFoundError
        if connection.state == "reconnect_required":
            raise ReconnectRequiredError(connection.cause or "grant_revoked")
        if connection.state == "paused":
            raise NotUsableError("The connection is paused. Resume it first.", code="paused_by_member")
        if connection.state == "disconnected" and not ended:
            raise NotUsableError("The account was disconnected.", code="disconnected_by_member")
        if connection.state == "pending":
            raise NotUsableError("The connection waits for the product's confirmation.", code="pending")
        return connection

    async def _refreshed(
        self,
        tenant_id: UUID,
        connection_id: UUID,
        generation: int,
        *,
        rejected: bool = False,
        ended: bool = False,
    ) -> AccessToken:
        """The token of a later generation than `generation`, got here or by whoever held the lock.

        Goes on when its caller is cancelled: a reply that nobody writes down is lost.
        """
        task = asyncio.create_task(
            self._refresh(tenant_id, connection_id, generation, rejected=rejected, ended=ended)
        )
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[AccessToken]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also where the caller has gone

    async def _refresh(
        self, tenant_id: UUID, connection_id: UUID, generation: int, *, rejected: bool, ended: bool
    ) -> AccessToken:
        client = await self._client(tenant_id, connection_id, ended=ended)
        try:
            async with self._turn(connection_id), self._slots, self._db.tenant(tenant_id) as session:
                held = await repository.credential(session, tenant_id, connection_id, locked=True)
                connection = await self._usable(session, tenant_id, connection_id, ended=ended)
                if held is None:
                    raise NotUsableError("The account was disconnected.", code="disconnected_by_member")
                if held.generation != generation:
                    return await self._opened(session, held, connection.config)
                renewed = await self._renew(session, connection, held, client, rejected=rejected)
                if renewed.cause:
                    await self.require_reconnect(session, tenant_id, connection_id, renewed.cause)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                raise
            later = now() + timedelta(seconds=LOCK_RETRY_SECONDS)
            raise ProviderFailedError("provider_timeout", later) from error
        if renewed.error is not None:
            raise renewed.error
        if renewed.token is None:
            raise ReconnectRequiredError(renewed.cause)
        return renewed.token

    async def _renew(
        self,
        session: AsyncSession,
        connection: Connection,
        held: Credential,
        client: Client | None,
        *,
        rejected: bool,
    ) -> _Renewed:
        """`held` is locked. An error is returned, not raised, so that what was learned is committed."""
        tenant_id, connection_id = connection.tenant_id, connection.id
        config = connection.config
        manifest = await self._connectors.find(connection.spoken)
        way = way_of(manifest, config)
        if held.refresh_token is None or isinstance(way, ApiKey | Basic):
            if not rejected and not _ends_within(held, 0):
                return _Renewed(await self._opened(session, held, config))
            return _Renewed(cause="token_rejected" if rejected else "token_expired")
        place = session, tenant_id, connection_id
        rotates = isinstance(way, OAuth2) and way.rotates
        if rotates and await repository.refresh_under_way(*place, held.generation):
            return await self._without_reply(session, held, config, rejected=rejected)
        box = await self._vault.box(session, tenant_id)
        old = box.open(
            held.refresh_token, held.key_version, _context(connection_id, "refresh_token")
        ).decode()
        async with self._db.tenant(tenant_id) as before:
            await repository.begin_refresh(before, tenant_id, connection_id, held.generation)
        try:
            tokens = await self._asked(manifest, way, client, values_of(manifest, config), old)
        except GrantRevokedError:
            await repository.end_refresh(*place)
            return _Renewed(cause="grant_revoked")
        except ProviderFailedError as error:
            if error.reply_lost and rotates:
                return await self._without_reply(session, held, config, rejected=rejected)
            await repository.end_refresh(*place)
            if rejected or _ends_within(held, SPARE_SECONDS):
                return _Renewed(error=error)
            # ahead of time: what we have still works, the next call tries again
            return _Renewed(await self._opened(session, held, config))
        values = _sealed(box, connection_id, tokens, tokens.refresh_token or old)
        await repository.put_credential(*place, values)
        await repository.end_refresh(*place)
        await repository.accepted(*place)
        moved = {**config.get(VALUES, {}), **tokens.values}
        if moved != config.get(VALUES, {}):
            config = {**config, VALUES: moved}
            await repository.put_values(*place, moved)
        fresh = await repository.credential(*place, locked=True)
        assert fresh is not None
        return _Renewed(await self._opened(session, fresh, config))

    async def _asked(
        self,
        manifest: Manifest,
        way: OAuth2 | ClientCredentials,
        client: Client | None,
        values: Mapping[str, str],
        old: str,
    ) -> Tokens:
        """Of what the customer typed, where that is exchanged, a refusal ends the grant as well."""
        if isinstance(way, OAuth2):
            assert client is not None
            return await self._provider.refresh(manifest, way, client, values, old)
        try:
            secrets = msgspec.json.decode(old, type=dict[str, str])
            return await self._provider.client_credentials(manifest, way, values, secrets)
        except ProviderFailedError as error:
            if error.http_status in {400, 401, 403}:
                raise GrantRevokedError from error
            raise

    async def _without_reply(
        self, session: AsyncSession, held: Credential, config: Mapping[str, Any], *, rejected: bool
    ) -> _Renewed:
        """The intent stays: nobody asks with this refresh token again."""
        if rejected or _ends_within(held, 0):
            return _Renewed(cause=AMBIGUOUS)
        return _Renewed(await self._opened(session, held, config))

    async def _client(self, tenant_id: UUID, connection_id: UUID, *, ended: bool) -> Client | None:
        """Looked up before the lock is taken: whoever holds it must not wait for the pool."""
        async with self._db.tenant(tenant_id) as session:
            connection = await self._usable(session, tenant_id, connection_id, ended=ended)
        manifest = await self._connectors.find(connection.spoken)
        if not isinstance(way_of(manifest, connection.config), OAuth2):
            return None
        client = await self._clients.of_connection(connection)
        if client is None:
            raise ProviderFailedError("internal_error", now() + timedelta(minutes=5))
        return client

    def _turn(self, connection_id: UUID) -> asyncio.Lock:
        """One of this process at a time goes for the row lock, so that waiters do not use up the pool."""
        return self._turns.setdefault(connection_id, asyncio.Lock())

    async def _opened(
        self, session: AsyncSession, held: Credential, config: Mapping[str, Any]
    ) -> AccessToken:
        box = await self._vault.box(session, held.tenant_id)
        value = box.open(held.access_token, held.key_version, _context(held.connection_id, "access_token"))
        return AccessToken(value.decode(), held.generation, held.expires_at, config)


def _ends_within(held: Credential, seconds: int) -> bool:
    return held.expires_at is not None and held.expires_at <= now() + timedelta(seconds=seconds)


def _sealed(box: Box, connection_id: UUID, tokens: Tokens, refresh_token: str | None) -> dict[str, Any]:
    """Both fields anew, so that one key version tells of both."""
    expires_at: datetime | None = tokens.expires_at
    return {
        "access_token": box.seal(tokens.access_token.encode(), _context(connection_id, "access_token")),
        "refresh_token": refresh_token
        and box.seal(refresh_token.encode(), _context(connection_id, "refresh_token")),
        "key_version": box.version,
        "expires_at": expires_at,
    }
