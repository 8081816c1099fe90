"""A customer's own system, and whoever posts for it, signing by the official library."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from standardwebhooks import Webhook
from webhooks_kit.hooks import request

from trunkline.kernel.principal import Principal
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.sdk.own import STREAM, Reading, own_manifest, written
from trunkline.webhooks.own_systems import OwnSystem

READING = Reading(
    key="data.id",
    record="data",
    at="data.updated_at",
    type="type",
    gone="type",
    gone_when=("customer.deleted",),
    label="Customers",
)
CONTACT = RecipeDefinition(
    stream=STREAM,
    model="contact",
    mappings=(
        Mapping(target="email", kind="field", source="email"),
        Mapping(target="first_name", kind="field", source="first_name"),
    ),
)


class Shop:
    def __init__(self, harbor: Any, tenant_id: UUID, system: OwnSystem, secret: str) -> None:
        self.harbor = harbor
        self.services = harbor.services
        self.db = harbor.db
        self.tenant_id = tenant_id
        self.id = system.id
        self.secret = secret
        assert system.url is not None
        self.path = system.url.removeprefix(self.services.settings.origin)

    @classmethod
    async def open(cls, harbor: Any, name: str = "Our shop") -> "Shop":
        tenant_id = await harbor.tenant()
        async with harbor.db.tenant(tenant_id) as session:
            system, secret = await harbor.services.systems.make(session, tenant_id, name, harbor.who)
        return cls(harbor, tenant_id, system, secret)

    @staticmethod
    def customer(
        identity: str, minute: int = 0, kind: str = "customer.updated", **values: Any
    ) -> dict[str, Any]:
        at = f"2026-03-01T10:{minute:02}:00Z"
        return {"type": kind, "data": {"id": identity, "updated_at": at, **values}}

    async def post(self, document: Any, *, id: str = "", secret: str = "", body: bytes = b"") -> int:  # noqa: A002
        raw = body or json.dumps(document).encode()
        sent, at = id or f"msg_{uuid4().hex}", int(time.time())
        signature = Webhook(secret or self.secret).sign(sent, datetime.fromtimestamp(at, UTC), raw.decode())
        headers = {"webhook-id": sent, "webhook-timestamp": str(at), "webhook-signature": signature}
        said = await request(self.services.intake, self.path, raw, headers)
        await self.services.intake._waker.close()
        return said.status

    async def read_as(self, reading: Reading = READING) -> OwnSystem:
        async with self.db.tenant(self.tenant_id) as session:
            return await self.services.systems.read_as(
                session, self.tenant_id, self.id, reading, self.harbor.who
            )

    async def recipe(self, reading: Reading = READING) -> UUID:
        async with self.db.tenant(self.tenant_id) as session:
            return await self.services.recipes.create(
                session,
                self.tenant_id,
                self.who,
                connection_id=self.id,
                connector=own_manifest(written(reading)).name + "@" + written(reading),
                name="Customers",
                definition=CONTACT,
                schedule_seconds=60,
            )

    @property
    def who(self) -> Principal:
        return self.harbor.who

    async def work(self) -> None:
        """All that is due, but nothing that only comes round again; readers need not wait for their time."""
        await self.harbor.settle("hooks", "sync", "remap", "retry", "backfill")
        await self.harbor.owner.execute(
            "UPDATE work SET due_at = now() WHERE tenant_id = $1 AND kind = 'read:webhooks'", self.tenant_id
        )
        await self.harbor.settle("hooks", "sync", "remap", "retry", "backfill", "read:webhooks", "deliver")

    async def rows(self, sql: str) -> list[Any]:
        async with self.db.tenant(self.tenant_id) as session:
            return list((await session.execute(text(sql), {"t": self.tenant_id})).all())

    async def states(self) -> list[tuple[str, str | None]]:
        rows = await self.rows("SELECT state, cause FROM inbound_events WHERE tenant_id = :t ORDER BY id")
        return [(row.state, row.cause) for row in rows]

    async def entities(self) -> dict[str, Any]:
        rows = await self.rows(
            "SELECT external_id, data FROM entities WHERE tenant_id = :t AND deleted_at IS NULL"
        )
        return {row.external_id: row.data for row in rows}

    async def records(self) -> set[str]:
        rows = await self.rows("SELECT external_id FROM records WHERE tenant_id = :t AND deleted_at IS NULL")
        return {row.external_id for row in rows}
