"""A trip to the provider and back: authorization code with PKCE.

The state is 256 random bits of which only the hash is kept; it is good once, for ten minutes, in the browser
that got the flow cookie, at one address, for one tenant, person, connection and OAuth client. Whatever does
not fit ends before anything is asked of the provider.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository as connect_sessions
from trunkline.access.tickets import CODE, new_ticket
from trunkline.connections import journal, repository
from trunkline.connections.clients import OAuthClients, callback_path
from trunkline.connections.cookies import FLOW_SECONDS, cookie_name, digest, new_flow, nonce_of
from trunkline.connections.errors import FlowRefusedError, GrantRevokedError, ProviderFailedError
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.models import Authorization, Connection
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import Account, Begun, Client, Finished, Purpose, Tokens, Via
from trunkline.connections.tokens import TokenKeeper
from trunkline.connections.unconfirmed import Unconfirmed
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

EXPIRE_PENDING = "expire_pending"
"""Kind of the work that ends what nobody confirmed; its key is the connection's id."""
CONFIRM_SECONDS = 570
"""How long a completion code is good; the rest of ten minutes is for revoking and purging what it was for."""

_RECONNECTABLE = (*repository.AUTHORISED, "disconnected")
_UNKNOWN = (
    "This sign-in was not started in this browser, was already used, or is too old. "
    "Close this window and start again from where you began."
)
_WORDS = {
    "access_denied": "You did not give access, so nothing was connected.",
    "invalid_scope": "The provider did not accept the permissions that were asked for.",
    "temporarily_unavailable": "The provider is busy just now. Try again in a few minutes.",
    "server_error": "The provider had a problem of its own. Try again in a few minutes.",
}


