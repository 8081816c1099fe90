"""Work `hooks`: what waits of one connection, in batches; and `sweep_hooks`: who waits and was not asked for.

A failure that would meet every event (the provider is away, a limit, a lost grant) holds the whole connection
up, with the pauses of the failure table. One that lies in an event itself sets that event aside after
`MAX_TRIES`: a dead letter, with the class of its error, while the rest flow.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.errors import NotUsableError
from trunkline.health.hook_drift import quiet, still_open
from trunkline.health.issues import open_issue
from trunkline.kernel.db import OPERATOR, Database
from trunkline.resilience.backoff import full_jitter
from trunkline.runs.errors import OvertakenError, ProviderError, RecipesChangedError, RunStoppedError
from trunkline.runs.grants import Grants
from trunkline.runs.trouble import understood
from trunkline.runs.writes import Place
from trunkline.sdk.contracts import Contract
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.own import CUSTOM
from trunkline.sdk.registry import Connectors
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository as repository
from trunkline.webhooks.applying import Applier
from trunkline.webhooks.drift import Watch
from trunkline.webhooks.event_repository import Made, Queued
from trunkline.webhooks.events import UnparsableError, document
from trunkline.webhooks.reading import Told, told
from trunkline.webhooks.repository import waiting, wake
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Done, HandBack, Handler, Lease, Outcome, Retry
from trunkline.work.queue import WorkQueue

SWEEP: Final = "sweep_hooks"
EXPIRE: Final = "expire_hooks"
BATCH: Final = 200
MAX_TRIES: Final = 5
"""Of one event that fails by itself."""
OVERTAKEN_TRIES: Final = 4
RETRY_BASE: Final = 2.0
RETRY_CAP: Final = 300.0
SWEEP_SECONDS: Final = 5.0
SWEPT: Final = 500
MALFORMED: Final = "malformed_event"
EXPIRED: Final = "payload_expired"
ITS_OWN: Final = frozenset({"internal_error", "unclassified", "malformed_answer"})
"""Causes that may lie in one event, though they are tried again."""

log = structlog.get_logger(__name__)


class HookHandler:
    """One per process; call it with a lease of work `hooks`."""

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        connectors: Connectors,
        connections: Grants,
        applier: Applier,
        work: WorkQueue,
    ) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._connections = connections
        self._applier = applier
        self._work = work

    async def __call__(self, lease: Lease) -> Outcome:
        connection_id, carried_out = UUID(lease.key), False
        while not lease.stopping.is_set():
            async with self._db.tenant(lease.tenant_id) as session:
                row = await repository.connection(session, lease.tenant_id, connection_id)
                usable = row is not None and row.state == "active"
                # what reviews approved, of a source that only sends: others have runs for it
                first = usable and not carried_out and row.connector.startswith(f"{CUSTOM}@")
                batch = (
                    await repository.take(session, lease.tenant_id, connection_id, BATCH)
                    if usable and not first
                    else []
                )
                if not batch and not first:
                    at = (
                        await repository.next_due(session, lease.tenant_id, connection_id) if usable else None
                    )
                    outcome = Done(again_at=at)
                    await self._expire_later(session, lease)
                    await lease.finish(session, outcome)
                    return outcome
            manifest = await self._connectors.find(row.connector)
            contract = await self._connectors.find_contract(row.connector)
            try:
                if first:
                    carried_out = True
                    await self._applier.carry_out(lease, connection_id, manifest)
                else:
                    await self._batch(lease, connection_id, manifest, contract, batch)
            except (RunStoppedError, NotUsableError):
                continue  # the next look says why
            except (OvertakenError, RecipesChangedError):
                return HandBack()  # a run over the same records is at it
            except ProviderError as error:
                return await self._held_up(lease, connection_id, error)
        return HandBack()

    async def _batch(
        self,
        lease: Lease,
        connection_id: UUID,
        manifest: Manifest,
        contract: Contract | None,
        batch: Sequence[Queued],
    ) -> None:
        """Raises ProviderError where no event of the connection can be made anything of just now."""
        by_stream, settled, watch = await self._read(lease, connection_id, manifest, contract, batch)
        if settled or watch.news:
            async with self._db.tenant(lease.tenant_id) as session:
                await watch.write(session, lease.tenant_id, connection_id)
                await repository.mark(session, lease.tenant_id, None, settled)
                if any(one.outcome == "dead" for one in settled):
                    await open_issue(session, lease.tenant_id, connection_id, MALFORMED)
                await lease.fence(session)
        for stream, events in by_stream.items():
            await self._stream(lease, connection_id, manifest, stream, events)

    async def _read(
        self,
        lease: Lease,
        connection_id: UUID,
        manifest: Manifest,
        contract: Contract | None,
        batch: Sequence[Queued],
    ) -> tuple[dict[str, list[Told]], list[Made], Watch]:
        hooks = manifest.webhooks
        async with self._db.tenant(lease.tenant_id) as session:
            box = await self._vault.box(session, lease.tenant_id)
            known = await still_open(session, lease.tenant_id, connection_id) if contract else []
        watch = Watch(hooks, contract, {one.event for one in known})
        by_stream: dict[str, list[Told]] = {}
        settled: list[Made] = []
        for event in batch:
            if event.body is None or hooks is None:
                settled.append(Made(event=event, outcome="ignored", cause=EXPIRED))
                continue
            raw = box.open(event.body, event.key_version, place("inbound_events", event.id, field="body"))
            try:
                read = document(raw)
                watch.look(event, read)
                found = told(hooks, event, read)
            except UnparsableError as error:
                log.warning("event not understood", why=str(error), event_id=str(event.id))
                settled.append(Made(event=event, outcome="dead", cause=MALFORMED))
                continue
            if found is None:
                settled.append(Made(event=event, outcome="ignored"))
            else:
                by_stream.setdefault(found.rule.stream, []).append(found)
        return by_stream, settled, watch

    async def _stream(
        self,
        lease: Lease,
        connection_id: UUID,
        manifest: Manifest,
        stream: str,
        events: Sequence[Told],
    ) -> None:
        for trial in range(1, OVERTAKEN_TRIES + 1):
            try:
                await self._applier.apply(lease, connection_id, manifest, stream, events)
            except (OvertakenError, RecipesChangedError):
                if trial == OVERTAKEN_TRIES:
                    raise
                continue
            except (LeaseLostError, RunStoppedError, NotUsableError):
                raise
            except Exception as error:
                found = understood(error, Place(lease.tenant_id, connection_id, stream))
                if not _its_own(found):
                    raise found from error
                if len(events) > 1:  # which of them it is shows when each is alone
                    for one in events:
                        await self._stream(lease, connection_id, manifest, stream, [one])
                else:
                    await self._set_aside(lease, connection_id, events[0], found)
            return

    async def _set_aside(self, lease: Lease, connection_id: UUID, one: Told, error: ProviderError) -> None:
        tries = one.event.tries + 1
        dead = tries >= MAX_TRIES
        again = lease.now() + timedelta(seconds=full_jitter(tries, RETRY_BASE, RETRY_CAP))
        made = Made(
            event=one.event,
            outcome="dead" if dead else "failed",
            cause=error.failure.code,
            stream=one.rule.stream,
            external_ids=one.ids,
            retry_at=None if dead else again,
        )
        async with self._db.tenant(lease.tenant_id) as session:
            await repository.mark(session, lease.tenant_id, None, [made])
            if dead:
                await open_issue(session, lease.tenant_id, connection_id, MALFORMED)
            await lease.fence(session)

    async def _held_up(self, lease: Lease, connection_id: UUID, error: ProviderError) -> Outcome:
        found = error.failure
        async with self._db.tenant(lease.tenant_id) as session:
            if found.action in {"reconnect", "refresh"}:
                await self._connections.require_reconnect(session, lease.tenant_id, connection_id, found.code)
                outcome: Outcome = Done()
            else:
                seconds = full_jitter(lease.tries + 1, RETRY_BASE, RETRY_CAP)
                at = lease.now() + timedelta(seconds=seconds)
                outcome = Retry(found.code, max(at, error.retry_at) if error.retry_at else at)
            await lease.finish(session, outcome)
        return outcome

    async def _expire_later(self, session: AsyncSession, lease: Lease) -> None:
        await self._work.enqueue(
            session,
            tenant_id=lease.tenant_id,
            kind=EXPIRE,
            key="payloads",
            due_at=lease.now() + timedelta(days=1),
        )


def _its_own(error: ProviderError) -> bool:
    return error.failure.action in {"fail", "quarantine", "pause"} or error.failure.code in ITS_OWN


def expire_payloads(db: Database) -> Handler:
    async def handle(lease: Lease) -> Outcome:
        while not lease.stopping.is_set():
            async with db.tenant(lease.tenant_id) as session:
                if await repository.expire(session, lease.tenant_id) == 0:
                    await quiet(session, lease.tenant_id)
                    outcome = Done(again_at=lease.now() + timedelta(days=1))
                    await lease.finish(session, outcome)
                    return outcome
        return HandBack()

    return handle


def sweep(db: Database, work: WorkQueue) -> Handler:
    """Whoever kept events and died before asking for their processing is made up for."""

    async def handle(lease: Lease) -> Outcome:
        async with db.system() as system:
            found = await waiting(system, SWEPT)
        for tenant_id, connection_id in found:
            async with db.tenant(tenant_id) as session:
                await wake(session, tenant_id, connection_id)
                work.hint(session)
        return Done(again_at=lease.now() + timedelta(seconds=SWEEP_SECONDS))

    return handle


async def begin_sweeping(db: Database, work: WorkQueue) -> None:
    """Idempotent; of the installation's own."""
    async with db.tenant(OPERATOR) as session:
        await work.enqueue(session, tenant_id=OPERATOR, kind=SWEEP, key="all")
