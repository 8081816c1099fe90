"""One attempt's dealings with its run and stream: how it begins, waits, ends."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel.ids import new_id
from trunkline.recipes import repository as recipes
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.target import TargetModel, built_in_models
from trunkline.runs.checkpoint import Checkpoint, Settled, begin
from trunkline.runs.models import Run, Stream
from trunkline.runs.writes import Place
from trunkline.sdk.manifest import Manifest, StreamSpec
from trunkline.sdk.registry import Connectors
from trunkline.work.lease import Lease

Ending = Literal["succeeded", "failed", "cancelled"]


class Attempt(msgspec.Struct, kw_only=True):
    """What is known when work on a run begins."""

    place: Place
    run_id: UUID
    manifest: Manifest
    spec: StreamSpec
    recipes: list[tuple[RecipeInForce, TargetModel]]
    checkpoint: Checkpoint
    watermark: datetime | None
    schedule_seconds: int


class Idle(msgspec.Struct, frozen=True):
    """There is nothing to do: stopped, paused, or no recipe reads the stream. `again`: by schedule."""

    again_seconds: int | None = None


_STREAM = select(
    Stream.run_id,
    Stream.checkpoint,
    Stream.settled,
    Stream.watermark,
    Stream.schedule_seconds,
    Stream.paused_at,
)


async def start(session: AsyncSession, lease: Lease, place: Place, connectors: Connectors) -> Attempt | Idle:
    """Takes up the queued or interrupted run, or makes a scheduled one. Raises LookupError on a stream that
    the connector no longer has, or a model that is not declared.
    """
    row = (
        await session.execute(
            _STREAM.where(
                Stream.tenant_id == place.tenant_id,
                Stream.connection_id == place.connection_id,
                Stream.stream == place.stream,
            ).with_for_update()
        )
    ).one_or_none()
    connection = (
        await session.execute(
            select(Connection.connector, Connection.state, Connection.cause).where(
                Connection.tenant_id == place.tenant_id, Connection.id == place.connection_id
            )
        )
    ).one_or_none()
    if row is None or connection is None:
        return Idle()
    if connection.state != "active" or row.paused_at is not None:
        lost = connection.state == "reconnect_required"
        cause = (connection.cause or "grant_revoked") if lost else None
        if row.run_id is not None:
            await end_run(session, place.tenant_id, row.run_id, "failed" if lost else "cancelled", cause)
        await change_stream(session, place, run_id=None, waiting_until=None, next_due_at=None)
        return Idle()
    in_force = await recipes.in_force(session, place.tenant_id, place.connection_id, place.stream)
    if not in_force:
        if row.run_id is not None:
            await end_run(session, place.tenant_id, row.run_id, "cancelled", None)
        await change_stream(session, place, run_id=None, waiting_until=None, next_due_at=None)
        return Idle()
    manifest = connectors.get(connection.connector)
    spec = manifest.stream(place.stream)
    if spec is None:
        raise LookupError(f"the connector {manifest.name} has no stream {place.stream}")
    with_models = await _with_models(session, place.tenant_id, in_force)
    run_id, forced = await _run(session, lease, place, row.run_id)
    used = {name for recipe in in_force for name in RecipeMapper.fields_used(recipe.definition)}
    checkpoint = _checkpoint(
        row,
        spec,
        fields=sorted({*spec.field_names, *used}),
        versions={str(recipe.recipe_id): recipe.version for recipe in in_force},
        forced=forced,
        started=lease.now(),
    )
    await session.execute(
        update(Run).where(Run.tenant_id == place.tenant_id, Run.id == run_id).values(mode=checkpoint.mode)
    )
    await change_stream(session, place, run_id=run_id, waiting_until=None)
    await lease.fence(session)
    return Attempt(
        place=place,
        run_id=run_id,
        manifest=manifest,
        spec=spec,
        recipes=with_models,
        checkpoint=checkpoint,
        watermark=row.watermark,
        schedule_seconds=row.schedule_seconds,
    )


async def _with_models(
    session: AsyncSession, tenant_id: UUID, in_force: list[RecipeInForce]
) -> list[tuple[RecipeInForce, TargetModel]]:
    declared = await recipes.declared_models(session, tenant_id)
    models = {**built_in_models(), **{model.name: model for model in declared}}
    missing = [recipe.model for recipe in in_force if recipe.model not in models]
    if missing:
        raise LookupError(f"the model {missing[0]} is not declared")
    return [(recipe, models[recipe.model]) for recipe in in_force]


_TAKE_UP = text("""
    UPDATE runs SET state = 'running', attempt = attempt + 1, started_at = coalesce(started_at, now()),
        waiting_until = NULL, cause = NULL
    WHERE tenant_id = :tenant AND id = :run AND state IN ('queued', 'running', 'waiting')
    RETURNING mode, attempt
