"""What may be asked of an action, and what becomes of a call afterwards."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.actions import repository
from trunkline.actions.running import KEPT, UNKNOWN, Runner, sealed_place
from trunkline.actions.schemas import (
    ActionCallView,
    ActionIn,
    ActionView,
    Decision,
    InputView,
)
from trunkline.audit.service import append
from trunkline.connections import repository as connection_rows
from trunkline.connections.models import Connection
from trunkline.health.issues import resolve_cause
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.problems import FieldError
from trunkline.sdk.action_inputs import check_input
from trunkline.sdk.actions import Action
from trunkline.sdk.credentials import way_of
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.lease import Done, Handler, Lease, Outcome
from trunkline.work.queue import WorkQueue

ACT: Final = "act"
"""Kind of work: carries an action call out, and forgets its input in time; key is the call's id."""
WAIT_SECONDS: Final = 10.0
"""How long a caller is kept waiting for the provider; then the call is told of as under way."""
NET: Final = repository.HOLD + timedelta(seconds=10)
"""When a worker looks after a call that somebody else has in hand."""
URGENT: Final = -10
"""Priority of what somebody asked for before what is done regularly."""
_WORDS: Final = {
    "pending": "The connection is not confirmed yet.",
    "paused": "The connection is paused; resume it first.",
    "reconnect_required": "The account must be connected again first.",
    "disconnected": "The connection was disconnected.",
}

log = structlog.get_logger(__name__)


