"""Connections, as the rest of Trunkline uses them. Nothing here commits a session that it was given."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository as connect_sessions
from trunkline.access.tickets import CODE, read_ticket
from trunkline.connections import journal, repository
from trunkline.connections.clients import OAuthClients
from trunkline.connections.events import ConnectionEvents, NoEvents
from trunkline.connections.flow import AuthorizationFlow
from trunkline.connections.forms import FormFlow
from trunkline.connections.keeping import CONFIRM_SECONDS, EXPIRE_PENDING, GrantKeeper
from trunkline.connections.models import Connection, UnconfirmedCredential
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import AccessToken, Begun, Finished, FormView, Via
from trunkline.connections.tokens import TokenKeeper
from trunkline.connections.unconfirmed import Unconfirmed
from trunkline.connections.versions import ConnectorVersions
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.naming import clean_name
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.own import CUSTOM
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

__all__ = ["CONFIRM_SECONDS", "ConnectionService"]


class ConnectionService:
    """One per process. `events` hears of changes inside their transactions.

    `clients`: our registrations at providers; `versions`: what follows a connector's other version.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        connectors: Connectors,
        endpoints: Endpoints,
        egress: Egress,
        vault: Vault,
        work: WorkQueue,
        events: ConnectionEvents | None = None,
    ) -> None:
        self._connectors = connectors
        self._events = events or NoEvents()
        provider = ProviderOAuth(endpoints, egress)
        self.clients = OAuthClients(db, vault, connectors)
        self._tokens = TokenKeeper(db, connectors, vault, self.clients, provider)
        self.versions = ConnectorVersions(self._tokens, self._events)
        self._work = work
        self._unconfirmed = Unconfirmed(db, connectors, vault, self.clients, provider, self._tokens)
        self._keeper = GrantKeeper(db, self._tokens, self._unconfirmed, work, self._events)
        self._flow = AuthorizationFlow(
            settings,
            db,
            connectors,
            vault,
            self.clients,
            provider,
            self._keeper,
            endpoints,
            work,
        )
        self._forms = FormFlow(
            settings, db, connectors, vault, self.clients, provider, self._flow, self._keeper
        )

    async def close(self) -> None:
        """Lets refreshes under way end; before egress and database are closed."""
        await self._tokens.settle()

    # -- tokens -----------------------------------------------------------------------------

    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> AccessToken:
        """A token good for at least half a minute. Opens its own sessions, so call it outside of yours.

        Raises NotUsableError (pending, paused, disconnected), ReconnectRequiredError, ProviderFailedError.
        """
        return await self._tokens.access_token(tenant_id, connection_id)

    async def last_access_token(self, tenant_id: UUID, connection_id: UUID) -> AccessToken:
        """As `access_token`, of a connection that was disconnected and whose access is not revoked yet."""
        return await self._tokens.access_token(tenant_id, connection_id, ended=True)

    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
        """The provider answered 401 to the token of that generation: get a newer one, if nobody has yet.

        Opens its own sessions; raises as `access_token` does. A newer token that is rejected as well is for
        the caller to end by `require_reconnect(..., "token_rejected")`.
        """
        await self._tokens.token_rejected(tenant_id, connection_id, generation)

    async def require_reconnect(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str
    ) -> None:
        """State and issue; idempotent. `cause`: a code of the failure table."""
        await self._tokens.require_reconnect(session, tenant_id, connection_id, cause)

    # -- the flow ---------------------------------------------------------------------------

    async def begin(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        connector: str,
        *,
        via: Via = "portal",
        name: str | None = None,
        connection_id: UUID | None = None,
        connect_session_id: UUID | None = None,
        end_user_id: str | None = None,
        nonce: str = "",
        actions: Collection[str] | None = (),
    ) -> Begun:
        """Starts a trip to the provider: a new connection, or with `connection_id` a reconnect of that one.

        `actions`: names of those whose permissions are asked for beside what reading needs; None: of all.

        The caller answers 303 to `begun.url` with the cookie `flow_cookie(begun, secure=settings.secure)`.
        Raises NotFoundError (connector, connection), ConflictError.
        """
        return await self._flow.begin(
            session,
            tenant_id,
            principal,
            connector,
            via=via,
            name=name,
            connection_id=connection_id,
            connect_session_id=connect_session_id,
            end_user_id=end_user_id,
            nonce=nonce,
            actions=actions,
        )

    async def finish(
        self,
        connector: str,
        path: str,
        query: Mapping[str, str],
        cookies: Mapping[str, str],
        principal: Principal | None = None,
    ) -> Finished:
        """The provider's callback, all of it; opens its own sessions. Raises FlowRefusedError.

        `path`: that it arrived at, to the letter. `principal`: who is signed in. In the portal's flow nobody,
        or another one than set out, is refused.
        """
        return await self._flow.finish(connector, path, query, cookies, principal)

    async def form(
        self, connector: str, state: str, cookies: Mapping[str, str], principal: Principal | None = None
    ) -> FormView:
        """Our own form of that trip; opens its own sessions. Raises FlowRefusedError, NotFoundError."""
        return await self._forms.view(connector, state, cookies, principal)

    async def submit(
        self,
        connector: str,
        state: str,
        cookies: Mapping[str, str],
        principal: Principal | None,
        way: str,
        given: Mapping[str, str],
    ) -> str | Finished:
        """What was typed into the form: the address to go on to, or the end of the trip as of `finish`.

        `way`: key of the chosen way. Raises BadInputError naming the field, then the form may be sent again;
        FlowRefusedError.
        """
        return await self._forms.submit(connector, state, cookies, principal, way, given)

    async def confirm(
        self, session: AsyncSession, tenant_id: UUID, code: str, principal: Principal
    ) -> Connection:
        """The product's backend vouches for a widget's connection; one use.

        Raises BadInputError, the same for a wrong, used, old or foreign code.
        """
        ticket = read_ticket(CODE, code)
        moment = now()
        found = ticket and await connect_sessions.take_code(
            session,
            tenant_id,
            ticket.session_id,
            code_hash=ticket.hash,
            completed_after=moment - timedelta(seconds=CONFIRM_SECONDS),
            moment=moment,
        )
        connection = (
            await repository.lock(session, tenant_id, found.connection_id, with_credential=True)
            if found and found.connection_id
            else None
        )
        if found and connection is not None and connection.state == "pending":
            manifest = await self._connectors.find(connection.spoken)
            suggested = [key for key in found.recipes if manifest.recipe(key) is not None]
            await self._keeper.activate(session, connection, suggested, principal)
            return connection
        if found and connection is not None and await self._unconfirmed.adopt(session, connection, found.id):
            await self._keeper.restore(session, connection, principal)
            await self._work.cancel(session, tenant_id, EXPIRE_PENDING, str(connection.id))
            return connection
        raise BadInputError(
            "This completion code is not valid for this tenant: it is wrong, was used, or is older than "
            "ten minutes. Let the user connect again.",
            field="code",
            code="completion_code_invalid",
        )

    # -- life -------------------------------------------------------------------------------

    async def get(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Connection:
        """Raises NotFoundError."""
        connection = await repository.get(session, tenant_id, connection_id)
        if connection is None:
            raise NotFoundError
        return connection

    async def list(self, session: AsyncSession, tenant_id: UUID) -> Sequence[Connection]:
        """Newest first; without trips to a provider that did not come back."""
        return await repository.list_all(session, tenant_id)

    async def rename(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, name: str, principal: Principal
    ) -> Connection:
        """1 to 100 characters."""
        name = clean_name(name)
        connection = await self._locked(session, tenant_id, connection_id)
        before, connection.name = connection.name, name
        await session.flush()
        await journal.audited(
            session, principal, "renamed", connection, before={"name": before}, after={"name": name}
        )
        return connection

    async def pause(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, principal: Principal
    ) -> Connection:
        connection = await self._locked(session, tenant_id, connection_id)
        if connection.state == "paused":
            return connection
        if connection.state not in {"active", "setup"}:
            raise ConflictError("Only a connection that is active can be paused.")
        before, after = connection.enter("paused", "paused_by_member")
        await session.flush()
        await journal.audited(session, principal, "paused", connection, before=before, after=after)
        await self._events.stopped(session, connection)
        return connection

    async def resume(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, principal: Principal
    ) -> Connection:
        connection = await self._locked(session, tenant_id, connection_id)
        if connection.state == "active":
            return connection
        if connection.state != "paused":
            raise ConflictError("Only a connection that is paused can be resumed.")
        await self._connectors.refresh()
        if self._connectors.paused(connection.connector, connection.connector_version):
            raise ConflictError(
                "We have withdrawn this connector for now. The connection goes on by itself once it is back."
            )
        unread = connection.spoken == CUSTOM  # nobody has chosen yet how what it sends is read
        before, after = connection.enter("setup" if unread else "active", None)
        await session.flush()
        await journal.audited(session, principal, "resumed", connection, before=before, after=after)
        await self._events.reconnected(session, connection)
        return connection

    async def disconnect(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        principal: Principal,
        *,
        reason: str | None = None,
    ) -> Connection:
        """Revokes the grant, forgets the tokens, stops the streams; records and recipes stay.

        The provider is asked inside the caller's transaction; whatever it answers, the connection ends. Where
        it delivers webhooks, these are removed first, by work of its own, which then revokes.
        """
        connection = await self._locked(session, tenant_id, connection_id, with_credential=True)
        if connection.state == "disconnected":
            return connection
        if await self._events.ending(session, connection):
            revocation = "after_webhook"
        else:
            revocation = await self._tokens.revoke(session, connection)
        before, after = connection.enter("disconnected", "disconnected_by_member")
        await session.flush()
        await journal.audited(
            session,
            principal,
            "disconnected",
            connection,
            reason=reason,
            before=before,
            after=after,
            revocation=revocation,
        )
        await journal.solved(session, tenant_id, connection_id)
        await self._events.stopped(session, connection)
        return connection

    async def revoke_ended(self, session: AsyncSession, connection: Connection) -> str:
        """Revokes what a disconnected connection still had; what came of it. Its credential is locked."""
        return await self._tokens.revoke(session, connection)

    async def purge_pending(self, session: AsyncSession, connection: Connection) -> str:
        """Revokes and deletes a connection that nobody confirmed; what came of the revocation."""
        revocation = await self._tokens.revoke(session, connection)
        await repository.remove(session, connection.tenant_id, connection.id)
        return revocation

    async def drop_unconfirmed(
        self, session: AsyncSession, connection: Connection, held: UnconfirmedCredential
    ) -> str:
        """Revokes and forgets a reconnect's tokens that nobody confirmed; what came of the revocation."""
        return await self._unconfirmed.drop(session, connection, held)

    async def _locked(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, with_credential: bool = False
    ) -> Connection:
        connection = await repository.lock(session, tenant_id, connection_id, with_credential=with_credential)
        if connection is None:
            raise NotFoundError
        return connection
