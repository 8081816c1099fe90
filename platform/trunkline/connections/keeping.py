"""What a trip to the provider ends with: tokens sealed, and the connection moved on, in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository as connect_sessions
from trunkline.access.tickets import CODE, new_ticket
from trunkline.connections import journal, repository
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.models import Authorization, Connection
from trunkline.connections.schemas import Account, Client, Finished, Purpose, Tokens, Via
from trunkline.connections.tokens import TokenKeeper
from trunkline.connections.unconfirmed import Unconfirmed
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.sdk.credentials import GIVEN, VALUES, WAY
from trunkline.sdk.manifest import Auth, Manifest
from trunkline.work.queue import WorkQueue

EXPIRE_PENDING = "expire_pending"
"""Kind of the work that ends what nobody confirmed; its key is the connection's id."""
CONFIRM_SECONDS = 570
"""How long a completion code is good; the rest of ten minutes is for revoking and purging what it was for."""


class NotKeptError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class GrantKeeper:
    def __init__(
        self,
        db: Database,
        tokens: TokenKeeper,
        unconfirmed: Unconfirmed,
        work: WorkQueue,
        events: ConnectionEvents,
    ) -> None:
        self._db = db
        self._tokens = tokens
        self._unconfirmed = unconfirmed
        self._work = work
        self._events = events

    async def keep(
        self,
        found: Authorization,
        manifest: Manifest,
        way: Auth,
        client: Client,
        tokens: Tokens,
        account: Account,
        values: Mapping[str, str],
        nonce: str,
    ) -> Finished:
        """Seals the tokens and moves the connection on, in one transaction; raises NotKeptError."""
        values = {name: value for name, value in values.items() if name != "api_version"}
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
                raise NotKeptError("authorization_expired", "This took too long. Start again.")
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
                    raise NotKeptError("authorization_unknown", message)
                secret = ticket.value
            scopes = list(tokens.scopes if tokens.scopes is not None else way.asked(found.scopes))
            if found.purpose == "reconnect" and found.connect_session_id is not None:
                await self._unconfirmed.put(
                    session, connection, found.connect_session_id, client, tokens, scopes, values
                )
                await self.expire(session, tenant_id, connection_id, CONFIRM_SECONDS)
            else:
                await self._tokens.store(session, tenant_id, connection_id, tokens)
                connection.oauth_client_tenant, connection.oauth_client_id = client.tenant_id, client.id
                connection.account_id, connection.account_label = account.id, account.label
                connection.scopes, connection.last_call_at = scopes, now()
                kept = {key: value for key, value in connection.config.items() if key != GIVEN}
                connection.config = {**kept, VALUES: values, WAY: way.key}
                if found.purpose == "reconnect":
                    await self.restore(session, connection, principal)
                else:
                    await self._name(session, connection, manifest)
                    journal.told(session, "connection.created", connection)
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
        connection.enter("active", None)
        connection.confirmed_at = connection.state_since
        await session.flush()
        await self._work.cancel(session, connection.tenant_id, EXPIRE_PENDING, str(connection.id))
        await journal.audited(
            session, principal, "connected", connection, account=connection.account_id, via=connection.via
        )
        await self._events.activated(session, connection, suggested, principal)

    async def restore(self, session: AsyncSession, connection: Connection, principal: Principal) -> None:
        """New tokens are in place. A paused connection stays so: it need not be the same person's doing."""
        if connection.state != "paused":
            connection.enter("active", None)
        await session.flush()
        await journal.audited(session, principal, "reconnected", connection, account=connection.account_id)
        await journal.solved(session, connection.tenant_id, connection.id)
        if connection.state == "active":
            await self._events.reconnected(session, connection)

    async def expire(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, seconds: int) -> None:
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


def _check_account(
    found: Authorization, connection: Connection, manifest: Manifest, account: Account
) -> None:
    known = connection.account_id
    if found.purpose == "reconnect" and known is not None and known != account.id:
        raise NotKeptError(
            "account_mismatch",
            f"This connection belongs to the {manifest.label} account {known}, and you chose {account.id}. "
            f"Nothing was changed. Start again and choose the account {known}, or connect {account.id} "
            "as a connection of its own.",
        )