class ActionService:
    """One per process. Only `carry_out` commits."""

    def __init__(
        self, db: Database, vault: Vault, connectors: Connectors, work: WorkQueue, runner: Runner
    ) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._work = work
        self._runner = runner
        self._under_way: set[asyncio.Task[None]] = set()

    async def offered(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[ActionView]:
        """What can be written through the connection. Raises NotFoundError."""
        connection = await self._connection(session, tenant_id, connection_id)
        manifest = await self._connectors.find(connection.spoken)
        return [_view(manifest, connection, action) for action in manifest.actions]

    async def ask(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        connection_id: UUID,
        name: str,
        data: ActionIn,
        *,
        now_and_here: bool,
    ) -> ActionCallView:
        """A call, queued. `now_and_here`: `carry_out` follows, so that a worker only looks after it.

        Raises NotFoundError, BadInputError naming every field at fault, ConflictError by the connection's
        state, ForbiddenError where a permission is missing.
        """
        connection = await self._connection(session, tenant_id, connection_id)
        manifest = await self._connectors.find(connection.spoken)
        action = manifest.action(name)
        if action is None:
            listed = ", ".join(one.name for one in manifest.actions) or "none"
            raise NotFoundError(
                f'{manifest.label} has no action "{name[:80]}". It has: {listed}.', field="action"
            )
        items = _items(action, data)
        _may(manifest, connection, action)
        identity, moment = new_id(), now()
        box = await self._vault.box(session, tenant_id)
        await repository.add(
            session,
            {
                "tenant_id": tenant_id,
                "id": identity,
                "connection_id": connection_id,
                "action": name,
                "state": "queued",
                "alone": action.change is not None,
                "count": len(items),
                "input": box.seal(msgspec.json.encode(items), sealed_place(identity)),
                "key_version": box.version,
                "asked_by": principal.label,
                "asked_at": moment,
                "due_at": moment,
            },
        )
        await self._enqueue(
            session, tenant_id, connection_id, identity, moment + NET if now_and_here else moment
        )
        detail = {"action": name, "call_id": str(identity), "items": len(items)}
        await append(
            session, principal, "action.asked", "connection", connection_id, detail, tenant_id=tenant_id
        )
        return await self.call(session, tenant_id, identity)

    async def call(self, session: AsyncSession, tenant_id: UUID, call_id: UUID) -> ActionCallView:
        """Raises NotFoundError."""
        found = await repository.call(session, tenant_id, call_id)
        if found is None:
            raise NotFoundError
        return found

    async def look(self, tenant_id: UUID, call_id: UUID) -> ActionCallView:
        """As `call`, in a session of its own."""
        async with self._db.tenant(tenant_id) as session:
            return await self.call(session, tenant_id, call_id)

    async def retry(
        self, session: AsyncSession, tenant_id: UUID, principal: Principal, call_id: UUID
    ) -> ActionCallView:
        """Of a call that failed, of which nothing was written. Raises NotFoundError, ConflictError."""
        before = await self.call(session, tenant_id, call_id)
        if not before.can_retry:
            raise ConflictError("Only a call that failed and whose input is still known can be tried again.")
        connection = await self._connection(session, tenant_id, before.connection_id)
        manifest = await self._connectors.find(connection.spoken)
        action = manifest.action(before.action)
        if action is None:
            raise ConflictError(f"{manifest.label} has this action no more.")
        _may(manifest, connection, action)
        return await self._set(session, tenant_id, principal, before, "retried", _anew())

    async def decide(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        call_id: UUID,
        outcome: Decision,
    ) -> ActionCallView:
        """By somebody who looked there, of an unknown call. Raises NotFoundError, ConflictError."""
        before = await self.call(session, tenant_id, call_id)
        if before.state != "unknown":
            raise ConflictError("This call is not waiting for a decision.")
        values: dict[str, Any] = {"decided_by": principal.label, "finished_at": now()}
        if outcome == "written":
            values |= {"state": "done", "cause": None, "input": None}
        else:
            values |= {"state": "failed", "cause": None}
        after = await self._set(session, tenant_id, principal, before, "decided", values, outcome=outcome)
        if not await repository.unknowns(session, tenant_id, before.connection_id):
            await resolve_cause(session, tenant_id, before.connection_id, UNKNOWN, stream=None)
        return after

    # -- carrying out ------------------------------------------------------------------------

    async def carry_out(self, tenant_id: UUID, call_id: UUID) -> ActionCallView:
        """Now, for somebody who waits at most WAIT_SECONDS; how it stands then. Opens its own sessions."""
        task = asyncio.create_task(self._carried_out(tenant_id, call_id), name=f"act:{call_id}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=WAIT_SECONDS)
        return await self.look(tenant_id, call_id)

    def handler(self) -> Handler:
        async def handle(lease: Lease) -> Outcome:
            call_id = UUID(lease.key)
            due = await self._runner.run(lease.tenant_id, call_id)
            if due is None:
                due = await self._kept_until(lease.tenant_id, call_id)
            return Done(again_at=due)

        return handle

    async def close(self) -> None:
        """What is under way is left to a worker, which looks first whether it was written."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    # -- inside -----------------------------------------------------------------------------

    async def _carried_out(self, tenant_id: UUID, call_id: UUID) -> None:
        until = now() + timedelta(seconds=WAIT_SECONDS)
        while True:
            due = await self._runner.run(tenant_id, call_id, interactive=True)
            if due is None or due >= until:
                break
            await asyncio.sleep(max(0.05, (due - now()).total_seconds()))
        async with self._db.tenant(tenant_id) as session:
            found = await self.call(session, tenant_id, call_id)
            again = due if due is not None else None if found.state == "done" else now() + KEPT
            if again is not None:
                await self._enqueue(session, tenant_id, found.connection_id, call_id, again)

    async def _kept_until(self, tenant_id: UUID, call_id: UUID) -> datetime | None:
        """When the input of a call that ended is to be forgotten; forgets it if that is now."""
        async with self._db.tenant(tenant_id) as session:
            found = await repository.call(session, tenant_id, call_id)
            if found is None or found.state not in {"failed", "unknown"} or found.finished_at is None:
                return None
            until = found.finished_at + KEPT
            if until > now():
                return until
            await repository.forget(session, tenant_id, call_id)
            return None

    async def _set(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        before: ActionCallView,
        deed: str,
        values: Mapping[str, Any],
        **detail: str,
    ) -> ActionCallView:
        if not await repository.decide(session, tenant_id, before.id, (before.state,), dict(values)):
            raise ConflictError("This call was changed a moment ago. Look at it again.")
        if values["state"] == "queued":
            await self._enqueue(session, tenant_id, before.connection_id, before.id, now())
        named = {"action": before.action, "call_id": str(before.id), **detail}
        await append(
            session,
            principal,
            f"action.{deed}",
            "connection",
            before.connection_id,
            named,
            tenant_id=tenant_id,
        )
        return await self.call(session, tenant_id, before.id)

    async def _enqueue(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, call_id: UUID, at: datetime
    ) -> None:
        await self._work.enqueue(
            session,
            tenant_id=tenant_id,
            kind=ACT,
            key=str(call_id),
            due_at=at,
            connection_id=connection_id,
            priority=URGENT,
        )

    async def _connection(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Connection:
        found = await connection_rows.get(session, tenant_id, connection_id)
        if found is None:
            raise NotFoundError
        return found

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # a worker takes it up again
            log.error("action call broke off", error=type(error).__name__, exc_info=error)


def _anew() -> dict[str, Any]:
    moment = now()
    return {
        "state": "queued",
        "asked_at": moment,
        "cause": None,
        "results": [],
        "tries": 0,
        "first_sent_at": None,
        "sent_at": None,
        "due_at": moment,
        "finished_at": None,
        "decided_by": None,
    }


def _items(action: Action, data: ActionIn) -> list[dict[str, Any]]:
    """Raises BadInputError naming every field at fault."""
    if (data.input is None) == (data.inputs is None):
        raise BadInputError("Give one of input and inputs.", field="input")
    items = data.inputs if data.inputs is not None else [data.input or {}]
    most = action.batch.most if action.batch else 1
    if len(items) > most:
        raise BadInputError(f"{action.title} takes {most} at a time.", field="inputs")
    errors = [
        FieldError(
            wrong.message,
            f"inputs.{at}.{wrong.field}" if data.inputs is not None else f"input.{wrong.field}",
            "body",
        )
        for at, item in enumerate(items)
        for wrong in check_input(action, item)
    ]
    if errors:
        first = errors[0]
        words = f"{first.field}: {first.message}"
        if len(errors) > 1:
            words = f"{len(errors)} values cannot be used; see errors."
        raise BadInputError(words, field=first.field, errors=errors)
    return items


def _may(manifest: Manifest, connection: Connection, action: Action) -> None:
    if connection.state not in {"active", "setup"}:
        raise ConflictError(
            _WORDS.get(connection.state, "The connection is not active."),
            code=f"connection_{connection.state}",
        )
    missing = way_of(manifest, connection.config).lacking(connection.scopes, action.scopes)
    if missing:
        way = way_of(manifest, connection.config)
        words = ", ".join(way.scope_words.get(scope, scope) for scope in missing)
        raise ForbiddenError(
            f'This connection was not given the permission "{words}". Reconnect it with a connect session '
            f'whose `actions` name "{action.name}", or in the portal under "Let your product write".',
            code="missing_scope",
            missing=list(missing),
        )


def _view(manifest: Manifest, connection: Connection, action: Action) -> ActionView:
    lacking = way_of(manifest, connection.config).lacking(connection.scopes, action.scopes)
    return ActionView(
        name=action.name,
        title=action.title,
        description=action.description,
        input=[
            InputView(
                name=one.name,
                label=one.label,
                type=one.type,
                required=one.required,
                help=one.help,
                max_length=one.max_length,
                options=list(one.options),
            )
            for one in action.input
        ],
        most=action.batch.most if action.batch else 1,
        missing_scopes=list(lacking),
    )