""")


async def _run(
    session: AsyncSession, lease: Lease, place: Place, run_id: UUID | None
) -> tuple[UUID, Literal["full"] | None]:
    """The run to work on, and whether somebody asked for everything anew."""
    if run_id is not None:
        taken = (await session.execute(_TAKE_UP, {"tenant": place.tenant_id, "run": run_id})).one_or_none()
        if taken is not None:
            if taken.attempt == 1:
                await change_stream(session, place, last_started_at=lease.now())
            return run_id, "full" if taken.attempt == 1 and taken.mode == "full" else None
    run_id = new_id()
    await session.execute(
        insert(Run).values(
            tenant_id=place.tenant_id,
            id=run_id,
            connection_id=place.connection_id,
            stream=place.stream,
            mode="incremental",
            trigger="schedule",
            state="running",
            attempt=1,
            started_at=lease.now(),
        )
    )
    await change_stream(session, place, last_started_at=lease.now())
    return run_id, None


def _checkpoint(
    row: Any,
    spec: StreamSpec,
    *,
    fields: list[str],
    versions: dict[str, int],
    forced: Literal["full"] | None,
    started: datetime,
) -> Checkpoint:
    """Where the pass stands; a new one where there is none, or where the old one asked for less."""
    settled = None if row.settled is None else msgspec.convert(row.settled, Settled)
    held = None if row.checkpoint is None else msgspec.convert(row.checkpoint, Checkpoint)
    if held is not None and set(fields) <= set(held.fields) and (forced is None or held.mode == "full"):
        return held
    return begin(
        spec,
        settled=settled,
        watermark=row.watermark,
        fields=fields,
        recipes=versions,
        forced=forced,
        started=started,
    )


async def end_run(
    session: AsyncSession, tenant_id: UUID, run_id: UUID, state: Ending, cause: str | None
) -> None:
    """A run that has already ended (cancelled meanwhile) stays as it is."""
    await session.execute(
        text("""
            UPDATE runs SET state = :state, cause = :cause, waiting_until = NULL, finished_at = now()
            WHERE tenant_id = :tenant AND id = :run AND state IN ('queued', 'running', 'waiting')
        """),
        {"tenant": tenant_id, "run": run_id, "state": state, "cause": cause},
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


async def note_failure(
    session: AsyncSession, place: Place, cause: str, detail: dict[str, Any], *, counts: bool
) -> int:
    """Cause on the stream, since when it has been so; how many failed tries in a row that makes."""
    return (
        await session.execute(
            text("""
                UPDATE streams SET cause_since = CASE WHEN cause = :cause THEN cause_since ELSE now() END,
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


async def standing(session: AsyncSession, place: Place) -> Any:
    """The stream's run_id, paused_at, schedule_seconds and its connection's state; None if it is gone.

    Locks the connection's row and the stream's, in that order like everyone: whoever stops or resumes it
    waits until this transaction has ended.
    """
    await session.execute(
        select(Connection.id)
        .where(Connection.tenant_id == place.tenant_id, Connection.id == place.connection_id)
        .with_for_update(key_share=True)
    )
    query = (
        select(Stream.run_id, Stream.paused_at, Stream.schedule_seconds, Connection.state)
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