class AuthorizationFlow:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        connectors: Connectors,
        vault: Vault,
        clients: OAuthClients,
        provider: ProviderOAuth,
        tokens: TokenKeeper,
        unconfirmed: Unconfirmed,
        endpoints: Endpoints,
        work: WorkQueue,
        events: ConnectionEvents,
    ) -> None:
        self._settings = settings
        self._db = db
        self._connectors = connectors
        self._vault = vault
        self._clients = clients
        self._provider = provider
        self._tokens = tokens
        self._unconfirmed = unconfirmed
        self._endpoints = endpoints
        self._work = work
        self._events = events

    async def begin(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        connector: str,
        *,
        via: Via,
        name: str | None = None,
        connection_id: UUID | None = None,
        connect_session_id: UUID | None = None,
        end_user_id: str | None = None,
        nonce: str = "",
    ) -> Begun:
        """See `ConnectionService.begin`."""
        manifest = self._connectors.get(connector)
        client = await self._clients.find(tenant_id, connector)
        purpose: Purpose = "connect"
        if connection_id is None:
            connection_id = new_id()
            session.add(
                Connection(
                    tenant_id=tenant_id,
                    id=connection_id,
                    connector=connector,
                    name=(name or "").strip()[:100] or manifest.label,
                    state="pending",
                    oauth_client_tenant=client.tenant_id,
                    oauth_client_id=client.id,
                    scopes=[],
                    via=via,
                    end_user_id=end_user_id,
                    connect_session_id=connect_session_id,
                    created_by=principal.label,
                )
            )
            await session.flush()
        else:
            purpose = "reconnect"
            known = await repository.get(session, tenant_id, connection_id)
            if known is None or known.connector != connector:
                raise NotFoundError
            if known.state not in _RECONNECTABLE:
                raise ConflictError(
                    "This connection has not been confirmed yet, so it cannot be reconnected."
                )
        state, verifier, flow = secrets.token_urlsafe(32), secrets.token_urlsafe(48), new_flow(nonce)
        redirect_uri = self._settings.origin + callback_path(connector, client.tenant_id)
        box = await self._vault.box(session, tenant_id)
        identity, moment = new_id(), now()
        session.add(
            Authorization(
                tenant_id=tenant_id,
                id=identity,
                state_hash=digest(state),
                browser_hash=digest(flow),
                connection_id=connection_id,
                connector=connector,
                principal_kind=principal.kind,
                principal_id=principal.id,
                principal_label=principal.label,
                purpose=purpose,
                via=via,
                connect_session_id=connect_session_id,
                redirect_uri=redirect_uri,
                oauth_client_tenant=client.tenant_id,
                oauth_client_id=client.id,
                client_id=client.client_id,
                verifier=box.seal(verifier.encode(), f"authorizations/{identity}/verifier"),
                key_version=box.version,
                expires_at=moment + timedelta(seconds=FLOW_SECONDS),
            )
        )
        await session.flush()
        if purpose == "connect":
            await self._expire(session, tenant_id, connection_id, FLOW_SECONDS)
        url = self._provider.authorize_url(
            manifest, client, redirect_uri=redirect_uri, state=state, verifier=verifier
        )
        return Begun(connection_id=connection_id, url=url, state_hash=digest(state), flow=flow)

    async def finish(
        self,
        connector: str,
        path: str,
        query: Mapping[str, str],
        cookies: Mapping[str, str],
        principal: Principal | None = None,
    ) -> Finished:
        """See `ConnectionService.finish`."""
        found = await self._spend(connector, path, query.get("state", ""), cookies, principal)
        flow = cookies[cookie_name(found.state_hash, secure=self._settings.secure)]
        nonce = nonce_of(flow)
        try:
            self._check_issuer(found.connector, query.get("iss"))
            return await self._complete(found, _code(query), nonce)
        except FlowRefusedError as error:
            error.via, error.nonce, error.back = found.via, nonce, "/portal/connections"
            if found.purpose == "reconnect":
                error.back = f"/portal/connections/{found.connection_id}"
            await self._note(found, error.code)
            raise

    async def _spend(
        self,
        connector: str,
        path: str,
        state: str,
        cookies: Mapping[str, str],
        principal: Principal | None,
    ) -> Authorization:
        """The authorization, from now on used; raises FlowRefusedError."""
        state_hash = digest(state)
        flow = cookies.get(cookie_name(state_hash, secure=self._settings.secure), "")
        if not state or not flow:
            raise FlowRefusedError(_UNKNOWN)
        async with self._db.system() as system:
            tenant_id = await repository.tenant_of_state(system, state_hash)
        if tenant_id is None:
            raise FlowRefusedError(_UNKNOWN)
        async with self._db.tenant(tenant_id) as session:
            found = await repository.authorization(session, tenant_id, state_hash)
            if found is None or (found.via == "portal" and not _same_person(found, principal)):
                raise FlowRefusedError(_UNKNOWN)
            moment = now()
            mine = await repository.use_authorization(
                session,
                tenant_id,
                state_hash=state_hash,
                browser_hash=digest(flow),
                connector=connector,
                redirect_uri=self._settings.origin + path,
                moment=moment,
            )
            if not mine:
                late = found.expires_at <= moment
                raise FlowRefusedError(_UNKNOWN, code="authorization_expired" if late else None)
        return found

    def _check_issuer(self, connector: str, issuer: str | None) -> None:
        """RFC 9207: an answer of another provider's ends here, before its code is sent to this one."""
        manifest = self._connectors.get(connector)
        if manifest.auth.issuer is None:
            return
        if issuer != self._endpoints.url(manifest, manifest.auth.issuer):
            raise FlowRefusedError(
                f"This answer did not come from {manifest.label}, so nothing was connected. "
                "Close this window and start again from where you began."
            )

    async def _complete(self, found: Authorization, code: str, nonce: str) -> Finished:
        manifest = self._connectors.get(found.connector)
        client = await self._clients.exactly(
            found.tenant_id, found.connector, owner=found.oauth_client_tenant, row=found.oauth_client_id
        )
        if client is None or client.client_id != found.client_id:
            raise FlowRefusedError(
                f"The settings for {manifest.label} were changed meanwhile. Start again from where you began."
            )
        async with self._db.tenant(found.tenant_id) as session:
            box = await self._vault.box(session, found.tenant_id)
        verifier = box.open(found.verifier, found.key_version, f"authorizations/{found.id}/verifier").decode()
        try:
            tokens = await self._provider.exchange(
                manifest, client, code=code, redirect_uri=found.redirect_uri, verifier=verifier
            )
        except (ProviderFailedError, GrantRevokedError) as error:
            raise FlowRefusedError(_exchange_words(manifest, error), code="provider_failed") from error
        try:
            account = await self._provider.account(manifest, tokens.access_token)
            return await self._keep(found, manifest, client, tokens, account, nonce)
        except (ProviderFailedError, GrantRevokedError) as error:
            await self._give_back(manifest, client, tokens, None, found.connection_id)
            raise FlowRefusedError(_exchange_words(manifest, error), code="provider_failed") from error
        except _NotKeptError as error:
            await self._give_back(manifest, client, tokens, account, found.connection_id)
            raise FlowRefusedError(str(error), code=error.code) from error

    async def _keep(
        self,
        found: Authorization,
        manifest: Manifest,
        client: Client,
        tokens: Tokens,
        account: Account,
        nonce: str,
    ) -> Finished:
        """Seals the tokens and moves the connection on, in one transaction; raises _NotKeptError."""
        tenant_id, connection_id = found.tenant_id, found.connection_id
        principal = Principal(
            kind=found.principal_kind,  # type: ignore[arg-type]
            id=found.principal_id,
            role="end_user" if found.principal_kind == "end_user" else "owner",
            label=found.principal_label,
            tenant_id=tenant_id,
        )
        secret = ""
        async with self._db.tenant(tenant_id) as session:
            connection = await repository.lock(session, tenant_id, connection_id, with_credential=True)
            if connection is None:
                raise _NotKeptError("authorization_expired", "This took too long. Start again.")
            _check_account(found, connection, manifest, account)
            if found.connect_session_id is not None:
                ticket = new_ticket(CODE, found.connect_session_id)
                if not await connect_sessions.completed(
                    session,
                    tenant_id,
                    found.connect_session_id,
                    connection_id,
                    code_hash=ticket.hash,
                    moment=now(),
                ):
                    message = "Another window has taken over. Close this one and go on there."
                    raise _NotKeptError("authorization_unknown", message)
                secret = ticket.value
            scopes = list(tokens.scopes if tokens.scopes is not None else manifest.auth.scopes)
            if found.purpose == "reconnect" and found.connect_session_id is not None:
                await self._unconfirmed.put(
                    session, connection, found.connect_session_id, client, tokens, scopes
                )
                await self._expire(session, tenant_id, connection_id, CONFIRM_SECONDS)
            else:
                await self._tokens.store(session, tenant_id, connection_id, tokens)
                connection.oauth_client_tenant, connection.oauth_client_id = client.tenant_id, client.id
                connection.account_id, connection.account_label = account.id, account.label
                connection.scopes, connection.last_call_at = scopes, now()
                if found.purpose == "reconnect":
                    await self.restore(session, connection, principal)
                else:
                    await self._name(session, connection, manifest)
                    if found.via == "portal":
                        await self.activate(session, connection, (), principal)
            await session.flush()
        return Finished(
            connection_id=connection_id,
            tenant_id=tenant_id,
            connector=found.connector,
            purpose=cast("Purpose", found.purpose),
            via=cast("Via", found.via),
            account_label=account.label,
            code=secret,
            nonce=nonce,
        )

    async def activate(
        self,
        session: AsyncSession,
        connection: Connection,
        suggested: Sequence[str],
        principal: Principal,
    ) -> None:
        """From pending to active, with all that follows from it."""
        moment = now()
        connection.state, connection.cause, connection.state_since = "active", None, moment
        connection.confirmed_at = moment
        await session.flush()
        await self._work.cancel(session, connection.tenant_id, EXPIRE_PENDING, str(connection.id))
        await journal.audited(
            session, principal, "connected", connection, account=connection.account_id, via=connection.via
        )
        await self._events.activated(session, connection, suggested, principal)

    async def restore(self, session: AsyncSession, connection: Connection, principal: Principal) -> None:
        """New tokens are in place. A paused connection stays so: it need not be the same person's doing."""
        if connection.state != "paused":
            connection.state, connection.cause, connection.state_since = "active", None, now()
        await session.flush()
        await journal.audited(session, principal, "reconnected", connection, account=connection.account_id)
        await journal.solved(session, connection.tenant_id, connection.id)
        if connection.state == "active":
            await self._events.reconnected(session, connection)

    async def _expire(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, seconds: int
    ) -> None:
        """Have a look then at whether it was confirmed."""
        await self._work.enqueue(
            session,
            tenant_id=tenant_id,
            kind=EXPIRE_PENDING,
            key=str(connection_id),
            connection_id=connection_id,
            due_at=now() + timedelta(seconds=seconds),
        )

    async def _name(self, session: AsyncSession, connection: Connection, manifest: Manifest) -> None:
        """A second account of the same provider is told apart by its id."""
        if connection.name == manifest.label:
            others = await repository.list_all(session, connection.tenant_id)
            if any(other.name == connection.name for other in others if other.id != connection.id):
                connection.name = f"{manifest.label} {connection.account_id}"

    async def _note(self, found: Authorization, code: str) -> None:
        """Shows the frame why, and forgets a connection that never was one."""
        async with self._db.tenant(found.tenant_id) as session:
            if found.connect_session_id is not None:
                await connect_sessions.failed(
                    session, found.tenant_id, found.connect_session_id, found.connection_id, code
                )
            connection = await repository.lock(session, found.tenant_id, found.connection_id)
            if connection is not None and connection.state == "pending" and connection.account_id is None:
                await repository.remove(session, found.tenant_id, found.connection_id)
                await self._work.cancel(session, found.tenant_id, EXPIRE_PENDING, str(found.connection_id))

    async def _give_back(
        self, manifest: Manifest, client: Client, tokens: Tokens, account: Account | None, besides: UUID
    ) -> None:
        """Ends a grant that we will not use, unless another connection rests on it."""
        if account is not None:
            async with self._db.system() as system:
                if await repository.grant_is_shared(
                    system, client_row=client.id, account_id=account.id, besides=besides
                ):
                    return
        token, hint = tokens.access_token, "access_token"
        if tokens.refresh_token is not None:
            token, hint = tokens.refresh_token, "refresh_token"
        await self._provider.revoke(manifest, client, token, hint)


