"""All SQL of reviews."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.reviews.models import Review
from trunkline.reviews.schemas import MASS_DELETION, ReviewView, Verdict

_VIEW = select(*(getattr(Review, name) for name in ReviewView.__struct_fields__))


def _views(rows: Any) -> list[ReviewView]:
    return [ReviewView(**row) for row in rows.mappings()]


async def reviews(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    connection_id: UUID | None = None,
    state: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[ReviewView]:
    """Newest first; `before`: those next below a review's opened_at and id."""
    query = _VIEW.where(Review.tenant_id == tenant_id)
    if connection_id is not None:
        query = query.where(Review.connection_id == connection_id)
    if state is not None:
        query = query.where(Review.state == state)
    if before is not None:
        query = query.where(tuple_(Review.opened_at, Review.id) < before)
    query = query.order_by(Review.opened_at.desc(), Review.id.desc()).limit(limit)
    return _views(await session.execute(query))


async def review(session: AsyncSession, tenant_id: UUID, review_id: UUID) -> ReviewView | None:
    query = _VIEW.where(Review.tenant_id == tenant_id, Review.id == review_id)
    return next(iter(_views(await session.execute(query))), None)


async def count_open(session: AsyncSession, tenant_id: UUID) -> int:
    query = select(func.count()).where(Review.tenant_id == tenant_id, Review.state == "open")
    return (await session.execute(query)).scalar_one()


async def open_of(session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str) -> UUID | None:
    """The stream's open review, locked: whoever decides it comes before or after."""
    query = (
        select(Review.id)
        .where(
            Review.tenant_id == tenant_id,
            Review.connection_id == connection_id,
            Review.stream == stream,
            Review.state == "open",
        )
        .with_for_update()
    )
    return (await session.execute(query)).scalar()


async def standing(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
) -> tuple[bool, list[UUID]]:
    """Whether a review of the stream is open, and those approved but not carried out, oldest first."""
    rows = await session.execute(
        select(Review.id, Review.state)
        .where(
            Review.tenant_id == tenant_id,
            Review.connection_id == connection_id,
            Review.stream == stream,
            Review.state.in_(("open", "approved")),
            Review.applied_at.is_(None),
        )
        .order_by(Review.decided_at)
    )
    found = rows.all()
    return (
        any(row.state == "open" for row in found),
        [row.id for row in found if row.state == "approved"],
    )


async def add(
    session: AsyncSession,
    tenant_id: UUID,
    review_id: UUID,
    *,
    connection_id: UUID,
    stream: str,
    count: int,
    total: int,
    doubtful: bool,
    sample: Sequence[str],
    run_id: UUID,
) -> None:
    await session.execute(
        insert(Review).values(
            tenant_id=tenant_id,
            id=review_id,
            kind=MASS_DELETION,
            connection_id=connection_id,
            stream=stream,
            state="open",
            count=count,
            total=total,
            doubtful=doubtful,
            sample=list(sample),
            run_id=run_id,
        )
    )


async def grow(
    session: AsyncSession, tenant_id: UUID, review_id: UUID, *, count: int, sample: Sequence[str]
) -> None:
    """More of the same came while it is open."""
    await session.execute(
        update(Review)
        .where(Review.tenant_id == tenant_id, Review.id == review_id, Review.state == "open")
        .values(count=count, sample=list(sample))
    )


async def decide(
    session: AsyncSession,
    tenant_id: UUID,
    review_id: UUID,
    *,
    verdict: Verdict,
    decided_by: str,
    reason: str,
) -> bool:
    """False: it is not open (any more)."""
    done = await session.execute(
        update(Review)
        .where(Review.tenant_id == tenant_id, Review.id == review_id, Review.state == "open")
        .values(state=verdict, decided_at=func.now(), decided_by=decided_by, reason=reason)
        .returning(Review.id)
    )
    return done.scalar() is not None


async def supersede(session: AsyncSession, tenant_id: UUID, review_id: UUID) -> None:
    await session.execute(
        update(Review)
        .where(Review.tenant_id == tenant_id, Review.id == review_id, Review.state == "open")
        .values(state="superseded", decided_at=func.now())
    )


async def carried_out(
    session: AsyncSession, tenant_id: UUID, review_id: UUID, *, deleted: int, done: bool
) -> None:
    """So many more records deleted by its approval; `done`: that was all of them."""
    values: dict[str, Any] = {"deleted": Review.deleted + deleted}
    if done:
        values["applied_at"] = func.now()
    await session.execute(
        update(Review)
        .where(Review.tenant_id == tenant_id, Review.id == review_id, Review.state == "approved")
        .values(**values)
    )
