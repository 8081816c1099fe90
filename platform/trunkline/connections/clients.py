"""Our registrations at providers: a tenant's own, or else the operator's. No tenant ever uses another's."""

from collections.abc import Mapping
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections import repository
from trunkline.connections.models import Connection
from trunkline.connections.schemas import Client, OwnClient
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault

LONGEST = 500
"""Characters of a client id or a secret; providers' are under 200."""


_TYPED = UUID("b0a3a1de-6b9c-5b8e-9d6a-2f6f0d1c7e55")
"""Namespace of the ids that stand for an OAuth client where there is none."""


def no_client(tenant_id: UUID, connector: str) -> Client:
    """For connections by a pasted key: what they share at their provider is the account alone."""
    return Client(tenant_id, uuid5(_TYPED, connector), "", "")


def callback_path(connector: str, owner: UUID) -> str:
    """Where the provider sends browsers back to: one address for each connector and OAuth client.

    So an answer that arrives there was made for that registration at that provider, or is refused.
    """
    path = f"/oauth/callback/{connector}"
    return path if owner == OPERATOR else f"{path}/{owner.hex}"


def _context(connector: str) -> str:
    return f"oauth_clients/{connector}/secret"


class OAuthClients:
    def __init__(self, db: Database, vault: Vault, connectors: Connectors) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors

    async def register(
        self, session: AsyncSession, tenant_id: UUID, connector: str, *, client_id: str, secret: str
    ) -> None:
        """Adds or replaces the owner's client; `session` is the owner's, OPERATOR for everybody's."""
        box = await self._vault.box(session, tenant_id)
        await repository.put_client(
            session,
            tenant_id,
            connector,
            {
                "id": new_id(),
                "client_id": client_id,
                "secret": box.seal(secret.encode(), _context(connector)),
                "key_version": box.version,
            },
        )

    async def own(self, session: AsyncSession, tenant_id: UUID) -> Mapping[str, OwnClient]:
        """The tenant's own clients by connector, or the OPERATOR's. Nothing here opens a secret."""
        rows = await repository.clients(session, tenant_id)
        if tenant_id == OPERATOR:  # every tenant's connections may rest on the operator's
            async with self._db.system() as system:
                used = await repository.clients_in_use_by_all(system)
        else:
            used = await repository.clients_in_use(session, tenant_id)
        return {
            row.connector: OwnClient(row.connector, row.client_id, row.created_at, used.get(row.id, 0))
            for row in rows
        }

    async def bring(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        connector: str,
        *,
        client_id: str,
        secret: str,
        reason: str | None = None,
    ) -> None:
        """The tenant's own client from now on, for new connections; a secret can be replaced at any time. Of
        OPERATOR: everybody's who has none of their own.

        NotFoundError for a connector that the tenant may not connect; BadInputError (client_id, secret);
        ConflictError for another client id while connections rest on the old one, for their tokens are good
        with that one only.
        """
        if tenant_id == OPERATOR:
            await self._connectors.find(connector)
        else:
            await self._connectors.refresh()
            self._connectors.offer(tenant_id, connector)
        client_id, secret = client_id.strip(), secret.strip()
        for field, label, value in (("client_id", "client ID", client_id), ("secret", "secret", secret)):
            if not value or len(value) > LONGEST or not value.isascii() or not value.isprintable():
                raise BadInputError(
                    f"Enter the {label} exactly as the provider shows it: letters, digits and signs.",
                    field=field,
                )
        before = (await self.own(session, tenant_id)).get(connector)
        if before is not None and before.client_id != client_id:
            _unused(before)
        await self.register(session, tenant_id, connector, client_id=client_id, secret=secret)
        action = "oauth_client.added" if before is None else "oauth_client.replaced"
        await append(
            session,
            principal,
            action,
            "oauth_client",
            connector,
            {"connector": connector},
            reason,
            before=None if before is None else {"client_id": before.client_id},
            after={"client_id": client_id},
            tenant_id=tenant_id,
        )

    async def remove(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        connector: str,
        reason: str | None = None,
    ) -> None:
        """NotFoundError; ConflictError while connections rest on it, whose grants could not be ended then."""
        before = (await self.own(session, tenant_id)).get(connector)
        if before is None:
            raise NotFoundError
        _unused(before)
        await repository.remove_client(session, tenant_id, connector)
        await append(
            session,
            principal,
            "oauth_client.removed",
            "oauth_client",
            connector,
            {"connector": connector},
            reason,
            before={"client_id": before.client_id},
            tenant_id=tenant_id,
        )

    async def find(self, tenant_id: UUID, connector: str) -> Client:
        """For a new authorization. Opens its own sessions; ConflictError when nobody registered one."""
        for owner in (tenant_id, OPERATOR):
            client = await self._of_owner(owner, connector)
            if client is not None:
                return client
        raise ConflictError(
            f'Trunkline is not registered as an app at "{connector}" yet. '
            "Whoever runs this installation must add an OAuth client for it.",
            field="connector",
        )

    async def of_connection(self, connection: Connection) -> Client | None:
        """The client that the connection's tokens were made for; None once it is gone."""
        return await self.exactly(
            connection.tenant_id,
            connection.connector,
            owner=connection.oauth_client_tenant,
            row=connection.oauth_client_id,
        )

    async def exactly(self, tenant_id: UUID, connector: str, *, owner: UUID, row: UUID) -> Client | None:
        """None for a client that is gone, or is neither the tenant's own nor the operator's."""
        if owner not in {tenant_id, OPERATOR}:
            return None
        client = await self._of_owner(owner, connector)
        return client if client is not None and client.id == row else None

    async def _of_owner(self, owner: UUID, connector: str) -> Client | None:
        async with self._db.tenant(owner) as session:
            row = await repository.client(session, owner, connector)
            if row is None:
                return None
            box = await self._vault.box(session, owner)
            secret = box.open(row.secret, row.key_version, _context(connector)).decode()
        return Client(owner, row.id, row.client_id, secret)


def _unused(client: OwnClient) -> None:
    if client.connections:
        one = client.connections == 1
        raise ConflictError(
            f"{client.connections} connection{'' if one else 's'} still use{'s' if one else ''} this client. "
            f"Disconnect {'it' if one else 'them'} first; reconnecting afterwards keeps everything.",
            field="client_id",
        )
