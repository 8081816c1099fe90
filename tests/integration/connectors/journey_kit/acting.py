"""A connection whose actions are run, as the web process and workers run them."""

import asyncio
from typing import Any
from uuid import UUID

from journey_kit.journey import Journey
from sqlalchemy import text

from trunkline.actions.running import Runner
from trunkline.actions.schemas import ENDED, ActionCallView, ActionIn
from trunkline.actions.service import ActionService
from trunkline.services import Services

_MOMENTS = ("first_sent_at", "sent_at", "due_at", "held_until", "finished_at")


class Acting(Journey):
    """`settle` shortens what manifests give a provider to settle after a lost answer."""

    def __init__(self, *given: Any, settle: float = 0.01) -> None:
        super().__init__(*given)
        services: Services = self.services
        self.runner = Runner(
            services.db, services.vault, services.provider, services.connections, settle=settle
        )
        self.service = ActionService(
            services.db, services.vault, services.connectors, services.work, self.runner
        )

    @property
    def ledger(self) -> list[Any]:
        """Everything that was ever changed at the provider, by its own account."""
        return list(self.simulator.store.ledger)

    async def ask(
        self,
        name: str,
        given: dict[str, Any] | None = None,
        *,
        inputs: list[dict[str, Any]] | None = None,
        now_and_here: bool = True,
    ) -> UUID:
        assert self.connection is not None
        async with self.services.db.tenant(self.tenant) as session:
            asked = await self.service.ask(
                session,
                self.tenant,
                self.who,
                self.connection,
                name,
                ActionIn(input=given, inputs=inputs),
                now_and_here=now_and_here,
            )
        return asked.id

    async def act(self, name: str, given: dict[str, Any]) -> ActionCallView:
        call = await self.service.carry_out(self.tenant, await self.ask(name, given))
        return await self.ended(call.id)

    async def attempt(self, call_id: UUID) -> ActionCallView:
        """One, as a worker makes it; how the call stands then."""
        await self.runner.run(self.tenant, call_id)
        return await self.service.look(self.tenant, call_id)

    async def ended(self, call_id: UUID) -> ActionCallView:
        """Carried on with, as a worker does, until it ends."""
        for _ in range(200):
            call = await self.service.look(self.tenant, call_id)
            if call.state in ENDED:
                return call
            await self.runner.run(self.tenant, call_id)
            await asyncio.sleep(0.05)
        raise AssertionError(f"it does not end: {call}")

    async def later(self, call_id: UUID, seconds: float, *, asked: bool = False) -> None:
        """So much time goes by, for the call and for the provider; limits are over by then.

        `asked`: also since the call was asked for, which makes it another request of the provider's.
        """
        self.clock.seconds += seconds
        moments = (*_MOMENTS, "asked_at") if asked else _MOMENTS
        moved = ", ".join(f"{name} = {name} - :by * interval '1 second'" for name in moments)
        async with self.services.db.tenant(self.tenant) as session:
            await session.execute(
                text(f"UPDATE action_calls SET {moved} WHERE tenant_id = :tenant AND id = :id"),
                {"by": seconds, "tenant": self.tenant, "id": call_id},
            )
        await self.services.valkey.flushdb()
        limiter = self.services.provider.calls._limiter
        limiter._penalties.clear()
        limiter._heard.clear()

    async def issues(self) -> list[str]:
        """Causes of the connection's open issues."""
        found = await self.rows(
            "SELECT cause FROM issues WHERE tenant_id = :tenant AND resolved_at IS NULL ORDER BY cause"
        )
        return [row.cause for row in found]

    def revoke(self) -> None:
        """Somebody takes the app's access away at the provider."""
        for grant in list(self.simulator.oauth.grants.values()):
            self.simulator.oauth.revoke_grant(grant.id)
