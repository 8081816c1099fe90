"""The reader `webhooks`: makes events of the change log's entries, records of a kind together."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import endpoint_repository
from trunkline.deliveries.catalogue import RecordsData, patterns_of
from trunkline.deliveries.outbox import emit
from trunkline.readers.reader import Batch, Reader
from trunkline.runs import repository as runs
from trunkline.runs.schemas import ChangeView

MOST: Final = 100
"""Records of an event."""
MOST_BYTES: Final = 200_000
"""Of their data, together; a single record may be larger."""

_RECORDS = frozenset(
    pattern for kind in ("created", "updated", "deleted") for pattern in patterns_of(f"record.{kind}")
)


class WebhookReader(Reader):
    """What it writes is the outbox: the cursor and the events commit together, so none is lost or doubled."""

    kind = "webhooks"
    size = 1000
    loads = False

    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        asking = await endpoint_repository.asking(session, batch.tenant_id)
        if not any(_RECORDS & set(one.types) for one in asking):
            return
        found = await runs.changes(
            session, batch.tenant_id, after=batch.after, up_to=batch.up_to, limit=batch.up_to - batch.after
        )
        for group in grouped(found):
            first = group[0]
            data = RecordsData(
                connection_id=first.connection_id, stream=first.stream, model=first.model, records=[]
            )
            emit(
                session,
                batch.tenant_id,
                f"record.{first.operation}",
                data,
                subject=first.connection_id,
                positions=[change.position for change in group],
                records=list(dict.fromkeys(change.entity_id for change in group)),
                occurred_at=group[-1].changed_at,
            )


class _Open(msgspec.Struct):
    changes: list[ChangeView]
    size: int = 0


def grouped(changes: Iterable[ChangeView]) -> list[list[ChangeView]]:
    """Changes of one operation, connection, stream and model together, as far as no record's order is lost.

    A change joins the last group of its kind unless a later group has its record: so whoever takes the groups
    one after another sees each record's changes in their order.
    """
    groups: list[_Open] = []
    last_of_kind: dict[tuple[object, ...], int] = {}
    last_of_record: dict[object, int] = {}
    for change in changes:
        kind = (change.operation, change.connection_id, change.stream, change.model)
        size = len(msgspec.json.encode(change.data))
        at = last_of_kind.get(kind, -1)
        full = at >= 0 and (len(groups[at].changes) >= MOST or groups[at].size + size > MOST_BYTES)
        if at < 0 or full or last_of_record.get(change.entity_id, -1) > at:
            groups.append(_Open([]))
            at = last_of_kind[kind] = len(groups) - 1
        groups[at].changes.append(change)
        groups[at].size += size
        last_of_record[change.entity_id] = at
    return [group.changes for group in groups]
