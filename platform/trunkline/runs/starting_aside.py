"""How an attempt at a pass beside the stream's own begins."""

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.kernel.ids import new_id
from trunkline.recipes import repository as recipes
from trunkline.runs import gone, passes
from trunkline.runs.attempt import STREAM, Attempt, fields_of, is_read, kept, what_is_known, with_models_of
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.checkpoint import aside as begin_aside
from trunkline.runs.models import Stream
from trunkline.runs.standing import end_run
from trunkline.runs.writes import Place
from trunkline.sdk.registry import Connectors, spoken
from trunkline.work.lease import Lease


async def start_aside(
    session: AsyncSession, lease: Lease, place: Place, kind: passes.Kind, connectors: Connectors
) -> Attempt | None:
    """Takes up a pass beside the stream's own. None: there is none, or it rests until somebody resumes it.

    A pass whose fields or recipes are no longer enough begins anew.
    """
    records = await passes.lock_stream(session, place)
    held = await passes.find(session, place, kind)
    if records is None or held is None or held.paused_at is not None:
        return None
    if kind == passes.BACKFILL and not await passes.may_read(session, place):
        await passes.rest(session, place, held.run_id, None)
        return None
    in_force = await recipes.in_force(session, place.tenant_id, place.connection_id, place.stream)
    speaking = await session.execute(
        select(Connection.connector, Connection.connector_version).where(
            Connection.tenant_id == place.tenant_id, Connection.id == place.connection_id
        )
    )
    manifest = await connectors.find(spoken(*speaking.one()))
    spec = manifest.stream(place.stream)
    read = await is_read(session, place, manifest, in_force)
    if spec is None or not read:  # the connection moved to a version of its connector without it
        await passes.end(session, place, held.run_id)
        await end_run(session, place.tenant_id, held.run_id, "cancelled", None)
        return None
    with_models = await with_models_of(session, place.tenant_id, in_force)
    fields = fields_of(spec, in_force)
    versions = {str(recipe.recipe_id): recipe.version for recipe in in_force}
    checkpoint = None if held.checkpoint is None else kept(held.checkpoint, Checkpoint)
    enough = checkpoint is not None and (
        set(fields) <= set(checkpoint.fields) if kind == passes.BACKFILL else versions == checkpoint.recipes
    )
    row = (
        await session.execute(
            STREAM.where(
                Stream.tenant_id == place.tenant_id,
                Stream.connection_id == place.connection_id,
                Stream.stream == place.stream,
            )
        )
    ).one()
    if checkpoint is None or not enough:
        checkpoint = begin_aside(
            kind,
            fields=fields,
            recipes=versions,
            started=lease.now(),
            map_all=held.trigger == "recipe",
            pass_id=new_id(),
            began=row.moment,
            held=records > 0,
            walks=spec.parent is not None,
        )
        if checkpoint.watch:
            await gone.forget_ended(session, place)
    checkpoint.id = checkpoint.id or new_id()  # begun by a version that noted nothing
    state = msgspec.json.encode(checkpoint)
    if not await passes.take_up(session, place, held.run_id, state, counts=not held.handed_back):
        await passes.end(session, place, held.run_id)
        return None
    await lease.fence(session)
    return Attempt(
        place=place,
        run_id=held.run_id,
        manifest=manifest,
        spec=spec,
        recipes=with_models,
        checkpoint=checkpoint,
        fields=fields,
        watermark=None,
        **what_is_known(row),
        schedule_seconds=0,
    )
