"""Reviews over the API: what waits for a human's word, and the word."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.idempotency.service import ONCE, Deed, Once
from trunkline.kernel.db import Database
from trunkline.kernel.lists import Cursor, Limit, given, parted
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.reviews import repository
from trunkline.reviews.schemas import DecisionIn, ReviewList, ReviewState, ReviewView, Verdict
from trunkline.reviews.service import ReviewService


class ReviewController(Controller):
    path = "/v1/reviews"
    tags = ("Reviews",)
    dependencies = ONCE

    @get(**needs("connections:read"), summary="Reviews, newest first", operation_id="listReviews")
    async def list_reviews(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        limit: Limit = 50,
        cursor: Cursor = None,
        connection: Annotated[UUID | None, QueryParameter(description="Only of this connection.")] = None,
        standing: Annotated[
            ReviewState | None, QueryParameter(description="Only those that stand like this.")
        ] = None,
    ) -> ReviewList:
        """A review is opened when an unusual number of records vanish at once; nothing is deleted before."""
        async with db.tenant(tenant_id) as session:
            last = given(await repository.review(session, tenant_id, cursor)) if cursor else None
            before = (last.opened_at, last.id) if last else None
            found = await repository.reviews(
                session, tenant_id, connection_id=connection, state=standing, before=before, limit=limit + 1
            )
        return ReviewList(*parted(found, limit))

    @get("/{review_id:uuid}", **needs("connections:read"), summary="One review", operation_id="getReview")
    async def get_review(
        self,
        db: NamedDependency[Database],
        reviews: NamedDependency[ReviewService],
        tenant_id: NamedDependency[UUID],
        review_id: FromPath[UUID],
    ) -> ReviewView:
        async with db.tenant(tenant_id) as session:
            return await reviews.get(session, tenant_id, review_id)

    @post(
        "/{review_id:uuid}/approve",
        status_code=200,
        **needs("connections:write"),
        summary="Let the records be deleted",
        operation_id="approveReview",
    )
    async def approve(
        self,
        once: NamedDependency[Once],
        reviews: NamedDependency[ReviewService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        review_id: FromPath[UUID],
        data: JSONBody[DecisionIn],
    ) -> Response[ReviewView]:
        """Exactly those that were planned, but for those that have been seen again since."""
        return await once(tenant_id, _deed(reviews, tenant_id, review_id, principal, "approved", data))

    @post(
        "/{review_id:uuid}/reject",
        status_code=200,
        **needs("connections:write"),
        summary="Keep the records",
        operation_id="rejectReview",
    )
    async def reject(
        self,
        once: NamedDependency[Once],
        reviews: NamedDependency[ReviewService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        review_id: FromPath[UUID],
        data: JSONBody[DecisionIn],
    ) -> Response[ReviewView]:
        """They stay as they were last read, and are not brought up again while they stay missing."""
        return await once(tenant_id, _deed(reviews, tenant_id, review_id, principal, "rejected", data))


def _deed(
    reviews: ReviewService,
    tenant_id: UUID,
    review_id: UUID,
    principal: Principal,
    verdict: Verdict,
    data: DecisionIn,
) -> Deed[ReviewView]:
    async def deed(session: AsyncSession) -> ReviewView:
        return await reviews.decide(session, tenant_id, review_id, principal, verdict, data.reason)

    return deed
