"""A trip to the provider and back: authorization code with PKCE.

The state is 256 random bits of which only the hash is kept; it is good once, for ten minutes, in the browser
that got the flow cookie, at one address, for one tenant, person, connection and OAuth client. Whatever does
not fit ends before anything is asked of the provider.
"""

import functools
import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository as connect_sessions
from trunkline.connections import repository
from trunkline.connections.clients import OAuthClients, callback_path, no_client
from trunkline.connections.cookies import FLOW_SECONDS, cookie_name, digest, new_flow, nonce_of
from trunkline.connections.errors import FlowRefusedError, GrantRevokedError, ProviderFailedError
from trunkline.connections.keeping import EXPIRE_PENDING, GrantKeeper, NotKeptError
from trunkline.connections.models import Authorization, Connection
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import Account, Begun, Client, Finished, Purpose, Tokens, Via
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.credentials import values_of, way_of
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

_RECONNECTABLE = (*repository.AUTHORISED, "disconnected")
UNKNOWN = (
    "This sign-in was not started in this browser, was already used, or is too old. "
    "Close this window and start again from where you began."
)
_WORDS = {
    "access_denied": "You did not give access, so nothing was connected.",
    "invalid_scope": "The provider did not accept the permissions that were asked for.",
    "temporarily_unavailable": "The provider is busy just now. Try again in a few minutes.",
    "server_error": "The provider had a problem of its own. Try again in a few minutes.",
}


def form_path(connector: str) -> str:
    """Our own page, where a customer types what the provider's sign-in needs or what stands in for it."""
    return f"/connect/{connector}"


