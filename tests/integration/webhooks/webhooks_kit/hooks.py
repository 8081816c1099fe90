"""Who delivers: an app's signed requests to a real intake, and what came of them."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text

from trunkline.connections.models import Connection
from trunkline.kernel.db import OPERATOR, Database
from trunkline.sdk.signatures import known
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks.intake import Intake
from trunkline.webhooks.service import EndpointService
from trunkline.webhooks.signatures import Scheme

ORIGIN = "https://trunkline.test"
SECRET = "the-app-secret"
V3 = Scheme(known()["hubspot-v3"])


class Said(msgspec.Struct):
    status: int
    body: bytes
    headers: dict[str, str]


async def request(
    app: Any, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST", query: str = ""
) -> Said:
    parts = [body[at : at + 1000] for at in range(0, len(body), 1000)] or [b""]
    said = Said(0, b"", {})

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            said.status = message["status"]
            said.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            said.body += message["body"]

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "state": {"request_id": "request-1"},
    }
    await app(scope, receive, send)
    return said


class Hooks:
    """An intake, the operator's HubSpot app, and whoever delivers to it."""

    def __init__(
        self, db: Database, vault: Vault, path: str, intake: Intake, service: EndpointService
    ) -> None:
        self.db = db
        self.vault = vault
        self.path = path
        self.intake = intake
        self.service = service
        self.client_id: UUID | None = None
        self.secret = SECRET

    async def connect(
        self, account: str, tenant: UUID | None = None, state: str = "active"
    ) -> tuple[UUID, UUID]:
        tenant, connection = tenant or uuid4(), uuid4()
        async with self.db.tenant(tenant) as session:
            await self.vault.box(session, tenant)
            session.add(
                Connection(
                    tenant_id=tenant,
                    id=connection,
                    connector="hubspot",
                    name="HubSpot",
                    state=state,
                    account_id=account,
                    oauth_client_tenant=OPERATOR,
                    oauth_client_id=self.client_id,
                    scopes=[],
                    via="portal",
                    created_by="test",
                )
            )
        return tenant, connection

    def signed(self, body: bytes, at: float | None = None, secret: str | None = None) -> dict[str, str]:
        url = f"{ORIGIN}{self.path}"
        headers = V3.sign(
            V3.key(secret or self.secret), method="POST", url=url, body=body, at=at or time.time()
        )
        return headers | {"content-type": "application/json", "authorization": "Bearer not-to-be-kept"}

    async def deliver(
        self, events: Any, *, at: float | None = None, secret: str | None = None, headers: Any = None
    ) -> Said:
        body = events if isinstance(events, bytes) else json.dumps(events).encode()
        sent = self.signed(body, at, secret) if headers is None else headers
        return await request(self.intake, self.path, body, sent)

    async def events(self, tenant: UUID) -> list[Any]:
        async with self.db.tenant(tenant) as session:
            rows = await session.execute(
                text("SELECT * FROM inbound_events WHERE tenant_id = :t ORDER BY id"), {"t": tenant}
            )
            return list(rows.mappings())

    async def opened(self, tenant: UUID, row: Any, field: str = "body") -> bytes:
        async with self.db.tenant(tenant) as session:
            box = await self.vault.box(session, tenant)
        return box.open(row[field], row["key_version"], place("inbound_events", row["id"], field=field))

    async def refusals(self, tenant: UUID = OPERATOR) -> dict[str, int]:
        await self.intake._refusals.write()
        async with self.db.tenant(tenant) as session:
            rows = await session.execute(
                text("SELECT cause, sum(count) FROM hook_refusals WHERE tenant_id = :t GROUP BY cause"),
                {"t": tenant},
            )
            return {row[0]: int(row[1]) for row in rows}


def event(account: str, record: int = 1, number: int = 1, kind: str = "contact.creation", **more: Any) -> Any:
    return {
        "eventId": number,
        "subscriptionId": 7,
        "portalId": int(account),
        "appId": 1,
        "occurredAt": int(time.time() * 1000),
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": record,
        "changeSource": "CRM",
        **more,
    }
