"""What a reader of the change log is. Its cursor, its retries and its lag are the mechanism's business."""

from abc import ABC, abstractmethod
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.schemas import ChangeView

FEED = "feed"
"""Kind of the cursors that the product keeps through the API: nothing of ours reads for them."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The positions from `after` + 1 to `up_to`, all of them."""

    tenant_id: UUID
    name: str
    """The reader's."""
    after: int
    up_to: int
    changes: list[ChangeView]
    """In order, one for each position; empty where the reader `loads` none."""


class Reader(ABC):
    """One kind of reader; a tenant has one cursor for each `name` of it.

    Batches come in commit order, each position once. What `handle` writes commits together with the cursor.
    """

    kind: str
    size: int = 500
    """Positions a batch at most."""
    loads: bool = True
    """Whether its batches carry the changes, or only their positions."""

    async def outside(self, batch: Batch) -> None:
        """What has effects outside of the database; nothing by default.

        Runs before `handle`, without a transaction, at least once for each position. A batch that is repeated
        begins at the same position but may end at a later one, so (tenant, reader, position) is the token by
        which a receiver knows what it has already.
        """
        del batch

    @abstractmethod
    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        """Its writes, in the cursor's own transaction. An error rolls both back; the batch comes again."""
