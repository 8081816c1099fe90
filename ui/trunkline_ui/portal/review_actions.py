"""Somebody decides a review: approve or reject, each with a reason."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.reviews.service import ReviewService
from trunkline.work.queue import WorkQueue
from trunkline_ui.portal.common import see_other, told

_BACK = told("/portal/reviews/{review_id}")


class Reason(msgspec.Struct):
    reason: str = ""


class ReviewActions(Controller):
    include_in_schema = False
    path = "/portal/reviews/{review_id:uuid}"
    exception_handlers = {ConflictError: _BACK, BadInputError: _BACK}  # noqa: RUF012  Litestar's way

    @post("/approve", status_code=303, opt={"can": "reviews.decide"})
    async def approve(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        reviews: NamedDependency[ReviewService],
        work: NamedDependency[WorkQueue],
        review_id: FromPath[UUID],
        data: Annotated[Reason, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await reviews.decide(session, tenant_id, review_id, principal, "approved", data.reason)
        await work.wake()
        text = "Approved. The records are deleted by the next sync, but for those that have been seen again."
        return see_other(settings, f"/portal/reviews/{review_id}", text)

    @post("/reject", status_code=303, opt={"can": "reviews.decide"})
    async def reject(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        reviews: NamedDependency[ReviewService],
        review_id: FromPath[UUID],
        data: Annotated[Reason, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await reviews.decide(session, tenant_id, review_id, principal, "rejected", data.reason)
        text = "Rejected. The records stay as they are, and we do not ask about them again."
        return see_other(settings, f"/portal/reviews/{review_id}", text)
