"""How an attempt at a stream's own run begins."""

from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.health.issues import open_issue, resolve_deprecated
from trunkline.kernel.ids import new_id
from trunkline.recipes import repository as recipes
from trunkline.reviews import repository as reviews
from trunkline.runs import gone, passes
from trunkline.runs.attempt import STREAM, Attempt, fields_of, is_read, kept, what_is_known, with_models_of
from trunkline.runs.checkpoint import Checkpoint, Settled, begin
from trunkline.runs.following import STREAM_GONE
from trunkline.runs.models import Run, Stream
from trunkline.runs.standing import change_stream, end_run
from trunkline.runs.writes import Place
from trunkline.sdk.manifest import StreamSpec
from trunkline.sdk.registry import Connectors, spoken
from trunkline.work.lease import Lease
from trunkline.work.queue import WorkQueue

DOUBT_SECONDS: Final = 3600
"""After a list in doubt or records in an older form than the one held, and while a review is open, the next
complete pass comes this soon."""


class Idle(msgspec.Struct, frozen=True):
    """There is nothing to do: stopped, paused, or no recipe reads the stream. `again`: by schedule."""

    again_seconds: int | None = None


async def start(
    session: AsyncSession, lease: Lease, place: Place, connectors: Connectors, work: WorkQueue
) -> Attempt | Idle:
    """Takes up the queued or interrupted run, or makes a scheduled one. A stream that the connector's version
    does not have is paused. Raises LookupError on a model that is not declared.
    """
    row = (
        await session.execute(
            STREAM.where(
                Stream.tenant_id == place.tenant_id,
                Stream.connection_id == place.connection_id,
                Stream.stream == place.stream,
            ).with_for_update()
        )
    ).one_or_none()
    connection = (
        await session.execute(
            select(
                Connection.connector,
                Connection.connector_version,
                Connection.state,
                Connection.cause,
                Connection.state_since,
            ).where(Connection.tenant_id == place.tenant_id, Connection.id == place.connection_id)
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
    manifest = await connectors.find(spoken(connection.connector, connection.connector_version))
    if not await is_read(session, place, manifest, in_force):
        if row.run_id is not None:
            await end_run(session, place.tenant_id, row.run_id, "cancelled", None)
        await change_stream(session, place, run_id=None, waiting_until=None, next_due_at=None)
        return Idle()
    spec = manifest.stream(place.stream)
    if spec is None:
        if row.run_id is not None:
            await end_run(session, place.tenant_id, row.run_id, "cancelled", STREAM_GONE)
        await change_stream(
            session,
            place,
            run_id=None,
            waiting_until=None,
            next_due_at=None,
            paused_at=row.moment,
            cause=STREAM_GONE,
            cause_since=row.moment,
        )
        await open_issue(session, place.tenant_id, place.connection_id, STREAM_GONE, stream=place.stream)
        return Idle()
    with_models = await with_models_of(session, place.tenant_id, in_force)
    run_id, forced = await _run(session, lease, place, row.run_id)
    fields = fields_of(spec, in_force)
    settled = None if row.settled is None else kept(row.settled, Settled)
    checkpoint = _checkpoint(
        row,
        settled,
        spec,
        fields=fields,
        versions={str(recipe.recipe_id): recipe.version for recipe in in_force},
        forced=forced,
        started=lease.now(),
    )
    if row.checkpoint is None and checkpoint.watch:
        await gone.forget_ended(session, place)
    reviewed, approved = await reviews.standing(session, place.tenant_id, place.connection_id, place.stream)
    await session.execute(
        update(Run).where(Run.tenant_id == place.tenant_id, Run.id == run_id).values(mode=checkpoint.mode)
    )
    await change_stream(session, place, run_id=run_id, waiting_until=None)
    if settled is not None and checkpoint.mode == "incremental":
        await _keep_whole(session, work, place, settled, fields)
        if _due(row, spec, reviewed=reviewed) and await passes.find(session, place, passes.BACKFILL) is None:
            await passes.ask(session, work, place, passes.BACKFILL, "schedule")
    if manifest.api is not None:
        await resolve_deprecated(session, place.tenant_id, place.connection_id, manifest.api.version)
    await lease.fence(session)
    return Attempt(
        place=place,
        run_id=run_id,
        manifest=manifest,
        spec=spec,
        recipes=with_models,
        checkpoint=checkpoint,
        fields=fields,
        watermark=row.watermark,
        **what_is_known(row),
        schedule_seconds=row.schedule_seconds,
        told_since=None if row.told_since is None else max(row.told_since, connection.state_since),
        approved=approved,
    )


def _due(row: Any, spec: StreamSpec, *, reviewed: bool) -> bool:
    """Whether everything must be read again, so that what was purged without a trace is noticed."""
    seconds = min(spec.complete_seconds, DOUBT_SECONDS) if reviewed else spec.complete_seconds
    return row.complete_at is None or row.moment - row.complete_at >= timedelta(seconds=seconds)


def complete_at(checkpoint: Checkpoint, spec: StreamSpec, moment: datetime) -> dict[str, datetime]:
    """From when the next complete pass is counted, after this one; empty: as before."""
    unsure = checkpoint.doubtful or checkpoint.late > 0
    if not checkpoint.complete and not unsure:
        return {}
    early = max(0, spec.complete_seconds - DOUBT_SECONDS) if unsure else 0
    return {"complete_at": moment - timedelta(seconds=early)}


async def _keep_whole(
    session: AsyncSession, work: WorkQueue, place: Place, settled: Settled, fields: list[str]
) -> None:
    """Beside a pass over what changed: fields that not every record was read with are read for all, and
    fields no longer asked for are not counted on.
    """
    kept = sorted({*fields} & {*settled.fields})
    if kept != settled.fields:
        await change_stream(
            session, place, settled=msgspec.to_builtins(msgspec.structs.replace(settled, fields=kept))
        )
    if set(fields) - set(kept):
        await passes.ask(session, work, place, passes.BACKFILL, "recipe")


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
    settled: Settled | None,
    spec: StreamSpec,
    *,
    fields: list[str],
    versions: dict[str, int],
    forced: Literal["full"] | None,
    started: datetime,
) -> Checkpoint:
    """Where the pass stands; a new one where there is none, or where the old one asked for less."""
    held = None if row.checkpoint is None else kept(row.checkpoint, Checkpoint)
    if held is not None and set(fields) <= set(held.fields) and (forced is None or held.mode == "full"):
        held.id = held.id or new_id()  # begun by a version that noted nothing
        return held
    return begin(
        spec,
        settled=settled,
        watermark=row.watermark,
        fields=fields,
        recipes=versions,
        forced=forced,
        started=started,
        pass_id=new_id(),
        began=row.moment,
        held=row.records > 0,
    )
