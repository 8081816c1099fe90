"""What whoever calls a provider needs of `trunkline.connections`, which builds on them."""

from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession


class Grants(Protocol):
    async def require_reconnect(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str
    ) -> None: ...