class AuthorizationFlow:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        connectors: Connectors,
        vault: Vault,
        clients: OAuthClients,
        provider: ProviderOAuth,
        keeper: GrantKeeper,
        endpoints: Endpoints,
        work: WorkQueue,
    ) -> None:
        self._settings = settings
        self._db = db
        self._connectors = connectors
        self._vault = vault
        self._clients = clients
        self._provider = provider
        self._keeper = keeper
        self._endpoints = endpoints
        self._work = work

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
        actions: Collection[str] | None = (),
    ) -> Begun:
        """See `ConnectionService.begin`."""
        known = None
        if connection_id is None:
            await self._connectors.refresh()
            manifest = self._connectors.offer(tenant_id, connector)
        else:
            known = await repository.get(session, tenant_id, connection_id)
            if known is None or known.connector != connector:
                raise NotFoundError
            manifest = await self._connectors.find(known.spoken)
        if not manifest.asks:
            raise ConflictError("Nobody signs in at an own system: it sends us what it has.")
        client = await self._client(tenant_id, manifest)
        way = manifest.auth
        form = len(manifest.ways) > 1 or bool(way.inputs) or not isinstance(way, OAuth2)
        purpose: Purpose = "connect"
        held: list[str] = []
        if known is None:
            connection_id = new_id()
            session.add(
                Connection(
                    tenant_id=tenant_id,
                    id=connection_id,
                    connector=connector,
                    connector_version=self._connectors.version_of(manifest),
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
            purpose, connection_id = "reconnect", known.id
            if known.state not in _RECONNECTABLE:
                raise ConflictError(
                    "This connection has not been confirmed yet, so it cannot be reconnected."
                )
            way, held = way_of(manifest, known.config), known.scopes
            form = not isinstance(way, OAuth2)
            values = values_of(manifest, known.config)
        values = values_of(manifest, {}) if purpose == "connect" else values
        more = _scopes_beside(manifest, actions, held)
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
                scopes=more,
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
            await self._keeper.expire(session, tenant_id, connection_id, FLOW_SECONDS)
        if form or not isinstance(way, OAuth2):
            url = f"{self._settings.origin}{form_path(connector)}?state={state}"
        else:
            url = self._provider.authorize_url(
                manifest,
                way,
                client,
                values,
                redirect_uri=redirect_uri,
                state=state,
                verifier=verifier,
                more=more,
            )
        return Begun(connection_id=connection_id, url=url, state_hash=digest(state), flow=flow)

    async def _client(self, tenant_id: UUID, manifest: Manifest) -> Client:
        """Ours at the provider; a stand-in where there is none and a way without one. ConflictError."""
        if not any(isinstance(way, OAuth2) for way in manifest.ways):
            return no_client(tenant_id, manifest.name)
        try:
            return await self._clients.find(tenant_id, manifest.name)
        except ConflictError:
            if all(isinstance(way, OAuth2) for way in manifest.ways):
                raise
            return no_client(tenant_id, manifest.name)

    async def finish(
        self,
        connector: str,
        path: str,
        query: Mapping[str, str],
        cookies: Mapping[str, str],
        principal: Principal | None = None,
    ) -> Finished:
        """See `ConnectionService.finish`."""
        found = await self.spend(connector, path, query.get("state", ""), cookies, principal)
        flow = cookies[cookie_name(found.state_hash, secure=self._settings.secure)]
        nonce = nonce_of(flow)
        try:
            manifest = await self._manifest(found)
            self._check_issuer(manifest, query.get("iss"))
            return await self._complete(found, manifest, _code(query), nonce)
        except FlowRefusedError as error:
            error.via, error.nonce, error.back = found.via, nonce, "/portal/connections"
            if found.purpose == "reconnect":
                error.back = f"/portal/connections/{found.connection_id}"
            await self.note(found, error.code)
            raise

    async def find(
        self, state: str, cookies: Mapping[str, str], principal: Principal | None
    ) -> tuple[Authorization, str]:
        """The authorization of that state, and what the flow cookie says; neither is proven to belong
        together yet. Raises FlowRefusedError.
        """
        state_hash = digest(state)
        flow = cookies.get(cookie_name(state_hash, secure=self._settings.secure), "")
        if not state or not flow:
            raise FlowRefusedError(UNKNOWN)
        async with self._db.system() as system:
            tenant_id = await repository.tenant_of_state(system, state_hash)
        if tenant_id is None:
            raise FlowRefusedError(UNKNOWN)
        async with self._db.tenant(tenant_id) as session:
            found = await repository.authorization(session, tenant_id, state_hash)
        if found is None or (found.via == "portal" and not _same_person(found, principal)):
            raise FlowRefusedError(UNKNOWN)
        return found, flow

    async def spend(
        self,
        connector: str,
        path: str,
        state: str,
        cookies: Mapping[str, str],
        principal: Principal | None,
    ) -> Authorization:
        """The authorization, from now on used; raises FlowRefusedError."""
        found, flow = await self.find(state, cookies, principal)
        async with self._db.tenant(found.tenant_id) as session:
            moment = now()
            mine = await repository.use_authorization(
                session,
                found.tenant_id,
                state_hash=found.state_hash,
                browser_hash=digest(flow),
                connector=connector,
                redirect_uri=self._settings.origin + path,
                moment=moment,
            )
            if not mine:
                late = found.expires_at <= moment
                raise FlowRefusedError(UNKNOWN, code="authorization_expired" if late else None)
        return found

    async def _manifest(self, found: Authorization) -> Manifest:
        """Of the version that the connection set out with."""
        async with self._db.tenant(found.tenant_id) as session:
            connection = await repository.get(session, found.tenant_id, found.connection_id)
        return await self._connectors.find(found.connector if connection is None else connection.spoken)

    def _check_issuer(self, manifest: Manifest, issuer: str | None) -> None:
        """RFC 9207: an answer of another provider's ends here, before its code is sent to this one."""
        ours = next((way.issuer for way in manifest.ways if isinstance(way, OAuth2) and way.issuer), None)
        if ours is None:
            return
        if issuer != self._endpoints.url(manifest, ours):
            raise FlowRefusedError(
                f"This answer did not come from {manifest.label}, so nothing was connected. "
                "Close this window and start again from where you began."
            )

    async def _complete(self, found: Authorization, manifest: Manifest, code: str, nonce: str) -> Finished:
        client = await self._clients.exactly(
            found.tenant_id, found.connector, owner=found.oauth_client_tenant, row=found.oauth_client_id
        )
        if client is None or client.client_id != found.client_id:
            raise FlowRefusedError(
                f"The settings for {manifest.label} were changed meanwhile. Start again from where you began."
            )
        async with self._db.tenant(found.tenant_id) as session:
            box = await self._vault.box(session, found.tenant_id)
            connection = await repository.get(session, found.tenant_id, found.connection_id)
        config = {} if connection is None else connection.config
        way, values = way_of(manifest, config), values_of(manifest, config)
        if not isinstance(way, OAuth2):
            raise FlowRefusedError(UNKNOWN)
        verifier = box.open(found.verifier, found.key_version, f"authorizations/{found.id}/verifier").decode()
        try:
            tokens = await self._provider.exchange(
                manifest,
                way,
                client,
                values,
                code=code,
                redirect_uri=found.redirect_uri,
                verifier=verifier,
            )
        except (ProviderFailedError, GrantRevokedError) as error:
            raise FlowRefusedError(_exchange_words(manifest, error), code="provider_failed") from error
        values |= tokens.values
        give_back = functools.partial(self._give_back, manifest, way, client, tokens, values)
        try:
            account = await self._provider.account(manifest, way, tokens.access_token, values, tokens.answer)
            return await self._keeper.keep(found, manifest, way, client, tokens, account, values, nonce)
        except (ProviderFailedError, GrantRevokedError) as error:
            await give_back(None, found.connection_id)
            raise FlowRefusedError(_exchange_words(manifest, error), code="provider_failed") from error
        except NotKeptError as error:
            await give_back(account, found.connection_id)
            raise FlowRefusedError(str(error), code=error.code) from error

    async def note(self, found: Authorization, code: str) -> None:
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
        self,
        manifest: Manifest,
        way: OAuth2,
        client: Client,
        tokens: Tokens,
        values: Mapping[str, str],
        account: Account | None,
        besides: UUID,
    ) -> None:
        """Ends a grant that we will not use, unless another connection rests on it."""
        if account is not None:
            async with self._db.system() as system:
                if await repository.grant_is_shared(
                    system, client_row=client.id, account_id=account.id, besides=besides
                ):
                    return
        held = tokens.access_token, tokens.refresh_token
        await self._provider.revoke(manifest, way, client, values, held)


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


def _scopes_beside(manifest: Manifest, actions: Collection[str] | None, held: Collection[str]) -> list[str]:
    """Those that the actions need, and those of actions that a connection has; of actions None is all."""
    needed = {
        scope
        for action in manifest.actions
        for scope in action.scopes
        if actions is None or action.name in actions or scope in held
    }
    return sorted(needed)


def _exchange_words(manifest: Manifest, error: Exception) -> str:
    if isinstance(error, ProviderFailedError) and error.http_status is None:
        return f"{manifest.label} could not be reached. Try again in a few minutes."
    return f"{manifest.label} did not accept the sign-in. Start again from where you began."
