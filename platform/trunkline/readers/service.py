"""Named feeds: cursors in the change log that the product moves itself, by acknowledging."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.errors import ConflictError, NotFoundError
from trunkline.readers import repository
from trunkline.readers.reader import FEED
from trunkline.readers.schemas import ReaderView
from trunkline.runs import repository as runs
from trunkline.runs.schemas import ChangeList

MOST = 100
"""Feeds of a tenant: one for each consumer is meant, not one for each end user."""


class FeedService:
    """Never commits."""

    async def list(self, session: AsyncSession, tenant_id: UUID) -> list[ReaderView]:
        """By name."""
        return await repository.views(session, tenant_id, kind=FEED)

    async def get(self, session: AsyncSession, tenant_id: UUID, name: str) -> ReaderView:
        """Raises NotFoundError."""
        found = await repository.feed(session, tenant_id, name)
        if found is None:
            raise NotFoundError("There is no feed of this name.")
        return found

    async def create(
        self, session: AsyncSession, tenant_id: UUID, name: str, after: int | None = None
    ) -> None:
        """Behind `after`, by default behind what there is. Raises ConflictError."""
        head = await runs.head(session, tenant_id)
        if after is not None and after > head:
            raise ConflictError(f"The change log ends at {head}; a feed cannot begin behind that.")
        if len(await repository.views(session, tenant_id, kind=FEED)) >= MOST:
            raise ConflictError(f"There are {MOST} feeds already. Remove one that nobody reads any more.")
        if not await repository.make_feed(session, tenant_id, name, head if after is None else after):
            raise ConflictError("There is a feed of this name already. Go on reading it, or choose another.")

    async def changes(self, session: AsyncSession, tenant_id: UUID, name: str, limit: int) -> ChangeList:
        """What was not acknowledged yet, in order; the cursor stays. Raises NotFoundError."""
        held = await self.get(session, tenant_id, name)
        found = await runs.changes(session, tenant_id, after=held.position, up_to=held.head, limit=limit)
        return ChangeList(found, found[-1].position if found else held.position, held.head)

    async def acknowledge(
        self, session: AsyncSession, tenant_id: UUID, name: str, position: int
    ) -> ReaderView:
        """Moves the cursor forward; one that is there already stays. Raises NotFoundError, ConflictError."""
        held = await self.get(session, tenant_id, name)
        if position > held.head:
            raise ConflictError(f"The change log ends at {held.head}; what comes after was never given.")
        await repository.acknowledge(session, tenant_id, name, position)
        return await self.get(session, tenant_id, name)

    async def remove(self, session: AsyncSession, tenant_id: UUID, name: str) -> None:
        """Raises NotFoundError. The change log stays as it is."""
        if not await repository.drop_feed(session, tenant_id, name):
            raise NotFoundError("There is no feed of this name.")
