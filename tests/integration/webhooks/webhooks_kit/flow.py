"""A connection of the engine's rig, and the app that delivers its events."""

from typing import Any

from webhooks_kit.hooks import Hooks, event

from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps


class Flow:
    """A connection with a recipe, and the app that delivers its events."""

    def __init__(self, rig: Any, connected: Any, hooks: Hooks) -> None:
        self.rig = rig
        self.connected = connected
        self.hooks = hooks
        self.store = connected.sandbox.hubspot.store
        self.account = connected.account
        self.number = 0

    def create(self, **values: str) -> str:
        return str(self.store.create(self.account, "contacts", {"email": "a@example.com", **values}).id)

    def event(self, record: str, kind: str = "contact.propertyChange", **more: Any) -> dict[str, Any]:
        self.number += 1
        return event(self.account, int(record), self.number, kind, **more)

    async def deliver(self, *events: dict[str, Any]) -> None:
        assert (await self.hooks.deliver(list(events))).status == 200
        await self.hooks.intake._waker.close()

    def know(self, *kinds: str) -> None:
        """Have this kind of work done too."""
        rig = self.rig
        assert set(kinds) <= set(rig.handlers)
        rig.dispatcher = Dispatcher(rig.db, list(rig.handlers), lease_seconds=15, caps=Caps())

    async def work(self) -> None:
        for _ in range(3):
            await self.connected.work()

    async def states(self) -> list[tuple[str, str | None]]:
        return [(row["state"], row["cause"]) for row in await self.hooks.events(self.connected.tenant_id)]

    async def emails(self) -> dict[str, str]:
        entities = await self.connected.entities()
        return {external_id: data["email"] for external_id, data in entities.items()}

    async def attempts(self) -> list[Any]:
        return await self.connected.rows(
            "SELECT * FROM inbound_attempts WHERE tenant_id = :tenant ORDER BY event_id, number"
        )

    async def due_now(self) -> None:
        await self.connected.rows(
            "UPDATE work SET due_at = now() WHERE tenant_id = :tenant AND kind = 'hooks' RETURNING id"
        )
        await self.connected.rows(
            "UPDATE inbound_events SET due_at = now() WHERE tenant_id = :tenant RETURNING id"
        )
