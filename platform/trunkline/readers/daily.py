"""The reader `daily_changes`: how much changed on each day in each model, for the portal's overview."""

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.readers import repository
from trunkline.readers.reader import Batch, Reader


class DailyChangesReader(Reader):
    kind = "daily_changes"
    size = 5000  # one statement counts them where they lie
    loads = False

    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        await repository.count_changes(session, batch.tenant_id, after=batch.after, up_to=batch.up_to)
