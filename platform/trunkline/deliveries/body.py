"""The body of a message: the same bytes at every attempt, made of what is kept and never changes."""

from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import repository
from trunkline.deliveries.schemas import Due


async def body_of(session: AsyncSession, tenant_id: UUID, due: Due) -> bytes:
    return msgspec.json.encode(await payload_of(session, tenant_id, due))


async def payload_of(session: AsyncSession, tenant_id: UUID, due: Due) -> dict[str, Any]:
    data = dict(due.data)
    if due.positions:
        data["records"] = [
            {
                "position": change.position,
                "id": str(change.entity_id),
                "external_id": change.external_id,
                "revision": change.revision,
                "changed_at": change.changed_at,
                **({"data": change.data} if due.full_data else {}),
            }
            for change in await repository.changes_at(session, tenant_id, due.positions)
        ]
    return {"type": due.type, "timestamp": due.occurred_at, "tenant": due.slug, "data": data}
