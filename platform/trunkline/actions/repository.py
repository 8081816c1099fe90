"""All SQL of action calls."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, insert, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.actions.models import ActionCall
from trunkline.actions.schemas import ActionCallView, ResultView
from trunkline.resilience.failures import failure

HOLD = timedelta(seconds=90)
"""How long a call is one process's, from its claim and anew from its sending; longer than that may take
(`running.SENDING_SECONDS`)."""
_COLUMNS = (
    *("id", "connection_id", "action", "state", "count", "result_id", "results", "cause", "asked_by"),
    *("asked_at", "tries", "due_at", "finished_at", "decided_by", "correlation_id"),
)
_VIEW = select(*(getattr(ActionCall, name) for name in _COLUMNS), ActionCall.input.is_not(None).label("kept"))


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A call that this process has in hand, as it was before."""

    tenant_id: UUID
    id: UUID
    connection_id: UUID
    action: str
    state: str
    count: int
    input: bytes | None
    key_version: int
    asked_at: datetime
    attempt: int
    tries: int
    first_sent_at: datetime | None
    sent_at: datetime | None


async def add(session: AsyncSession, values: dict[str, Any]) -> None:
    await session.execute(insert(ActionCall).values(**values))


async def call(session: AsyncSession, tenant_id: UUID, call_id: UUID) -> ActionCallView | None:
    query = _VIEW.where(ActionCall.tenant_id == tenant_id, ActionCall.id == call_id)
    return next(iter(_views(await session.execute(query))), None)


async def calls(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    connection_id: UUID | None = None,
    state: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[ActionCallView]:
    """Newest first; `before`: those next below a call's asked_at and id."""
    query = _VIEW.where(ActionCall.tenant_id == tenant_id)
    if connection_id is not None:
        query = query.where(ActionCall.connection_id == connection_id)
    if state is not None:
        query = query.where(ActionCall.state == state)
    if before is not None:
        query = query.where(tuple_(ActionCall.asked_at, ActionCall.id) < before)
    return _views(
        await session.execute(query.order_by(ActionCall.asked_at.desc(), ActionCall.id.desc()).limit(limit))
    )


async def unknowns(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> int:
    return (
        await session.execute(
            select(func.count()).where(
                ActionCall.tenant_id == tenant_id,
                ActionCall.connection_id == connection_id,
                ActionCall.state == "unknown",
            )
        )
    ).scalar_one()


_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 12))")
_BUSY = text("""
    SELECT EXISTS (SELECT FROM action_calls
        WHERE tenant_id = :tenant AND connection_id = :connection AND action = :action AND id <> :id
          AND held_until > clock_timestamp())
""")


async def claim(session: AsyncSession, tenant_id: UUID, call_id: UUID) -> Held | None:
    """Take it in hand; None: somebody else has it, it has ended, or it must wait for its turn."""
    at = [ActionCall.tenant_id == tenant_id, ActionCall.id == call_id]
    found = (
        await session.execute(
            select(ActionCall.connection_id, ActionCall.action, ActionCall.alone).where(*at)
        )
    ).first()
    if found is None:
        return None
    if found.alone:
        await session.execute(_TURN, {"key": f"{tenant_id}/{found.connection_id}/{found.action}"})
        named = {
            "tenant": tenant_id, "connection": found.connection_id, "action": found.action, "id": call_id
        }  # fmt: skip
        if (await session.execute(_BUSY, named)).scalar_one():
            return None
    before = await session.execute(
        select(ActionCall)
        .where(
            *at,
            ActionCall.state.in_(("queued", "sending", "checking")),
            ActionCall.held_until.is_(None) | (ActionCall.held_until <= func.clock_timestamp()),
        )
        .with_for_update()
    )
    row = before.scalar_one_or_none()
    if row is None:
        return None
    row.attempt += 1
    row.held_until = (await session.execute(select(func.clock_timestamp()))).scalar_one() + HOLD
    await session.flush()
    return Held(**{name: getattr(row, name) for name in Held.__struct_fields__})


async def sending(session: AsyncSession, held: Held) -> bool:
    """Say, before anything goes out, that it does; the hold begins anew. False: it is not ours any more."""
    return await _write(
        session,
        held,
        {
            "state": "sending",
            "held_until": func.clock_timestamp() + HOLD,
            "sent_at": func.clock_timestamp(),
            "first_sent_at": func.coalesce(ActionCall.first_sent_at, func.clock_timestamp()),
        },
    )


async def settle(session: AsyncSession, held: Held, values: dict[str, Any]) -> bool:
    """What came of it, and let it go. False: it is not ours any more, and nothing was written."""
    return await _write(session, held, {"held_until": None, **values})


async def decide(
    session: AsyncSession, tenant_id: UUID, call_id: UUID, only_from: Sequence[str], values: dict[str, Any]
) -> bool:
    """By a person. False: it is in none of those states."""
    done = await session.execute(
        update(ActionCall)
        .where(ActionCall.tenant_id == tenant_id, ActionCall.id == call_id, ActionCall.state.in_(only_from))
        .values(**values)
        .returning(ActionCall.id)
    )
    return done.scalar() is not None


async def forget(session: AsyncSession, tenant_id: UUID, call_id: UUID) -> None:
    """What was to be written."""
    await decide(session, tenant_id, call_id, ("done", "partial", "failed", "unknown"), {"input": None})


async def _write(session: AsyncSession, held: Held, values: dict[str, Any]) -> bool:
    done = await session.execute(
        update(ActionCall)
        .where(
            ActionCall.tenant_id == held.tenant_id,
            ActionCall.id == held.id,
            ActionCall.attempt == held.attempt,
            ActionCall.state.in_(("queued", "sending", "checking")),
        )
        .values(**values)
        .returning(ActionCall.id)
    )
    return done.scalar() is not None


def _views(rows: Any) -> list[ActionCallView]:
    return [_view(dict(row)) for row in rows.mappings()]


def _view(row: dict[str, Any]) -> ActionCallView:
    kept = row.pop("kept")
    results = [
        ResultView(id=one.get("id"), error=one.get("error"), field=one.get("field"), code=one.get("code"))
        for one in row.pop("results")
    ]
    message = failure(row["cause"]).customer if row["cause"] else None
    can_retry = row["state"] == "failed" and kept
    return ActionCallView(**row, results=results, message=message, can_retry=can_retry)
