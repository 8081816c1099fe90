"""Whatever a page of the portal can be about, made by hand."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from ui_kit.rows import Made, Rows

from trunkline.actions import repository as calls
from trunkline.actions.running import sealed_place
from trunkline.deliveries.schemas import EndpointIn
from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.reviews import repository as reviews
from trunkline.vault.sealed import place
from trunkline.webhooks.models import InboundEvent, Replay


class Factory(Rows):
    """Besides the engine's rows: what waits for people, what was written, and what travels."""

    async def review(self, made: Made, *, doubtful: bool = False, stream: str = "contacts") -> UUID:
        """An open one, and the issue that tells of it."""
        review_id = new_id()
        async with self.db.tenant(made.tenant_id) as session:
            await reviews.add(
                session,
                made.tenant_id,
                review_id,
                connection_id=made.connection_id,
                stream=stream,
                count=60,
                total=120,
                doubtful=doubtful,
                sample=["51", "a/b <x>"],
                run_id=made.run_id,
            )
            await open_issue(session, made.tenant_id, made.connection_id, "mass_deletion", stream=stream)
        return review_id

    async def written(self, made: Made, state: str = "unknown", **more: Any) -> dict[str, str]:
        """A call of an action, by the name that paths call it."""
        call_id = new_id()
        async with self.db.tenant(made.tenant_id) as session:
            box = await self.services.vault.box(session, made.tenant_id)
            row = {
                "tenant_id": made.tenant_id,
                "id": call_id,
                "connection_id": made.connection_id,
                "action": "update_deal_stage",
                "state": state,
                "count": 1,
                "input": box.seal(b'[{"deal_id":"1","stage":"contractsent"}]', sealed_place(call_id)),
                "key_version": box.version,
                "asked_by": "Acme Desk",
                "asked_at": now(),
                "cause": "unknown_outcome" if state == "unknown" else None,
                "finished_at": now() if state in {"done", "failed", "unknown"} else None,
            }
            await calls.add(session, {**row, **more})
        return {"call_id": str(call_id)}

    async def inbound(self, made: Made) -> dict[str, str]:
        """An event that arrived and a replay of it that was planned, by the names that paths call them."""
        event, replay = new_id(), new_id()
        async with self.db.tenant(made.tenant_id) as session:
            box = await self.services.vault.box(session, made.tenant_id)
            row = {
                "tenant_id": made.tenant_id,
                "id": event,
                "source_id": made.connection_id,
                "identity": event.bytes,
                "connection_id": made.connection_id,
                "endpoint_id": new_id(),
                "connector": "hubspot",
                "event_id": "77",
                "type": "Initech only",
                "received_at": now(),
                "verdict": "verified",
                "headers": box.seal(b"{}", place("inbound_events", event, field="headers")),
                "body": box.seal(b"{}", place("inbound_events", event, field="body")),
                "key_version": box.version,
                "size": 2,
                "request_id": "request-1",
                "expires_at": now() + timedelta(days=30),
                "state": "dead",
            }
            await session.execute(insert(InboundEvent).values(**row))
            plan = {
                "tenant_id": made.tenant_id,
                "id": replay,
                "connection_id": made.connection_id,
                "filter": {},
                "state": "planned",
                "total": 1,
                "calls": 1,
                "up_to": event,
                "created_by": "Ada",
            }
            await session.execute(insert(Replay).values(**plan))
        return {"event_id": str(event), "replay_id": str(replay)}

    async def webhook(self, made: Made) -> dict[str, str]:
        """An endpoint and a test that is on its way there, by the names that paths call them."""
        who = Principal(kind="member", id=str(new_id()), role="owner", label="Ada", tenant_id=made.tenant_id)
        service = self.services.deliveries
        async with self.db.tenant(made.tenant_id) as session:
            view, _ = await service.create(
                session, made.tenant_id, who, EndpointIn(url="http://127.0.0.1:9/", types=["*"])
            )
        async with self.db.tenant(made.tenant_id) as session:
            await service.test(session, made.tenant_id, view.id, who)
        async with self.db.tenant(made.tenant_id) as session:
            (sent,) = await service.deliveries(session, made.tenant_id, endpoint_id=view.id)
            system, _ = await self.services.systems.make(session, made.tenant_id, "Initech only", who)
        return {
            **await self.inbound(made),
            "endpoint_id": str(view.id),
            "delivery_id": str(sent.id),
            "system_id": str(system.id),
        }
