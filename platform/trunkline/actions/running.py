"""Carrying a call out, once as far as the provider allows.

Before anything goes out, a committed row says that it does. Whoever finds such a row and no outcome knows
that the provider may have written: what then happens is what the action's manifest says of `repeat`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import structlog

from trunkline.actions import repository
from trunkline.actions.repository import Held
from trunkline.actions.schemas import ENDED
from trunkline.actions.sending import ItemResult, Sending, perhaps_written, problems_of, send, written_before
from trunkline.connections.errors import NotUsableError
from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.resilience.backoff import full_jitter
from trunkline.resilience.failures import failure
from trunkline.runs.errors import ProviderError
from trunkline.runs.grants import Grants
from trunkline.runs.provider import ProviderClient
from trunkline.sdk.actions import Action
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault

SENDING_SECONDS: Final = 60.0
"""A sending that takes longer is given up as lost; less than the hold, so that no two are ever under way."""
GIVES_UP: Final = timedelta(hours=24)
"""After it was asked for: a write of the day before yesterday would surprise whoever finds it."""
KEPT: Final = timedelta(days=30)
"""How long after its end it is known what a call was to write that wrote nothing."""
_ACCESS_GONE: Final = frozenset({"token_rejected", "grant_revoked"})
UNKNOWN: Final = "unknown_outcome"
GIVEN_UP: Final = "write_given_up"
_PASSES: Final = frozenset({"wait", "retry", "refresh", "reconnect"})
"""Actions of failures after which a call whose outcome is open can still be cleared up."""
INTERACTIVE_PATIENCE: Final = 4.0
"""Seconds that somebody who waits is held up by a limit; then the call is queued."""

log = structlog.get_logger(__name__)


class Step(msgspec.Struct, frozen=True):
    """What one attempt came to, as columns; and when it goes on."""

    values: dict[str, Any]
    due_at: datetime | None = None


class Runner:
    """One per process; opens its own sessions."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        provider: ProviderClient,
        grants: Grants,
        *,
        settle: float = 1.0,
    ) -> None:
        """`settle`: multiple of the seconds that manifests give a provider to settle after a lost answer."""
        self._db = db
        self._vault = vault
        self._provider = provider
        self._grants = grants
        self._settle = settle

    async def run(self, tenant_id: UUID, call_id: UUID, *, interactive: bool = False) -> datetime | None:
        """One attempt, if it is nobody else's; when it goes on, None: it has ended."""
        async with self._db.tenant(tenant_id) as session:
            held = await repository.claim(session, tenant_id, call_id)
            if held is None:
                found = await repository.call(session, tenant_id, call_id)
                if found is None or found.state in ENDED:
                    return None
                return now() + timedelta(seconds=5 if found.state == "sending" and not interactive else 0.5)
            box = await self._vault.box(session, tenant_id)
        if held.input is None:
            return None
        opened = box.open(held.input, held.key_version, sealed_place(call_id))
        step = await self._attempt(held, msgspec.json.decode(opened), interactive=interactive)
        if await self._settled(held, step):
            return step.due_at
        return now() + repository.HOLD  # somebody else has it, and may die with it

    # -- inside -----------------------------------------------------------------------------

    async def _attempt(self, held: Held, items: Sequence[Mapping[str, Any]], *, interactive: bool) -> Step:
        target = await self._provider.target(held.tenant_id, held.connection_id)
        action = target.manifest.action(held.action)
        fresh = held.state == "queued"
        if action is None:  # a newer version of the connector has it no more
            return _ended("failed", "bad_request") if fresh else _ended("unknown", UNKNOWN)
        if fresh and now() - held.asked_at > GIVES_UP:
            return _ended("failed", GIVEN_UP)
        one = Sending(
            target=target,
            action=action,
            items=items,
            key=_key(held),
            asked_at=held.asked_at,
            interactive=interactive,
            patience=INTERACTIVE_PATIENCE if interactive else 20.0,
        )
        try:
            if not fresh:
                cleared = await self._cleared_up(held, one)
                if cleared is not None:
                    return cleared
            async with self._db.tenant(held.tenant_id) as session:
                if not await repository.sending(session, held):
                    return Step({})
        except (ProviderError, NotUsableError) as error:
            return _still_open(held, error)
        return await self._sent(held, one)

    async def _sent(self, held: Held, one: Sending) -> Step:
        # of a sending before this one it is still not known whether it arrived
        looked = one.action.repeat == "find" and one.action.change is None
        before = held.state != "queued" and not looked
        try:
            async with asyncio.timeout(SENDING_SECONDS):
                results = await send(self._provider.calls, one)
        except TimeoutError:
            return self._lost(held, one.action, "provider_timeout", {})
        except NotUsableError as error:
            return _still_open(held, error) if before else _ended("failed", error.failure_code)
        except ProviderError as error:
            detail = {"correlation_id": error.detail.get("correlation_id")}
            if perhaps_written(error):
                return self._lost(held, one.action, error.failure.code, detail)
            if before:
                return _still_open(held, error, detail)
            if error.failure.action in {"wait", "retry"}:
                detail["first_sent_at"] = None
                return _again("queued", held, error.failure.code, error.retry_at, detail)
            refusal = problems_of(one.action, error)
            return _ended("failed", error.failure.code, [refusal] * held.count, detail)
        return _written(results)

    async def _cleared_up(self, held: Held, one: Sending) -> Step | None:
        """None: it can be sent. Raises ProviderError."""
        action, sent = one.action, held.sent_at or held.asked_at
        if action.repeat == "same":
            return None
        if action.repeat == "key":
            first = held.first_sent_at or sent
            if now() < first + timedelta(seconds=action.key_seconds) - timedelta(minutes=5):
                return None
            return _ended("unknown", UNKNOWN)
        if action.repeat == "never":
            return _ended("unknown", UNKNOWN)
        settled = sent + self._settling(action)
        if settled > now():
            return Step({"state": "checking", "due_at": settled}, settled)
        if action.change is not None:  # looks by itself before it writes
            return None
        found = await written_before(self._provider.calls, one)
        return None if found is None else _written([found])

    def _lost(self, held: Held, action: Action, cause: str, detail: dict[str, Any]) -> Step:
        """The answer to a sending did not come, or cannot be read."""
        if action.repeat == "never":
            return _ended("unknown", UNKNOWN, detail=detail)
        return _again("checking", held, cause, now() + self._settling(action), detail)

    def _settling(self, action: Action) -> timedelta:
        return timedelta(seconds=(action.find.settle_seconds if action.find else 1) * self._settle)

    async def _settled(self, held: Held, step: Step) -> bool:
        """Whether it was still ours."""
        if not step.values:
            return False
        async with self._db.tenant(held.tenant_id) as session:
            mine = await repository.settle(session, held, step.values)
            cause = step.values.get("cause")
            if mine and cause in _ACCESS_GONE:
                await self._grants.require_reconnect(session, held.tenant_id, held.connection_id, cause)
            if mine and step.values["state"] == "unknown":
                await open_issue(
                    session, held.tenant_id, held.connection_id, UNKNOWN, detail={"work_id": held.id}
                )
        log.info(
            "action call",
            action=held.action,
            call_id=str(held.id),
            tenant_id=str(held.tenant_id),
            state=step.values["state"] if mine else "overtaken",
            cause=cause,
        )
        return mine


