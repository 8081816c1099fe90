"""Reading on, page by page: what a stream's own pass and a full re-read beside it have in common."""

import functools
import time
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.reviews import repository as reviews
from trunkline.runs import parents
from trunkline.runs.attempt import Attempt
from trunkline.runs.batches import Batches
from trunkline.runs.checkpoint import Checkpoint, after_remap, to_weigh
from trunkline.runs.errors import OvertakenError
from trunkline.runs.fetching import Fetcher
from trunkline.runs.pages import PageWriter
from trunkline.runs.watching import FieldWatch
from trunkline.runs.weighing import weigh
from trunkline.work.errors import LeaseLostError
from trunkline.work.lease import Lease

EMPTY_TRIES: Final = 3
"""Times that one empty page is asked for again, before the list is begun anew."""


async def read_on(
    lease: Lease,
    run: Attempt,
    writer: PageWriter,
    fetcher: Fetcher,
    watch: FieldWatch,
    *,
    seconds: float | None = None,
) -> Checkpoint | None:
    """From the run's checkpoint to the end of the pass; None: to be handed back before it.

    `seconds`: how long it may take, so that what is more urgent has its turn.
    """
    batches, began = Batches(lease, run, writer, fetcher, watch), time.monotonic()
    await watch.begin()

    def go_on(checkpoint: Checkpoint) -> bool:
        if lease.lost.is_set():
            raise LeaseLostError
        return not lease.stopping.is_set() and not _over(run, checkpoint, began, seconds)

    while batches.reached.phase != "end":
        if not go_on(batches.reached):
            return None
        try:
            if batches.reached.phase == "weigh":
                batches.reached = await _weigh(run, writer, batches.reached)
            elif batches.reached.phase == "orphans":
                batches.reached = await _take_along(run, writer, batches.reached)
            elif batches.reached.phase == "bury":
                batches.reached = await _bury(writer, batches.reached)
            else:
                await batches.read(go_on)
        except OvertakenError:
            # somebody else wrote these records since the page was asked for: only a newer one can tell
            continue
    await watch.end()
    return batches.reached


async def _weigh(run: Attempt, writer: PageWriter, checkpoint: Checkpoint) -> Checkpoint:
    after = msgspec.structs.replace(checkpoint)

    async def also(session: AsyncSession) -> None:
        after.phase = "bury" if await weigh(session, run.place, run.run_id, after) else "end"

    await writer.commit(writer.nothing(), after, also=also)
    return after


async def _take_along(run: Attempt, writer: PageWriter, checkpoint: Checkpoint) -> Checkpoint:
    """The next records whose parent was deleted go with it."""
    assert run.spec.parent is not None
    prepared, done = await writer.orphans()
    after = msgspec.structs.replace(checkpoint)
    also = None
    if done:
        after.phase = "weigh" if to_weigh(checkpoint) else "end"
        parent = run.spec.parent.stream
        also = functools.partial(parents.forget_buried, place=run.place, parent=parent, asked=prepared.asked)
    await writer.commit(prepared, after, also=also)
    return after


async def _bury(writer: PageWriter, checkpoint: Checkpoint) -> Checkpoint:
    """The next of what the pass found gone is deleted."""
    assert checkpoint.id is not None
    prepared, done = await writer.vanished(checkpoint.id)
    after = msgspec.structs.replace(checkpoint, phase="end" if done else "bury")
    await writer.commit(prepared, after)
    return after


async def carry_out(lease: Lease, run: Attempt, writer: PageWriter) -> bool:
    """What reviews approved is deleted before anything is read; the checkpoint stays where it is.

    False: the process ends; to be handed back.
    """
    for review_id in run.approved:
        done = False
        while not done:
            if lease.lost.is_set():
                raise LeaseLostError
            if lease.stopping.is_set():
                return False
            prepared, last = await writer.vanished(review_id)
            note = functools.partial(
                reviews.carried_out,
                tenant_id=run.place.tenant_id,
                review_id=review_id,
                deleted=len(prepared.gone),
                done=last,
            )
            try:
                await writer.commit(prepared, run.checkpoint, also=note)
            except OvertakenError:
                continue
            done = last
    return True


async def map_on(
    lease: Lease, run: Attempt, writer: PageWriter, *, seconds: float | None = None
) -> Checkpoint | None:
    """As `read_on`, over what is held; no provider is asked."""
    checkpoint, began = run.checkpoint, time.monotonic()
    while checkpoint.phase != "end":
        if lease.lost.is_set():
            raise LeaseLostError
        if lease.stopping.is_set() or _over(run, checkpoint, began, seconds):
            return None
        prepared, last = await writer.held(checkpoint.cursor, only_asked=checkpoint.mode == "retry")
        after = after_remap(checkpoint, last)
        try:
            await writer.commit(prepared, after, waiting=False)
        except OvertakenError:
            continue
        checkpoint = after
    return checkpoint


def _over(run: Attempt, checkpoint: Checkpoint, began: float, seconds: float | None) -> bool:
    """Whether the turn is; one page it always gets."""
    moved = checkpoint is not run.checkpoint
    return seconds is not None and moved and time.monotonic() - began > seconds
