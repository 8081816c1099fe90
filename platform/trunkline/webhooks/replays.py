"""Having what arrived processed again: one event, or many by a plan that shows first what it would change.

A replay is the ordinary processing once more, so that it is as idempotent: what is newer stays, what is the
same changes nothing. It takes its plan's own connection's events only, whatever ids it is given.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.sdk.registry import Connectors
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository, replay_repository
from trunkline.webhooks.applying import Applier, Difference
from trunkline.webhooks.events import UnparsableError, document
from trunkline.webhooks.models import Replay
from trunkline.webhooks.reading import told
from trunkline.webhooks.replay_repository import AttemptRow, EventRow, ReplayRow, Wanted
from trunkline.webhooks.repository import wake
from trunkline.work.lease import Done, HandBack, Handler, Lease, Outcome
from trunkline.work.queue import WorkQueue

REPLAY: Final = "replay"
"""Kind of work: the next events of a plan are put in the queue; key: the plan's id."""
BATCH: Final = 200
WATCH_SECONDS: Final = 1.0
TRIED: Final = 20
"""Events that a dry run looks at."""
REASON_LENGTH: Final = 500


class EventDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An event, opened. `body` None: its payload has expired."""

    event: EventRow
    headers: dict[str, str]
    body: str | None
    address: str | None
    request_id: str
    attempts: list[AttemptRow]
    changes: Sequence[Any]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    replay: ReplayRow
    outcomes: dict[str, int]
    waiting: int

    @property
    def done(self) -> int:
        return sum(self.outcomes.values())


class ReplayService:
    def __init__(
        self, db: Database, vault: Vault, connectors: Connectors, applier: Applier, work: WorkQueue
    ) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._applier = applier
        self._work = work

    # -- looking ----------------------------------------------------------------------------

    async def open(self, session: AsyncSession, tenant_id: UUID, event_id: UUID) -> EventDetail:
        """Raises NotFoundError."""
        found = await replay_repository.event(session, tenant_id, event_id)
        row = await replay_repository.sealed(session, tenant_id, event_id)
        if found is None or row is None:
            raise NotFoundError
        box = await self._vault.box(session, tenant_id)
        opened = {
            field: box.open(sealed, row.key_version, place("inbound_events", event_id, field=field))
            for field, sealed in (("headers", row.headers), ("body", row.body))
            if sealed is not None
        }
        return EventDetail(
            event=found,
            headers=msgspec.json.decode(opened.get("headers", b"{}"), type=dict[str, str]),
            body=opened["body"].decode("utf-8", "replace") if "body" in opened else None,
            address=row.address,
            request_id=row.request_id,
            attempts=await replay_repository.attempts(session, tenant_id, event_id),
            changes=await replay_repository.changes(session, tenant_id, found),
        )

    async def progress(self, session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> Progress:
        """Raises NotFoundError."""
        found = await replay_repository.replay(session, tenant_id, replay_id)
        if found is None:
            raise NotFoundError
        return Progress(
            replay=found,
            outcomes=await replay_repository.progress(session, tenant_id, replay_id),
            waiting=await replay_repository.left(session, tenant_id, found.connection_id, replay_id),
        )

    # -- one --------------------------------------------------------------------------------

    async def one(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        event_id: UUID,
        principal: Principal,
        *,
        reason: str | None = None,
    ) -> None:
        """Raises NotFoundError; ConflictError where it waits already or nothing can be made of it."""
        found = await replay_repository.event(session, tenant_id, event_id)
        if found is None:
            raise NotFoundError
        connection_id = await replay_repository.queue_one(session, tenant_id, event_id)
        if connection_id is None:
            raise ConflictError(
                "This event waits to be processed already."
                if found.state == "queued"
                else "This event can no longer be replayed: its payload has expired, or no recipe reads it."
            )
        await append(
            session,
            principal,
            "event.replayed",
            "connection",
            connection_id,
            {"event_id": str(event_id), "type": found.type},
            _reason(reason),
            tenant_id=tenant_id,
        )
        await wake(session, tenant_id, connection_id)
        self._work.hint(session)

    # -- many -------------------------------------------------------------------------------

    async def plan(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        wanted: Wanted,
        principal: Principal,
        *,
        reason: str | None = None,
    ) -> UUID:
        """What it would take, and cost. Raises NotFoundError; BadInputError where there is nothing."""
        row = await event_repository.connection(session, tenant_id, connection_id)
        if row is None:
            raise NotFoundError
        number, newest = await replay_repository.count(session, tenant_id, connection_id, wanted)
        if newest is None:
            raise BadInputError("No event fits that could be replayed.", field="states")
        hooks = (await self._connectors.find(row.connector)).webhooks
        batch = min((fetch.batch for fetch in hooks.fetches), default=0) if hooks else 0
        identity = new_id()
        session.add(
            Replay(
                tenant_id=tenant_id,
                id=identity,
                connection_id=connection_id,
                filter=msgspec.to_builtins(wanted),
                state="planned",
                total=number,
                calls=-(-number // batch) if batch else 0,
                up_to=newest,
                created_by=principal.label,
                reason=_reason(reason),
            )
        )
        await session.flush()
        await append(
            session,
            principal,
            "replay.planned",
            "connection",
            connection_id,
            {"replay_id": str(identity), "events": number},
            _reason(reason),
            tenant_id=tenant_id,
        )
        return identity

    async def dry_run(self, tenant_id: UUID, replay_id: UUID) -> list[Difference]:
        """What the plan's newest events would change now, before and after; nothing is written.

        Opens its own sessions. Raises NotFoundError and ProviderError.
        """
        async with self._db.tenant(tenant_id) as session:
            found = await replay_repository.replay(session, tenant_id, replay_id)
            if found is None:
                raise NotFoundError
            row = await event_repository.connection(session, tenant_id, found.connection_id)
            wanted = msgspec.convert(found.filter, Wanted)
            ids = await replay_repository.sample(session, tenant_id, found.connection_id, wanted, TRIED)
            queued = await event_repository.read(session, tenant_id, ids)
            box = await self._vault.box(session, tenant_id)
        manifest = await self._connectors.find(row.connector)
        if manifest.webhooks is None:
            return []
        understood = []
        for one in queued:
            if one.body is None:
                continue
            raw = box.open(one.body, one.key_version, place("inbound_events", one.id, field="body"))
            try:
                said = told(manifest.webhooks, one, document(raw))
            except UnparsableError:
                continue
            if said is not None:
                understood.append(said)
        differences: list[Difference] = []
        for stream in dict.fromkeys(one.rule.stream for one in understood):
            of_stream = [one for one in understood if one.rule.stream == stream]
            differences += await self._applier.preview(
                tenant_id, found.connection_id, manifest, stream, of_stream
            )
        return differences

    async def start(
        self, session: AsyncSession, tenant_id: UUID, replay_id: UUID, principal: Principal
    ) -> None:
        """Starting twice is starting once. Raises NotFoundError; ConflictError once it was cancelled."""
        found = await self._locked(session, tenant_id, replay_id)
        if found.state in {"running", "done"}:
            return
        if found.state != "planned":
            raise ConflictError("This replay was cancelled. Plan another one.")
        await replay_repository.change(session, tenant_id, replay_id, state="running", started_at=now())
        await self._audited(session, tenant_id, "replay.started", found, principal)
        await self._work.enqueue(
            session,
            tenant_id=tenant_id,
            kind=REPLAY,
            key=str(replay_id),
            connection_id=found.connection_id,
            priority=5,
        )

    async def cancel(
        self, session: AsyncSession, tenant_id: UUID, replay_id: UUID, principal: Principal
    ) -> None:
        """What was processed stays so; what waits stands as before. Raises NotFoundError, ConflictError."""
        found = await self._locked(session, tenant_id, replay_id)
        if found.state == "cancelled":
            return
        if found.state == "done":
            raise ConflictError("This replay has already ended.")
        await replay_repository.change(session, tenant_id, replay_id, state="cancelled", finished_at=now())
        await replay_repository.take_back(session, tenant_id, replay_id)
        await self._work.cancel(session, tenant_id, REPLAY, str(replay_id))
        await self._audited(session, tenant_id, "replay.cancelled", found, principal)

    async def _locked(self, session: AsyncSession, tenant_id: UUID, replay_id: UUID) -> ReplayRow:
        found = await replay_repository.replay(session, tenant_id, replay_id, locked=True)
        if found is None:
            raise NotFoundError
        return found

    @staticmethod
    async def _audited(
        session: AsyncSession, tenant_id: UUID, action: str, found: ReplayRow, principal: Principal
    ) -> None:
        await append(
            session,
            principal,
            action,
            "connection",
            found.connection_id,
            {"replay_id": str(found.id), "events": found.total},
            found.reason,
            tenant_id=tenant_id,
        )

    # -- the work ---------------------------------------------------------------------------

    def handler(self) -> Handler:
        async def handle(lease: Lease) -> Outcome:
            replay_id = UUID(lease.key)
            while not lease.stopping.is_set():
                async with self._db.tenant(lease.tenant_id) as session:
                    outcome = await self._step(session, lease, replay_id)
                    if outcome is not None:
                        await lease.finish(session, outcome)
                        return outcome
                    await lease.fence(session)
            return HandBack()

        return handle

    async def _step(self, session: AsyncSession, lease: Lease, replay_id: UUID) -> Outcome | None:
        """None: there is more to be put in the queue."""
        tenant_id = lease.tenant_id
        found = await replay_repository.replay(session, tenant_id, replay_id, locked=True)
        if found is None or found.state != "running":
            return Done()
        cursor = await replay_repository.cursor(session, tenant_id, replay_id) or UUID(int=0)
        ids = await replay_repository.queue(
            session,
            tenant_id,
            replay_id,
            found,
            msgspec.convert(found.filter, Wanted),
            cursor=cursor,
            limit=BATCH,
        )
        if ids:
            await replay_repository.change(
                session, tenant_id, replay_id, cursor=ids[-1], queued=found.queued + len(ids)
            )
            await wake(session, tenant_id, found.connection_id)
            self._work.hint(session)
            return None
        if await replay_repository.left(session, tenant_id, found.connection_id, replay_id):
            return Done(again_at=lease.now() + timedelta(seconds=WATCH_SECONDS))
        await replay_repository.change(session, tenant_id, replay_id, state="done", finished_at=now())
        return Done()


def _reason(reason: str | None) -> str | None:
    if reason is None:
        return None
    said = " ".join(reason.split())
    if not said or len(said) > REASON_LENGTH:
        raise BadInputError(f"Give a reason of at most {REASON_LENGTH} characters.", field="reason")
    return said
