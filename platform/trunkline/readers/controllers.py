"""Named feeds over the API: the change log with a cursor that is kept for the product. Below /v1."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.lists import Limit
from trunkline.kernel.scopes import needs
from trunkline.readers.schemas import NAME, AckIn, FeedIn, FeedList, FeedOut
from trunkline.readers.service import FeedService
from trunkline.runs.schemas import ChangeList

FeedName = Annotated[
    str, PathParameter(max_length=63, pattern=NAME, description="The feed's name, as you chose it.")
]


class FeedController(Controller):
    path = "/v1/feeds"
    tags = ("Changes",)
    dependencies = ONCE

    @get(**needs("records:read"), summary="Named feeds and how far behind each is", operation_id="listFeeds")
    async def list_feeds(
        self,
        db: NamedDependency[Database],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
    ) -> FeedList:
        """By name."""
        async with db.tenant(tenant_id) as session:
            found = await feeds.list(session, tenant_id)
        return FeedList([FeedOut.of(one, now()) for one in found])

    @post(status_code=201, **needs("feeds:write"), summary="Make a feed", operation_id="createFeed")
    async def create(
        self,
        once: NamedDependency[Once],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
        data: JSONBody[FeedIn],
    ) -> Response[FeedOut]:
        """A cursor in the tenant's change log that is kept here instead of at your side: read its changes,
        deal with them, acknowledge. One for each consumer, so that none holds up another.
        """

        async def deed(session: AsyncSession) -> FeedOut:
            await feeds.create(session, tenant_id, data.name, data.after)
            return FeedOut.of(await feeds.get(session, tenant_id, data.name), now())

        return await once(tenant_id, deed)

    @get("/{feed:str}", **needs("records:read"), summary="One feed", operation_id="getFeed")
    async def get_feed(
        self,
        db: NamedDependency[Database],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
        feed: FeedName,
    ) -> FeedOut:
        """Its position, and its distance from the head in changes and in seconds."""
        async with db.tenant(tenant_id) as session:
            return FeedOut.of(await feeds.get(session, tenant_id, feed), now())

    @get(
        "/{feed:str}/changes",
        **needs("records:read"),
        summary="What a feed has not acknowledged",
        operation_id="readFeed",
    )
    async def changes(
        self,
        db: NamedDependency[Database],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
        feed: FeedName,
        limit: Limit = 100,
    ) -> ChangeList:
        """In commit order, without gaps. The same again until `next` of it is acknowledged: a consumer that
        dies in between loses nothing, and knows by the positions what it has dealt with already.
        """
        async with db.tenant(tenant_id) as session:
            return await feeds.changes(session, tenant_id, feed, limit)

    @post(
        "/{feed:str}/ack",
        status_code=200,
        **needs("feeds:write"),
        summary="Acknowledge changes",
        operation_id="acknowledgeFeed",
    )
    async def acknowledge(
        self,
        once: NamedDependency[Once],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
        feed: FeedName,
        data: JSONBody[AckIn],
    ) -> Response[FeedOut]:
        """Everything up to `position` is dealt with. Moves forward only; doing it twice is doing it once."""

        async def deed(session: AsyncSession) -> FeedOut:
            moved = await feeds.acknowledge(session, tenant_id, feed, data.position)
            return FeedOut.of(moved, now())

        return await once(tenant_id, deed)

    @delete("/{feed:str}", **needs("feeds:write"), summary="Remove a feed", operation_id="deleteFeed")
    async def remove(
        self,
        db: NamedDependency[Database],
        feeds: NamedDependency[FeedService],
        tenant_id: NamedDependency[UUID],
        feed: FeedName,
    ) -> None:
        """Its cursor is forgotten; the change log stays."""
        async with db.tenant(tenant_id) as session:
            await feeds.remove(session, tenant_id, feed)
