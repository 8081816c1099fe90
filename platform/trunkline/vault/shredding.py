"""The end of a tenant: its grants revoked, its keys destroyed, its rows removed.

Destroying the keys is what counts: from then on nothing of the tenant opens, whether its rows are still here
or come back from a backup, because the tenant's own key was never in the database (`tenant_keys`). Each stage
is written down when it is done, so that a killed shredding goes on where it ended.

What stays, as evidence: the tenant's audit log, and one row that says when it was shredded. People's accounts
stay too: they may belong to other tenants.
"""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy import func, text

from trunkline.audit.service import append
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.principal import SYSTEM
from trunkline.vault import repository
from trunkline.vault.service import Vault

BATCH = 2000
ROLE = "trunkline_shred"
LAST = ("connections", "recipes", "data_keys", "tenants")
"""Tables whose rows others refer to: in the end, so that no single statement has to cascade over millions."""

_TABLES = text("""
    SELECT c.relname FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND has_table_privilege(:role, c.oid, 'DELETE')
""")

Disconnect = Callable[[UUID, UUID], Awaitable[None]]
"""(tenant, connection): ends the grant at the provider, in a transaction of its own."""


class Shredder:
    """Edges only: it opens and commits its own sessions."""

    def __init__(
        self, db: Database, vault: Vault, disconnect: Disconnect, say: Callable[[str], None]
    ) -> None:
        self._db = db
        self._vault = vault
        self._disconnect = disconnect
        self._say = say

    async def shred(self, tenant_id: UUID, slug: str) -> dict[str, int]:
        """Table -> rows removed, all runs together. Idempotent."""
        if tenant_id == OPERATOR:
            raise ValueError("the installation itself is not a tenant that can be shredded")
        async with self._db.tenant(tenant_id) as session:
            await repository.begin_shredding(session, tenant_id, slug, "begun")
        await self._audited("tenant.shred_begun", tenant_id, slug)
        stage = await self._stage(tenant_id)
        if stage == "begun":
            await self._revoke(tenant_id)
            await self._move(tenant_id, stage="revoked")
        if stage in {"begun", "revoked"}:
            await self._destroy(tenant_id)
        if stage != "finished":
            await self._remove(tenant_id)
            await self._audited("tenant.shredded", tenant_id, slug)
            await self._move(tenant_id, stage="finished", finished_at=func.now())
        async with self._db.tenant(tenant_id) as session:
            found = await repository.shredding(session, tenant_id)
        return dict(found.removed) if found else {}

    async def _revoke(self, tenant_id: UUID) -> None:
        """Work first, so that nothing calls a provider any more; a provider that fails stops nothing."""
        async with self._db.tenant(tenant_id) as session:
            await session.execute(text("DELETE FROM work WHERE tenant_id = :tenant"), {"tenant": tenant_id})
            rows = await session.execute(
                text("SELECT id FROM connections WHERE tenant_id = :tenant AND state <> 'disconnected'"),
                {"tenant": tenant_id},
            )
            connections: Sequence[UUID] = rows.scalars().all()
        for number, connection_id in enumerate(connections, 1):
            try:
                await self._disconnect(tenant_id, connection_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the keys must still go
                self._say(
                    f"Connection {connection_id} was not revoked at its provider ({type(error).__name__}); "
                    "its tokens go with the keys. Remove the grant there by hand."
                )
            else:
                self._say(f"disconnected {number:,} of {len(connections):,} connections")

    async def _destroy(self, tenant_id: UUID) -> None:
        """The tenant's own key first: it alone reaches backups. The wrapped keys here go right after."""
        self._vault.provider.tenant_keys.destroy(tenant_id)
        async with self._db.tenant(tenant_id) as session:
            await repository.blank(session, tenant_id)
            await repository.move_shredding(
                session, tenant_id, stage="destroyed", keys_destroyed_at=func.now()
            )
        self._say("keys destroyed: nothing of this tenant opens any more, backups included")

    async def _remove(self, tenant_id: UUID) -> None:
        async with self._db.tenant(tenant_id) as session:
            tables = (await session.execute(_TABLES, {"role": ROLE})).scalars().all()
        order = sorted(set(tables) - set(LAST)) + [table for table in LAST if table in tables]
        for table in order:
            removed = 0
            while number := await self._batch(tenant_id, table):
                removed += number
                self._say(f"{table}: {removed:,} removed")

    async def _batch(self, tenant_id: UUID, table: str) -> int:
        """Rows of one batch, counted in the same transaction. The role reaches this tenant's rows only."""
        column = "id" if table == "tenants" else "tenant_id"
        statement = text(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - a name of the catalogue
            f"SELECT ctid FROM {table} WHERE {column} = :tenant LIMIT :limit)) RETURNING 1"
        )
        async with self._db.tenant(tenant_id) as session:
            await session.execute(text(f"SET LOCAL ROLE {ROLE}"))
            rows = await session.execute(statement, {"tenant": tenant_id, "limit": BATCH})
            number = len(rows.all())
            await session.execute(text("SET LOCAL ROLE trunkline_app"))
            if number:
                found = await repository.shredding(session, tenant_id)
                assert found is not None
                removed = {**found.removed, table: found.removed.get(table, 0) + number}
                await repository.move_shredding(session, tenant_id, removed=removed)
        return number

    async def _stage(self, tenant_id: UUID) -> str:
        async with self._db.tenant(tenant_id) as session:
            found = await repository.shredding(session, tenant_id)
        assert found is not None
        return found.stage

    async def _move(self, tenant_id: UUID, **values: object) -> None:
        async with self._db.tenant(tenant_id) as session:
            await repository.move_shredding(session, tenant_id, **values)

    async def _audited(self, action: str, tenant_id: UUID, slug: str) -> None:
        """In the installation's own log, which outlives every tenant's rows."""
        async with self._db.tenant(OPERATOR) as session:
            await append(
                session, SYSTEM, action, "tenant", str(tenant_id), {"slug": slug}, tenant_id=OPERATOR
            )
