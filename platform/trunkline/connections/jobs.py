"""Work of kind `expire_pending`: ends connections, and new tokens of old ones, that nobody confirmed."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access import repository as connect_sessions
from trunkline.connections import journal, repository
from trunkline.connections.keeping import EXPIRE_PENDING
from trunkline.connections.models import Connection
from trunkline.connections.service import CONFIRM_SECONDS, ConnectionService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import SYSTEM
from trunkline.work.lease import Done, Handler, Lease, Outcome

__all__ = ["EXPIRE_PENDING", "expire_pending"]


def expire_pending(db: Database, connections: ConnectionService) -> Handler:
    """A handler, for the registry under `EXPIRE_PENDING`.

    Ten minutes after the trip to the provider began it looks; where the person came back late, the product
    has CONFIRM_SECONDS from then to confirm.
    """

    async def handle(lease: Lease) -> Outcome:
        async with db.tenant(lease.tenant_id) as session:
            connection = await repository.lock(
                session, lease.tenant_id, UUID(lease.key), with_credential=True
            )
            outcome = Done()
            if connection is not None and connection.state == "pending":
                until = await _kept_until(session, connection)
                if until is not None and until > now():
                    outcome = Done(again_at=until)
                else:
                    revocation = await connections.purge_pending(session, connection)
                    if connection.account_id is not None:
                        await journal.audited(session, SYSTEM, "expired", connection, revocation=revocation)
            elif connection is not None:
                outcome = await _end_reconnect(session, connections, connection)
            await lease.finish(session, outcome)
        return outcome

    return handle


async def _end_reconnect(
    session: AsyncSession, connections: ConnectionService, connection: Connection
) -> Done:
    held = await repository.unconfirmed(session, connection.tenant_id, connection.id)
    if held is None:
        return Done()
    until = held.created_at + timedelta(seconds=CONFIRM_SECONDS)
    if until > now():
        return Done(again_at=until)
    revocation = await connections.drop_unconfirmed(session, connection, held)
    await journal.audited(session, SYSTEM, "reconnect_expired", connection, revocation=revocation)
    return Done()


async def _kept_until(session: AsyncSession, connection: Connection) -> datetime | None:
    if connection.account_id is None:
        return await repository.open_authorization_until(session, connection.tenant_id, connection.id)
    if connection.connect_session_id is None:
        return None
    found = await connect_sessions.get(session, connection.tenant_id, connection.connect_session_id)
    if found is None or found.completed_at is None:
        return None
    return found.completed_at + timedelta(seconds=CONFIRM_SECONDS)
