"""What the slice seals: an endpoint's secrets under its owner's key, exchanges under the tenant's."""

from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import endpoint_repository
from trunkline.deliveries.schemas import AttemptRow, Exchange
from trunkline.deliveries.signing import new_secret
from trunkline.kernel.ids import new_id
from trunkline.vault.box import Box
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault


async def add_secret(session: AsyncSession, vault: Vault, tenant_id: UUID, endpoint_id: UUID) -> str:
    """A new one, in plain for the last time; `tenant_id`: the session's, which owns the endpoint."""
    secret, identity = new_secret(), new_id()
    box = await vault.box(session, tenant_id)
    sealed = box.seal(secret.encode(), secret_place(endpoint_id, identity))
    await endpoint_repository.add_secret(session, tenant_id, endpoint_id, identity, sealed, box.version)
    return secret


async def secrets_of(
    session: AsyncSession, vault: Vault, tenant_id: UUID, endpoint_id: UUID, now: datetime
) -> list[str]:
    """Those in force, the newest first."""
    rows = await endpoint_repository.secrets(session, tenant_id, endpoint_id, now)
    box = await vault.box(session, tenant_id)
    return [
        box.open(sealed, version, secret_place(endpoint_id, identity)).decode()
        for identity, sealed, version in rows
    ]


def seal_exchange(box: Box, exchange: Exchange, delivery_id: UUID, number: int) -> bytes:
    return box.seal(msgspec.json.encode(exchange), exchange_place(delivery_id, number))


def open_exchange(box: Box, row: AttemptRow, delivery_id: UUID) -> Exchange:
    opened = box.open(row.answer, row.key_version, exchange_place(delivery_id, row.number))
    return msgspec.json.decode(opened, type=Exchange)


def secret_place(endpoint_id: UUID, secret_id: UUID) -> str:
    return place("endpoint_secrets", endpoint_id, secret_id, field="secret")


def exchange_place(delivery_id: UUID, number: int) -> str:
    return place("delivery_attempts", delivery_id, number, field="answer")
