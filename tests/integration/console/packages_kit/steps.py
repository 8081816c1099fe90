"""What staff do with partners' packages, and what a worker then does, for several files of tests."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from trunkline.connections.models import Connection
from trunkline.packages import repository
from trunkline.services import Services
from trunkline.work.lease import Lease
from trunkline.work.repository import Claimed


async def upload(visitor: Any, raw: bytes, partner: str = "Acme Ltd", reason: str = "Asked for") -> Any:
    return await visitor.client.post(
        "/console/packages",
        data={"csrf_token": visitor.csrf, "partner": partner, "reason": reason},
        files={"archive": ("acme.zip", raw, "application/zip")},
    )


async def work(services: Services, kind: str, tenant_id: UUID, key: str) -> None:
    """What a worker does with such an item."""
    claimed = Claimed(
        id=UUID(int=1),
        tenant_id=tenant_id,
        kind=kind,
        key=key,
        args={},
        connection_id=None,
        attempt=1,
        tries=0,
        now=datetime.now(UTC),
    )
    lease = Lease(claimed, holder="test", lease_seconds=60)

    async def fence(_: object) -> None:
        """The row is nobody else's here."""

    lease.fence = fence  # type: ignore[method-assign]
    await services.handlers()[kind](lease)


async def taken_in(services: Services, raw: bytes, chief: Any, partner: str = "Acme Ltd") -> str:
    """Uploaded, and examined without a finding; its page."""
    answer = await upload(chief, raw, partner)
    assert answer.status_code == 303, answer.text
    path = str(answer.headers["location"])
    async with services.db.system() as session:
        await repository.examined(session, UUID(path.rpartition("/")[2]), [], None)
        await repository.count(session)
    return path


async def settled(services: Services, tenant_id: UUID) -> None:
    await work(services, "settle_connectors", tenant_id, "all")


def names(services: Services, tenant_id: UUID) -> dict[str, str]:
    return {one.name: one.version for one in services.connectors.offered(tenant_id)}


async def connection(services: Services, tenant_id: UUID, connection_id: UUID) -> Connection:
    async with services.db.tenant(tenant_id) as session:
        found = await session.execute(
            select(Connection).where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
        )
        return found.scalar_one()
