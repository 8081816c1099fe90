"""Work of kind `deliver`: sends what is due at one endpoint, a few at a time, until nothing is.

One row of work for each tenant and endpoint, so at one moment one process sends for the two. It is fenced:
what a process that lost its lease sent is sent again by the next, under the same id, and counts once here.
"""

import asyncio
import time
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import credentials, endpoint_repository, keyring, repository
from trunkline.deliveries.body import body_of
from trunkline.deliveries.credentials import Credentials
from trunkline.deliveries.order import Queue
from trunkline.deliveries.schedule import next_attempt
from trunkline.deliveries.schemas import Due, EndpointView
from trunkline.deliveries.sender import Sender, Sent
from trunkline.deliveries.signing import headers, message_id
from trunkline.deliveries.standing import GONE, learn
from trunkline.kernel.db import Database
from trunkline.vault.service import Vault
from trunkline.work.lease import Done, HandBack, Lease, Outcome

TURN_SECONDS = 5.0
"""Then other tenants' deliveries to a shared endpoint have their turn."""
LOOKED_AT = 500
"""Of what waits where an order is kept, at a time: most often the first few may go."""
SHARED = 4
"""Tenants that send to an endpoint of the installation at a time: the lane's cap per connection."""


class DeliverHandler:
    def __init__(self, db: Database, vault: Vault, sender: Sender) -> None:
        self._db = db
        self._vault = vault
        self._sender = sender

    async def __call__(self, lease: Lease) -> Outcome:
        ends, pace = time.monotonic() + TURN_SECONDS, _Pace()
        while True:
            found = await self._next(lease, UUID(lease.key))
            if not isinstance(found, tuple):
                return found
            endpoint, batch = found
            keys, beside = await self._keys(endpoint, lease.now())
            pace.every(endpoint)
            tasks = [self._deliver(lease, endpoint, keys, beside, due, body, pace) for due, body in batch]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            sent = [one for one in results if isinstance(one, Sent)]
            await learn(self._db, endpoint, sent, lease.now())
            for one in results:
                if isinstance(one, BaseException):
                    raise one
            if lease.stopping.is_set() or time.monotonic() > ends:
                return HandBack()

    async def _next(
        self, lease: Lease, endpoint_id: UUID
    ) -> Outcome | tuple[EndpointView, list[tuple[Due, bytes]]]:
        """What is to be sent now; else how the work ends."""
        tenant_id, now = lease.tenant_id, lease.now()
        async with self._db.tenant(tenant_id) as session:
            found = await endpoint_repository.receiving(session, tenant_id, endpoint_id)
            endpoint = found[0] if found else None
            outcome = Done()
            if endpoint is None or endpoint.disabled_at is not None:
                cause = "removed" if endpoint is None else endpoint.disabled_cause or "disabled"
                await repository.give_up(session, tenant_id, endpoint_id, _given_up(cause))
            elif endpoint.resting_until is not None and endpoint.resting_until > now:
                outcome = Done(again_at=endpoint.resting_until)
            else:
                batch, again_at = await _due(session, tenant_id, endpoint, now)
                if batch:
                    return endpoint, [(due, await body_of(session, tenant_id, due)) for due in batch]
                outcome = Done(again_at=again_at)
            await lease.finish(session, outcome)
            return outcome

    async def _keys(self, endpoint: EndpointView, now: datetime) -> tuple[list[str], Credentials]:
        """What signs, and what its receiver wants beside that: in its owner's scope."""
        async with self._db.tenant(endpoint.tenant_id) as session:
            keys = await keyring.secrets_of(session, self._vault, endpoint.tenant_id, endpoint.id, now)
            return keys, await credentials.read(session, self._vault, endpoint.tenant_id, endpoint.id)

    async def _deliver(
        self,
        lease: Lease,
        endpoint: EndpointView,
        keys: list[str],
        beside: Credentials,
        due: Due,
        body: bytes,
        pace: "_Pace",
    ) -> Sent:
        await pace.wait()
        at = lease.now()
        signed = headers(keys, message_id(due.event_id), int(at.timestamp()), body)
        sent = await self._sender.send(endpoint.url, signed, body, beside)
        await self._record(lease, due, sent, at)
        return sent

    async def _record(self, lease: Lease, due: Due, sent: Sent, at: datetime) -> None:
        tenant_id, number = lease.tenant_id, due.attempts + 1
        tries = 0 if sent.cause is None else due.tries + 1
        again = None if sent.cause is None else next_attempt(tries, sent.headers, lease.now())
        state, cause = "succeeded", None
        if sent.status == GONE:
            state, cause, again = "failed", "gone", None
        elif sent.cause is not None:
            state, cause = ("pending", None) if again else ("failed", "exhausted")
        async with self._db.tenant(tenant_id) as session:
            box = await self._vault.box(session, tenant_id)
            await repository.add_attempt(
                session,
                tenant_id,
                due.id,
                number,
                trigger=_trigger(due),
                status=sent.status,
                cause=sent.cause,
                took_ms=sent.took_ms,
                answer=keyring.seal_exchange(box, sent.exchange, due.id, number),
                version=box.version,
                at=at,
            )
            await repository.settle(
                session,
                tenant_id,
                due.id,
                state=state,
                cause=cause,
                tries=tries,
                attempts=number,
                next_at=again,
            )
            await lease.fence(session)


class _Pace:
    """Spaces requests so that all who send to the endpoint stay below its rate."""

    def __init__(self) -> None:
        self._gap = 0.0
        self._next = 0.0

    def every(self, endpoint: EndpointView) -> None:
        self._gap = (SHARED if endpoint.shared else 1) / endpoint.rate if endpoint.rate else 0.0

    async def wait(self) -> None:
        if not self._gap:
            return
        now = time.monotonic()
        # the first waits too: another turn may just have ended
        self._next = max(self._next, now) + self._gap
        await asyncio.sleep(self._next - now)


async def _due(
    session: AsyncSession, tenant_id: UUID, endpoint: EndpointView, now: datetime
) -> tuple[list[Due], datetime | None]:
    """What may go now; where that is nothing, when something may."""
    limit = width(endpoint)
    if endpoint.ordering == "none":
        batch = await repository.due(session, tenant_id, endpoint.id, now=now, limit=limit)
        return batch, None if batch else await repository.next_due(session, tenant_id, endpoint.id)
    queue, after = Queue(endpoint.ordering, now, limit), 0
    while True:
        page = await repository.waiting(
            session,
            tenant_id,
            endpoint.id,
            by_record=endpoint.ordering == "record",
            after=after,
            limit=LOOKED_AT,
        )
        if not queue.pass_by(page) or len(page) < LOOKED_AT:
            break
        after = page[-1].number
    ready = await repository.messages(session, tenant_id, queue.ready) if queue.ready else []
    return ready, queue.next_at


def width(endpoint: EndpointView) -> int:
    """Requests at a time. One that has failed so far is asked one thing at a time: it is to be found out
    whether it is back, at little cost for everybody.
    """
    if endpoint.failing_since is not None:
        return 1
    return max(1, endpoint.concurrency // SHARED) if endpoint.shared else endpoint.concurrency


def _trigger(due: Due) -> str:
    if due.tries:
        return "automatic"
    return "initial" if due.trigger == "event" else due.trigger


def _given_up(cause: str) -> str:
    return cause if cause in {"gone", "removed"} else "disabled"
