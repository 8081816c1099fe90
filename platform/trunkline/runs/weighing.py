"""Whether what a pass found gone is to be believed: deleted, or put before a human.

Deleted without asking is only what an explicit tombstone or a complete list beyond doubt says, and not much
of it at once. While a review is open nothing of its stream is deleted; a later complete pass that finds the
records again supersedes it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries.catalogue import ReviewData
from trunkline.deliveries.outbox import emit
from trunkline.health.issues import open_issue, resolve_cause
from trunkline.kernel.ids import new_id
from trunkline.reviews import repository as reviews
from trunkline.reviews.schemas import MASS_DELETION
from trunkline.runs import gone
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.writes import Place

MASS_COUNT: Final = 50
MASS_SHARE: Final = 0.1
"""More than both, of the records held, at once: a human decides."""
SAMPLE: Final = 20


def is_mass(count: int, total: int) -> bool:
    return count > MASS_COUNT and count > MASS_SHARE * total


async def withheld(session: AsyncSession, place: Place, count: int) -> bool:
    """Whether `count` deletions that the provider told of wait for the stream's next pass to weigh them."""
    if await reviews.open_of(session, place.tenant_id, place.connection_id, place.stream) is not None:
        return True
    told = await gone.told_lately(session, place)
    return is_mass(count + told, await gone.live(session, place) + told)


async def weigh(session: AsyncSession, place: Place, run_id: UUID, checkpoint: Checkpoint) -> bool:
    """True: what the pass found gone is to be deleted. False: there is nothing, or it must wait."""
    pass_id = checkpoint.id
    assert pass_id is not None
    listed_all = checkpoint.complete and checkpoint.watch
    if listed_all:
        if checkpoint.walk is None:  # else each parent's list has told
            await gone.note_absent(session, place, pass_id, checkpoint.began)
        if not checkpoint.doubtful:
            await gone.seen_again(session, place, pass_id)
    await gone.spare(session, place, pass_id)
    found = await gone.tally(session, place, pass_id)
    await gone.forget_seen(session, place, pass_id)
    await gone.forget_ended(session, place)
    total = await gone.live(session, place)
    told = await gone.told_lately(session, place) if found.count else 0
    mass = is_mass(found.count + told, total + told) or (checkpoint.doubtful and found.absent > 0)
    waiting = await reviews.open_of(session, place.tenant_id, place.connection_id, place.stream)
    if waiting is not None:
        if mass or not listed_all or checkpoint.doubtful:
            await gone.forget(session, place, pass_id)
            return False
        await reviews.supersede(session, place.tenant_id, waiting)
        await gone.forget(session, place, waiting)
        await resolve_cause(session, place.tenant_id, place.connection_id, MASS_DELETION, stream=place.stream)
    if not mass:
        return found.count > 0
    await _open(session, place, run_id, pass_id, count=found.count, total=total, doubtful=checkpoint.doubtful)
    return False


async def put_aside(
    session: AsyncSession, place: Place, run_id: UUID, told: Sequence[tuple[str, datetime | None]]
) -> None:
    """Deletions of records held that a sender named, and that no pass will weigh: they wait in the stream's
    open review, or in a new one. The stream's row is locked.
    """
    waiting = await reviews.open_of(session, place.tenant_id, place.connection_id, place.stream)
    review_id = waiting or new_id()
    await gone.note_gone(session, place, review_id, told)
    count = (await gone.tally(session, place, review_id)).count
    if waiting is None:
        total = await gone.live(session, place)
        await _open(session, place, run_id, review_id, count=count, total=total, doubtful=False)
    else:
        sample = await gone.sample(session, place, review_id, SAMPLE)
        await reviews.grow(session, place.tenant_id, review_id, count=count, sample=sample)


async def _open(
    session: AsyncSession,
    place: Place,
    run_id: UUID,
    review_id: UUID,
    *,
    count: int,
    total: int,
    doubtful: bool,
) -> None:
    await reviews.add(
        session,
        place.tenant_id,
        review_id,
        connection_id=place.connection_id,
        stream=place.stream,
        count=count,
        total=total,
        doubtful=doubtful,
        sample=await gone.sample(session, place, review_id, SAMPLE),
        run_id=run_id,
    )
    data = ReviewData(
        review_id=review_id,
        connection_id=place.connection_id,
        stream=place.stream,
        kind=MASS_DELETION,
        count=count,
        total=total,
    )
    emit(session, place.tenant_id, "review.requested", data, subject=place.connection_id)
    detail = {"records": count, "expected": total, "run_id": run_id}
    await open_issue(
        session, place.tenant_id, place.connection_id, MASS_DELETION, stream=place.stream, detail=detail
    )