def sealed_place(call_id: UUID) -> str:
    return place("action_calls", call_id, field="input")


def _key(held: Held) -> str:
    """By which the provider knows the call: the same however often it is sent, another once a person had it
    tried again, since a provider may keep a refusal under its key.
    """
    return uuid5(held.id, held.asked_at.astimezone(UTC).isoformat()).hex


def _written(results: list[ItemResult]) -> Step:
    refused = sum(1 for one in results if one.error)
    state = "done" if not refused else "failed" if refused == len(results) else "partial"
    values: dict[str, Any] = {
        "state": state,
        "results": msgspec.to_builtins(results),
        "result_id": results[0].id if len(results) == 1 else None,
        "cause": next((one.error for one in results if one.error), None),
        "finished_at": now(),
        "due_at": None,
    }
    if state != "failed":
        values["input"] = None
    return Step(values)


def _ended(
    state: str,
    cause: str,
    results: Sequence[ItemResult] = (),
    detail: Mapping[str, Any] | None = None,
) -> Step:
    return Step(
        {
            "state": state,
            "cause": cause,
            "results": msgspec.to_builtins(list(results)),
            "finished_at": now(),
            "due_at": None,
            **(detail or {}),
        }
    )


def _still_open(
    held: Held, error: ProviderError | NotUsableError, detail: Mapping[str, Any] | None = None
) -> Step:
    """Trouble with a call that may have been written before: only what passes is waited for."""
    code = error.failure_code
    retry_at = error.retry_at if isinstance(error, ProviderError) else None
    if failure(code).action in _PASSES or code == "paused_by_member":
        return _again("checking", held, code, retry_at, detail)
    return _ended("unknown", UNKNOWN, detail=detail)


def _again(
    state: str, held: Held, cause: str, at: datetime | None, detail: Mapping[str, Any] | None = None
) -> Step:
    """Later; after a day no more."""
    moment = now()
    if moment - held.asked_at > GIVES_UP:
        return _ended(*(("failed", GIVEN_UP) if state == "queued" else ("unknown", UNKNOWN)), detail=detail)
    wait = timedelta(seconds=full_jitter(held.tries + 1, 1.0, 300.0))
    due = max(at, moment) if at is not None and held.tries == 0 else max(at or moment, moment + wait)
    return Step(
        {"state": state, "cause": cause, "tries": held.tries + 1, "due_at": due, **(detail or {})}, due
    )
