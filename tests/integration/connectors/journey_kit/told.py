"""Connectors whose providers tell of changes: one of each, with everything real between change and record."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from journey_kit.intake import Door
from journey_kit.journey import Journey, quick
from journey_kit.way import Row

from trunkline.kernel.db import OPERATOR
from trunkline.kernel.settings import Settings
from trunkline.sandbox.hook_sender import HookSender
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_clock import wall_now
from trunkline.services import build_services
from trunkline.work.worker import run_worker
from trunkline_connectors.catalogue import contracts, manifests
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.intercom.simulator import IntercomSimulator
from trunkline_connectors.pipedrive.simulator import PipedriveSimulator
from trunkline_connectors.stripe.simulator import StripeSimulator
from trunkline_connectors.zendesk.simulator import ZendeskSimulator

PATIENCE = 30.0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    way: Row
    recipe: str
    stream: str
    field: str
    """Pointer-like path in the document that `touched` changes."""
    touched: Callable[[int], dict[str, Any]]
    other: str
    """Another account of the provider's."""
    signed: bool = True
    """Whether the body is signed."""
    ends: Callable[[Any, str, str, str], None] = lambda simulator, *what: simulator.store.archive(*what)


def _way(make: Any, account: str, typed: Any = None) -> Row:
    more = {"typed": typed} if typed else {}
    return Row(make=make, account=account, truth=lambda *_: {}, kinds={}, tombstones=(), vanishing=(), **more)


CASES = {
    "hubspot": Case(
        way=_way(HubSpotSimulator, "48120002"),
        recipe="contacts",
        stream="contacts",
        field="jobtitle",
        touched=lambda n: {"jobtitle": f"Told {n}"},
        other="48120001",
    ),
    "intercom": Case(
        way=_way(IntercomSimulator, "tlbh02bb", lambda *_: {"region": "eu"}),
        recipe="contacts",
        stream="contacts",
        field="name",
        touched=lambda n: {"name": f"Told {n}"},
        other="tlnw01aa",
    ),
    "stripe": Case(
        way=_way(StripeSimulator, "acct_1TLnorthwind0001"),
        recipe="customers",
        stream="customers",
        field="description",
        touched=lambda n: {"description": f"Told {n}"},
        other="acct_1TLblueharbor002",
    ),
    "pipedrive": Case(
        way=_way(PipedriveSimulator, "9120002"),
        recipe="deals",
        stream="deals",
        field="title",
        touched=lambda n: {"title": f"Told {n}"},
        other="9120001",
        signed=False,
    ),
    "zendesk": Case(
        way=_way(ZendeskSimulator, "12510002", lambda *_: {"subdomain": "TinyRobots.zendesk.com"}),
        recipe="tickets",
        stream="tickets",
        field="subject",
        touched=lambda n: {"subject": f"Told {n}"},
        other="12510001",
    ),
}


class Told(Journey):
    case: Case
    door: Door
    sender: HookSender
    changed: str
    """Public id of the record that `delays` changed last."""

    async def until(self, holds: Callable[[], Any], what: str) -> float:
        """Seconds until it was so; it is looked at every few milliseconds."""
        start = time.monotonic()
        while time.monotonic() - start < PATIENCE:
            found = await holds()
            if found:
                return time.monotonic() - start
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.name}: never {what}; events: {await self.events()}")

    async def events(self) -> list[tuple[Any, ...]]:
        rows = await self.rows(
            "SELECT type, state, cause FROM inbound_events WHERE tenant_id = :tenant ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def shows(self, public: str, wanted: str | None) -> bool:
        """`wanted` None: there is no such record any more."""
        held = (await self.documents())[self.case.stream]
        if wanted is None or public not in held:
            return wanted is None and public not in held
        document = held[public]
        return bool(document.get("properties", document).get(self.case.field) == wanted)

    async def settled_events(self, count: int) -> None:
        async def all_done() -> bool:
            events = await self.events()
            return len(events) >= count and all(state != "queued" for _, state, _ in events)

        await self.until(all_done, f"{count} events settled")


@asynccontextmanager
async def telling(
    name: str, *, database_url: str, valkey_url: str, folder: Path, serve: Callable[..., str]
) -> AsyncIterator[Told]:
    """Connected, read once, and a worker that runs. `serve` as of the sandbox's fixture."""
    case, door = CASES[name], Door()
    simulator = case.way.make()
    address: list[str] = []
    teller = simulator.teller("secret", lambda: address[0] if address else "")
    assert teller is not None
    sender = HookSender(teller, simulator.store)
    settings = Settings(
        public_url=door.origin,
        database_url=database_url,
        valkey_url=valkey_url,
        data=folder,
        sandbox_url=serve(simulator, senders=(sender,)),
    )
    connectors = Connectors([quick(manifest) for manifest in manifests()], contracts=contracts())
    services = build_services(settings, connectors, application="test")
    await services.start()
    journey = Told(case.way, name, services, simulator, wall_now)
    journey.case, journey.door, journey.sender = case, door, sender
    await journey.register()
    async with services.db.tenant(OPERATOR) as session:
        address += (await services.hooks.of_own_clients(session, OPERATOR)).values()
    await door.open(services)
    await journey.connect()
    await journey.install([case.recipe])
    await journey.work()
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(settings, services.db, services.handlers(), stop=stop))
    try:
        yield journey
    finally:
        stop.set()
        await working
        await door.close(services)
        await services.close()


async def delays(told: Told, number: int, start: int = 0) -> list[float]:
    """Seconds from a change at the provider to the committed record, one after the other."""
    kind, account = told.case.stream, told.row.account
    public = told.actions.change(account, kind, values=told.case.touched(start))[0]
    await told.until(lambda: told.shows(public, f"Told {start}"), "the first change")
    found = []
    for each in range(start + 1, start + 1 + number):
        told.actions.change(account, kind, ids=[public], values=told.case.touched(each))
        found.append(await told.until(lambda n=each: told.shows(public, f"Told {n}"), f"change {each}"))
    told.changed = public
    return found
