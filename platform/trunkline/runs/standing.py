"""How a run and its stream stand: their rows, as an attempt reads and changes them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.deliveries.catalogue import RunData
from trunkline.deliveries.outbox import emit
from trunkline.runs.models import Stream
from trunkline.runs.writes import Place

Ending = Literal["succeeded", "failed", "cancelled"]
EVENTS: dict[Ending, str] = {"succeeded": "run.finished", "failed": "run.failed"}


async def of(session: AsyncSession, place: Place) -> Any:
    """The stream's run_id, paused_at, schedule_seconds, checkpoint, its connection's state and that one's
    cause, as `lost`; None if it is gone.

    Locks the connection's row and the stream's, in that order like everyone: whoever stops or resumes it
    waits until this transaction has ended.
    """
    await session.execute(
        select(Connection.id)
        .where(Connection.tenant_id == place.tenant_id, Connection.id == place.connection_id)
        .with_for_update(key_share=True)
    )
    query = (
        select(
            Stream.run_id,
            Stream.paused_at,
            Stream.schedule_seconds,
            Stream.checkpoint,
            Connection.state,
            Connection.cause.label("lost"),
        )
        .join(
            Connection,
            (Connection.tenant_id == Stream.tenant_id) & (Connection.id == Stream.connection_id),
        )
        .where(
            Stream.tenant_id == place.tenant_id,
            Stream.connection_id == place.connection_id,
            Stream.stream == place.stream,
        )
        .with_for_update(of=Stream)
    )
    return (await session.execute(query)).one_or_none()


async def change_stream(session: AsyncSession, place: Place, **values: Any) -> None:
    await session.execute(
        update(Stream)
        .where(
            Stream.tenant_id == place.tenant_id,
            Stream.connection_id == place.connection_id,
            Stream.stream == place.stream,
        )
        .values(**values)
    )


async def wait_run(
    session: AsyncSession, tenant_id: UUID, run_id: UUID, until: datetime, cause: str, *, retry: bool
) -> None:
    """The run waits; `retry` counts it as a failed try."""
    await session.execute(
        text("""
            UPDATE runs SET state = 'waiting', cause = :cause, waiting_until = :until,
                retries = retries + CASE WHEN :retry THEN 1 ELSE 0 END
            WHERE tenant_id = :tenant AND id = :run AND state IN ('running', 'waiting')
        """),
        {"tenant": tenant_id, "run": run_id, "cause": cause, "until": until, "retry": retry},
    )


async def end_run(
    session: AsyncSession, tenant_id: UUID, run_id: UUID, state: Ending, cause: str | None
) -> None:
    """A run that has already ended (cancelled meanwhile) stays as it is; the product is told of others."""
    rows = await session.execute(
        text("""
            UPDATE runs SET state = :state, cause = :cause, waiting_until = NULL, finished_at = now()
            WHERE tenant_id = :tenant AND id = :run
              AND state IN ('queued', 'running', 'waiting', 'paused')
            RETURNING id AS run_id, connection_id, stream, mode, trigger, state, cause, fetched, created,
                updated, deleted, changes, started_at, finished_at
        """),
        {"tenant": tenant_id, "run": run_id, "state": state, "cause": cause},
    )
    row = rows.mappings().one_or_none()
    if row is not None and state in EVENTS:
        emit(session, tenant_id, EVENTS[state], RunData(**row), subject=row["connection_id"])


async def note_failure(
    session: AsyncSession, place: Place, cause: str, detail: dict[str, Any], *, counts: bool
) -> int:
    """Cause on the stream, since when it has been so; how many failed tries in a row that makes.

    A breaker that opens, and its probes, go on with the trouble that opened it.
    """
    return (
        await session.execute(
            text("""
                UPDATE streams SET cause_since = CASE
                        WHEN cause = :cause OR 'circuit_open' IN (cause, :cause)
                        THEN coalesce(cause_since, now()) ELSE now() END,
                    cause = :cause, cause_detail = CAST(:detail AS jsonb),
                    failures = failures + CASE WHEN :counts THEN 1 ELSE 0 END
                WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
                RETURNING failures
            """),
            {
                **place.params(),
                "cause": cause,
                "detail": msgspec.json.encode(detail).decode(),
                "counts": counts,
            },
        )
    ).scalar() or 0


_KEEP_BOOKMARK = text("""
    UPDATE streams SET settled = settled || jsonb_build_object('bookmark', CAST(:bookmark AS text))
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND settled IS NOT NULL
""")

_BOOKMARK = text("""
    SELECT settled->>'bookmark' FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
""")


async def keep_bookmark(session: AsyncSession, place: Place, bookmark: str) -> None:
    """Where the next run over what changed goes on; whatever else is settled stays."""
    await session.execute(_KEEP_BOOKMARK, {**place.params(), "bookmark": bookmark})


async def bookmark_of(session: AsyncSession, place: Place) -> str | None:
    bookmark: str | None = (await session.execute(_BOOKMARK, place.params())).scalar()
    return bookmark
