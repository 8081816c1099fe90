"""The handler of work `check`: proves that the grant of an otherwise idle connection still holds."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from trunkline.connections.errors import NotUsableError
from trunkline.connections.models import Connection
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.resilience.backoff import full_jitter
from trunkline.runs.errors import ProviderError
from trunkline.runs.grants import Grants
from trunkline.runs.provider import ProviderClient
from trunkline.sdk.own import CUSTOM
from trunkline.work.lease import Done, Lease, Outcome, Retry


class CheckHandler:
    """Any accepted call counts as proof, so a connection that syncs costs no extra one."""

    def __init__(
        self, *, db: Database, connections: Grants, provider: ProviderClient, check_seconds: int
    ) -> None:
        self._db = db
        self._connections = connections
        self._provider = provider
        self._every = timedelta(seconds=check_seconds)

    async def __call__(self, lease: Lease) -> Outcome:
        connection_id = UUID(lease.key)
        async with self._db.tenant(lease.tenant_id) as session:
            found = (
                await session.execute(
                    select(Connection.state, Connection.last_call_at, Connection.connector).where(
                        Connection.tenant_id == lease.tenant_id, Connection.id == connection_id
                    )
                )
            ).one_or_none()
        if found is None or found.state != "active" or found.connector == CUSTOM:
            return Done()  # at a customer's own system we have no grant
        moment = lease.now()
        if found.last_call_at is not None and found.last_call_at + self._every > moment:
            return Done(again_at=found.last_call_at + self._every)
        try:
            await self._provider.account(lease.tenant_id, connection_id, interactive=False)
        except (NotUsableError, NotFoundError):
            return Done()
        except ProviderError as error:
            return await self._failed(lease, connection_id, error)
        return Done(again_at=lease.now() + self._every)

    async def _failed(self, lease: Lease, connection_id: UUID, error: ProviderError) -> Outcome:
        if error.failure.action in {"reconnect", "refresh"}:
            async with self._db.tenant(lease.tenant_id) as session:
                await self._connections.require_reconnect(
                    session, lease.tenant_id, connection_id, error.failure.code
                )
                outcome = Done()
                await lease.finish(session, outcome)
            return outcome
        # nothing is wrong with the data: the streams tell of the provider's troubles themselves
        wait = full_jitter(lease.tries + 1, 2.0, self._every.total_seconds())
        at = lease.now() + timedelta(seconds=wait)
        return Retry(error.failure.code, max(at, error.retry_at or at))
