"""A piece of work as its handler sees it, and what a handler may answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.work import repository
from trunkline.work.errors import LeaseLostError


class Done(msgspec.Struct, frozen=True):
    """Finished. `again_at` re-arms a recurring item; without it the row goes, unless asked for meanwhile."""

    again_at: datetime | None = None


class Retry(msgspec.Struct, frozen=True):
    """Failed, `cause` being a code of the failure table; tried again at `at`."""

    cause: str
    at: datetime


class HandBack(msgspec.Struct, frozen=True):
    """Not finished, not failed: due at once for whoever is free (deploy)."""


Outcome = Done | Retry | HandBack


class Lease:
    """Work that this process holds.

    Valid as long as the row carries this `attempt` and this `holder`; only `fence` and `finish` prove it.
    `stopping`: the process ends, hand back at the next page border. `lost`: the row is no longer ours; the
    handler's task is cancelled right after it is set. `tries`: failures in a row before this one.
    """

    def __init__(self, claimed: repository.Claimed, *, holder: str, lease_seconds: float) -> None:
        self.tenant_id: UUID = claimed.tenant_id
        self.work_id: UUID = claimed.id
        self.kind: str = claimed.kind
        self.key: str = claimed.key
        self.args: dict[str, Any] = claimed.args
        self.connection_id: UUID | None = claimed.connection_id
        self.attempt: int = claimed.attempt
        self.tries: int = claimed.tries
        self.holder = holder
        self.lease_seconds = lease_seconds
        self.stopping = asyncio.Event()
        self.lost = asyncio.Event()
        self.finished = False
        self._database_time = claimed.now
        self._claimed_at = time.monotonic()

    def now(self) -> datetime:
        """The database's time, by which everything is due."""
        elapsed = timedelta(seconds=time.monotonic() - self._claimed_at)
        return self._database_time + elapsed

    async def fence(self, session: AsyncSession) -> None:
        """Renew the lease within the caller's transaction and hold its row until that ends.

        Nobody can take the work over before the transaction commits or rolls back, so what it writes is
        written by the holder. Best called as the last statement. Raises LeaseLostError.
        """
        if not await repository.renew(session, self, self.lease_seconds):
            self.lost.set()
            raise LeaseLostError

    async def finish(self, session: AsyncSession, outcome: Outcome) -> None:
        """Write the outcome in the caller's transaction. Raises LeaseLostError.

        A handler that did so returns the same outcome; it is not written twice.
        """
        match outcome:
            case Done(again_at):
                mine = await repository.done(session, self, again_at)
            case Retry(cause, at):
                mine = await repository.retry(session, self, cause, at)
            case HandBack():
                mine = await repository.hand_back(session, self)
        if not mine:
            raise LeaseLostError
        self.finished = True


Handler = Callable[[Lease], Awaitable[Outcome]]
