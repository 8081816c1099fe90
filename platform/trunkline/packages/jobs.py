"""Work of partners' connectors: examining what was taken in, and bringing connections to where they belong.

`settle_connectors` asks what holds and makes it so, whatever steps led there: a connection moves to the
newest compatible version that its tenant may connect; one on a withdrawn version that pauses is paused; one
that was paused for that alone goes on once it need not be.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import journal
from trunkline.connections import repository as connections_repository
from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.connections.versions import WITHDRAWN
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import SYSTEM
from trunkline.packages import repository
from trunkline.packages.archive import read
from trunkline.packages.compatibility import compatible
from trunkline.packages.examining import examine
from trunkline.packages.service import SETTLE
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors, version_key
from trunkline.work.lease import Done, Handler, Lease, Outcome
from trunkline.work.queue import WorkQueue


def examine_connector(db: Database) -> Handler:
    async def handle(lease: Lease) -> Outcome:
        package_id = UUID(lease.key)
        async with db.system() as session:
            kept = await repository.one(session, package_id)
            raw = await repository.archive(session, package_id)
        if kept is not None and raw is not None and not kept.examined:
            found = await examine(kept.connector, read(raw))
            async with db.system() as session:
                await repository.hold(session)
                await repository.examined(session, package_id, found.findings, found.graded)
                await repository.count(session)
        return Done()

    return handle


class Settling:
    """Handler of `settle_connectors`: of a tenant, or of the installation for all that speak a partner's."""

    def __init__(
        self, db: Database, connectors: Connectors, connections: ConnectionService, work: WorkQueue
    ) -> None:
        self._db = db
        self._connectors = connectors
        self._connections = connections
        self._work = work

    async def __call__(self, lease: Lease) -> Outcome:
        await self._connectors.refresh()
        if lease.tenant_id == OPERATOR:
            async with self._db.system() as system:
                tenants = await repository.tenants_speaking(system)
            for tenant_id in tenants:
                async with self._db.tenant(tenant_id) as session:
                    await self._work.enqueue(session, tenant_id=tenant_id, kind=SETTLE, key="all")
            return Done()
        async with self._db.tenant(lease.tenant_id) as session:
            ids = await repository.to_settle(session, lease.tenant_id)
        for connection_id in ids:
            async with self._db.tenant(lease.tenant_id) as session:
                await self.settle(session, lease.tenant_id, connection_id)
                await lease.fence(session)
        return Done()

    async def settle(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        connection = await connections_repository.lock(session, tenant_id, connection_id)
        if connection is None or connection.connector_version is None:
            return
        try:
            spoken = self._connectors.get(connection.spoken)
        except NotFoundError:
            return
        target = self._target(tenant_id, spoken)
        if target is not None:
            await self._move(session, connection, spoken, target)
        pausing = self._connectors.paused(connection.connector, connection.connector_version)
        if pausing and connection.state in {"active", "setup"}:
            await self._connections.versions.hold_back(session, connection, SYSTEM)
        elif not pausing and connection.state == "paused" and connection.cause == WITHDRAWN:
            await self._connections.versions.let_go_on(session, connection, SYSTEM)

    def _target(self, tenant_id: UUID, old: Manifest) -> Manifest | None:
        fitting = [one for one in self._connectors.approved(tenant_id, old.name) if compatible(old, one)]
        return max(fitting, key=lambda one: version_key(one.version), default=None)

    async def _move(
        self, session: AsyncSession, connection: Connection, old: Manifest, new: Manifest
    ) -> None:
        connection.connector_version = new.version
        await session.flush()
        await journal.audited(
            session,
            SYSTEM,
            "moved",
            connection,
            before={"version": old.version},
            after={"version": new.version},
        )
