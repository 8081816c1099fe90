"""Our registrations at providers: a tenant's own, or else the operator's."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import repository
from trunkline.connections.schemas import Client
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import ConflictError
from trunkline.kernel.ids import new_id
from trunkline.vault.service import Vault


def _context(connector: str) -> str:
    return f"oauth_clients/{connector}/secret"


class OAuthClients:
    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

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

    async def find(self, tenant_id: UUID, connector: str) -> Client:
        """For a new authorization. Opens its own sessions; ConflictError when nobody registered one."""
        for owner in (tenant_id, OPERATOR):
            client = await self.of_owner(owner, connector)
            if client is not None:
                return client
        raise ConflictError(
            f'Trunkline is not registered as an app at "{connector}" yet. '
            "Whoever runs this installation must add an OAuth client for it.",
            field="connector",
        )

    async def of_owner(self, owner: UUID, connector: str) -> Client | None:
        async with self._db.tenant(owner) as session:
            row = await repository.client(session, owner, connector)
            if row is None:
                return None
            box = await self._vault.box(session, owner)
            secret = box.open(row.secret, row.key_version, _context(connector)).decode()
        return Client(owner, row.id, row.client_id, secret)
