"""Work of the kinds `read:{kind}`: a reader goes on from its cursor until it has read everything.

Each reader is a work item of its own, so that one that fails waits by itself and holds up no other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from trunkline.kernel.db import Database
from trunkline.readers import repository
from trunkline.readers.daily import DailyChangesReader
from trunkline.readers.reader import Reader
from trunkline.resilience.backoff import full_jitter
from trunkline.resilience.failures import Failure, classify
from trunkline.work.lease import Done, HandBack, Handler, Lease, Outcome, Retry

BATCHES = 20
"""In one go; then others of the tenant have their turn."""
RETRY_BASE = 2.0
RETRY_CAP = 300.0
LASTING_SECONDS = 900.0
"""Between tries at what the failure table does not call a matter of trying again: somebody must act first."""

log = structlog.get_logger(__name__)


class ReadHandler:
    """Of one kind of reader."""

    def __init__(self, db: Database, reader: Reader) -> None:
        self._db = db
        self._reader = reader

    async def __call__(self, lease: Lease) -> Outcome:
        try:
            return await self._read(lease)
        except Exception as error:
            found = classify(None, error=error)
            if found.code in {"lease_lost", "database_unavailable"}:
                raise  # not the reader's doing
            return await self._failed(lease, error, found)

    async def _read(self, lease: Lease) -> Outcome:
        reader, tenant_id = self._reader, lease.tenant_id
        for _ in range(BATCHES):
            if lease.stopping.is_set():
                break
            async with self._db.tenant(tenant_id) as session:
                batch = await repository.next_batch(
                    session, tenant_id, reader.kind, lease.key, size=reader.size, loads=reader.loads
                )
                if batch is None:
                    # a change that commits from here on has asked for another go: see the backlog's `done`
                    outcome = Done()
                    await lease.finish(session, outcome)
                    return outcome
            await reader.outside(batch)
            async with self._db.tenant(tenant_id) as session:
                if await repository.advance(session, tenant_id, reader.kind, batch):
                    await reader.handle(session, batch)
                await lease.fence(session)
        return HandBack()

    async def _failed(self, lease: Lease, error: Exception, found: Failure) -> Outcome:
        # a foreign message may quote a change: only our own errors show it, in the traceback
        log.warning(
            "reader failed",
            reader=f"{self._reader.kind}:{lease.key}",
            cause=found.code,
            error=type(error).__name__,
            exc_info=error if found.code == "internal_error" else None,
            tenant_id=str(lease.tenant_id),
        )
        which = lease.tenant_id, self._reader.kind, lease.key
        async with self._db.tenant(lease.tenant_id) as session:
            failures = await repository.note_failure(session, *which, found.code)
            at = getattr(error, "retry_at", None)
            if not isinstance(at, datetime):
                lasting = found.action in {"fail", "pause", "reconnect"}
                wait = LASTING_SECONDS if lasting else full_jitter(failures, RETRY_BASE, RETRY_CAP)
                at = lease.now() + timedelta(seconds=wait)
            await repository.note_retry(session, *which, at)
            outcome = Retry(found.code, at)
            await lease.finish(session, outcome)
        return outcome


def read_handlers(db: Database, readers: Sequence[Reader] = (DailyChangesReader(),)) -> dict[str, Handler]:
    return {repository.work_kind(reader.kind): ReadHandler(db, reader) for reader in readers}