class _NotKeptError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _code(query: Mapping[str, str]) -> str:
    code = query.get("code", "")
    if "error" in query or not code:
        error = query.get("error", "")
        words = _WORDS.get(error, "The provider sent you back without giving access.")
        failure = "authorization_denied" if error == "access_denied" else "provider_failed"
        raise FlowRefusedError(words, code=failure)
    return code


def _same_person(found: Authorization, principal: Principal | None) -> bool:
    """In the portal's flow whoever set out must still be signed in, in the same tenant."""
    return principal is not None and (principal.kind, principal.id, principal.tenant_id) == (
        found.principal_kind,
        found.principal_id,
        found.tenant_id,
    )


def _check_account(
    found: Authorization, connection: Connection, manifest: Manifest, account: Account
) -> None:
    known = connection.account_id
    if found.purpose == "reconnect" and known is not None and known != account.id:
        raise _NotKeptError(
            "account_mismatch",
            f"This connection belongs to the {manifest.label} account {known}, and you chose {account.id}. "
            f"Nothing was changed. Start again and choose the account {known}, or connect {account.id} "
            "as a connection of its own.",
        )


def _exchange_words(manifest: Manifest, error: Exception) -> str:
    if isinstance(error, ProviderFailedError) and error.http_status is None:
        return f"{manifest.label} could not be reached. Try again in a few minutes."
    return f"{manifest.label} did not accept the sign-in. Start again from where you began."
