"""`/portal/reviews`: what waits for somebody's word, and what was decided."""

from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.reviews import repository
from trunkline.reviews.schemas import REASON_LENGTH, ReviewView
from trunkline.reviews.service import ReviewService
from trunkline.runs import repository as runs_repository
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.changed import headline
from trunkline_ui.portal.common import (
    AnyRequest,
    Frame,
    address,
    asked,
    connection_of,
    label_of,
    manifest_of,
    moment_cursor,
    read_moment_cursor,
    record_address,
    stream_labels,
)
from trunkline_ui.rendering import Page, page

SHOWN = 25
OPEN_SHOWN = 200


class ReviewLine(msgspec.Struct, frozen=True, kw_only=True):
    review: ReviewView
    connection: str
    stream: str


class SampleLine(msgspec.Struct, frozen=True, kw_only=True):
    external_id: str
    href: str
    title: str
    detail: str


class ReviewPages(Controller):
    include_in_schema = False

    @get("/portal/reviews")
    async def browse(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
    ) -> Page:
        before = read_moment_cursor(asked(request, "after"))
        async with db.tenant(tenant_id) as session:
            waiting = await repository.reviews(session, tenant_id, state="open", limit=OPEN_SHOWN)
            every = await repository.reviews(session, tenant_id, before=before, limit=SHOWN + 1)
            known = {one.id: one for one in await connections.list(session, tenant_id)}
            context = await framed(session, "/portal/reviews")
        shown = every[:SHOWN]
        last = shown[-1] if len(every) > SHOWN else None
        context |= {
            "waiting": [line(review, known, connectors) for review in waiting],
            "decided": [line(review, known, connectors) for review in shown if review.state != "open"],
            "later": before is not None,
            "following": address("/portal/reviews", after=moment_cursor(last.opened_at, last.id))
            if last
            else "",
        }
        return page("portal/reviews.html", context)

    @get("/portal/reviews/{review_id:uuid}")
    async def show(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        reviews: NamedDependency[ReviewService],
        review_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            review = await reviews.get(session, tenant_id, review_id)
            connection = await connection_of(connections, session, tenant_id, review.connection_id)
            sample = await _sample(session, tenant_id, review)
            context = await framed(session, "/portal/reviews")
        context |= {
            "review": review,
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "stream": stream_labels(connectors, connection.spoken).get(review.stream, review.stream),
            "asks": (found := manifest_of(connectors, connection.spoken)) is None or found.asks,
            "sample": sample,
            "share": 100 * review.count / max(1, review.total),
            "longest": REASON_LENGTH,
        }
        return page("portal/review.html", context)


def line(review: ReviewView, known: dict[UUID, Connection], connectors: Connectors) -> ReviewLine:
    connection = known.get(review.connection_id)
    labels = stream_labels(connectors, connection.spoken) if connection else {}
    return ReviewLine(
        review=review,
        connection=connection.name if connection else "Connection",
        stream=labels.get(review.stream, review.stream),
    )


async def _sample(session: AsyncSession, tenant_id: UUID, review: ReviewView) -> list[SampleLine]:
    """By the name that people know each record by, where a recipe made something of it."""
    made: dict[str, tuple[str, str]] = {}
    for entity in await runs_repository.entities_of_records(
        session, tenant_id, review.connection_id, review.stream, review.sample
    ):
        made.setdefault(entity.external_id, headline(entity.data))
    return [
        SampleLine(
            external_id=one,
            href=record_address(review.connection_id, review.stream, one),
            title=made.get(one, ("", ""))[0],
            detail=made.get(one, ("", ""))[1],
        )
        for one in review.sample
    ]
