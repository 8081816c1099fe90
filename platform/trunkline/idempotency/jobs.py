"""Work of kind `purge_answers`: forgets a tenant's kept answers after their day."""

from datetime import timedelta

from trunkline.idempotency import repository
from trunkline.kernel.db import Database
from trunkline.work.lease import Done, Handler, Lease, Outcome

PURGE = "purge_answers"
LEAST_PAUSE = timedelta(hours=1)
"""Between two purges of a tenant: an expired answer is not given any more, so its row may wait."""


def purge_answers(db: Database) -> Handler:
    async def handle(lease: Lease) -> Outcome:
        moment = lease.now()
        async with db.tenant(lease.tenant_id) as session:
            oldest = await repository.purge(session, lease.tenant_id, moment)
            if oldest is not None and oldest > moment:
                oldest = max(oldest, moment + LEAST_PAUSE)
            outcome = Done(again_at=oldest)
            await lease.finish(session, outcome)
        return outcome

    return handle
