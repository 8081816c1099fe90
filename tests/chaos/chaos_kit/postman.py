"""The provider's webhooks on bad days: signed events of every edit, some late, some twice, in no order, some forged.

Lives in the provider's process, beside the ledger. It keeps what was answered with 2xx, so that the checker can ask
for it: an event that was acknowledged is to be held, once, and one that was forged never.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec
from chaos_kit.accounts import KINDS, MARK, mark

from trunkline.sdk.simulator_hooks import Webhook
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_hooks import HubSpotHooks

log = logging.getLogger("postman")

POLL_SECONDS = 0.05
MOST = 20
"""Events of one request, at most."""
AT_ONCE = 6
LATE, TWICE, AGAIN, FORGED = 0.15, 0.1, 0.15, 0.1
"""Shares of requests: that leave late, twice at the same time, once more later; and that a forged one goes with."""
LATE_SECONDS, AGAIN_SECONDS = (0.5, 6.0), (0.2, 3.0)
ANSWER_SECONDS = 5.0
BASE_SECONDS, CAP_SECONDS = 0.2, 2.0
"""Between two tries; a real provider waits minutes at first."""
FIRST_FORGED = 1_000_000_000
"""No true event has a number like this."""
STALE_SECONDS = 3600

Key = tuple[int, str, int, str, str]
"""An event, whatever it came in: number, type, record, property, value."""


def key_of(event: dict[str, Any]) -> Key:
    return (
        event["eventId"],
        event["subscriptionType"],
        event["objectId"],
        event.get("propertyName", ""),
        event.get("propertyValue", ""),
    )


class Postman:
    """`aim` says where to; before that nothing is sent, and what happens is not told."""

    def __init__(self, simulator: HubSpotSimulator, accounts: Sequence[str], seed: int) -> None:
        self._sim = simulator
        self._accounts = accounts
        self._rng = random.Random(f"postman:{seed}")
        self._hook: Webhook | None = None
        self._teller = HubSpotHooks("")
        self._next = 0
        self._twice = TWICE
        self._forgeries = FIRST_FORGED
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.true: dict[Key, bool] = {}
        """Events that were sent: whether they were acknowledged."""
        self.under_way = 0
        self.answers: Counter[int] = Counter()
        """To true requests, by status; 0: none came."""
        self.forged: Counter[int] = Counter()
        """To forged ones."""

    def aim(self, url: str, secret: str, twice: float = TWICE) -> None:
        """`twice`: the share of requests that come twice at the same time."""
        self._twice = twice
        self._hook = Webhook(id="app", account="", url=url, secret=secret)
        self._next = len(self._sim.store.ledger)

    def told(self) -> dict[str, Any]:
        """What the checker asks for; `under_way`: requests that are still to be taken."""
        waiting = len(self._sim.store.ledger) - self._next if self._hook else 0
        return {
            "events": [[*key, taken] for key, taken in self.true.items()],
            "under_way": self.under_way + waiting,
            "answers": {str(status): number for status, number in self.answers.items()},
            "forged": {str(status): number for status, number in self.forged.items()},
        }

    async def run(self) -> None:
        async with (
            httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                if self._hook is not None:
                    for parcel in self._parcels():
                        self.under_way += 1
                        group.create_task(self._deliver(client, self._hook, parcel))
                await asyncio.sleep(POLL_SECONDS)

    def _parcels(self) -> list[list[dict[str, Any]]]:
        entries = self._sim.store.ledger[self._next :]
        self._next += len(entries)
        events = [event for entry in entries for event in self._teller.events(entry)]
        self._rng.shuffle(events)
        self.true |= {key_of(event): False for event in events}
        made = []
        while events:
            size = self._rng.randint(1, MOST)
            made.append(events[:size])
            del events[:size]
        return made

    async def _deliver(
        self, client: httpx2.AsyncClient, hook: Webhook, events: Sequence[dict[str, Any]]
    ) -> None:
        rng = self._rng
        late, twice, again, forged = (rng.random() < share for share in (LATE, self._twice, AGAIN, FORGED))
        try:
            if late:
                await asyncio.sleep(rng.uniform(*LATE_SECONDS))
            sent = [self._until_taken(client, hook, events) for _ in range(1 + twice)]
            await asyncio.gather(*sent, *([self._forge(client, hook)] if forged else []))
            if again:
                await asyncio.sleep(rng.uniform(*AGAIN_SECONDS))
                await self._until_taken(client, hook, events, first=1)
        finally:
            self.under_way -= 1

    async def _until_taken(
        self, client: httpx2.AsyncClient, hook: Webhook, events: Sequence[dict[str, Any]], first: int = 0
    ) -> None:
        """Again and again, as a provider with a day's patience; in another order each time."""
        attempt = first
        while True:
            parcel = self._teller.tried(self._rng.sample(events, len(events)), attempt)
            body = msgspec.json.encode(parcel)
            status = await self._post(client, hook, body, self._teller.sign(hook, body, time.time()))
            self.answers[status] += 1
            if 200 <= status < 300:
                self.true |= dict.fromkeys(map(key_of, parcel), True)
                return
            pause = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(attempt, 10))
            await asyncio.sleep(self._rng.uniform(0, pause))
            attempt += 1

    async def _post(
        self, client: httpx2.AsyncClient, hook: Webhook, body: bytes, signed: dict[str, str]
    ) -> int:
        """The status; 0: no answer came."""
        headers = signed | {"content-type": "application/json"}
        async with self._slots:
            try:
                return (await client.post(hook.url, content=body, headers=headers)).status_code
            except httpx2.HTTPError:
                return 0
            except Exception:
                # a connection that breaks under the client: as for any provider, no answer came
                log.exception("not sent")
                return 0

    # -- what nobody at the provider ever said -----------------------------------------------

    async def _forge(self, client: httpx2.AsyncClient, hook: Webhook) -> None:
        """Tried until there is an answer: one that is refused because all are says nothing."""
        body, signed = self._forgery(hook)
        status = await self._post(client, hook, body, signed)
        while status in {0, 503}:
            await asyncio.sleep(BASE_SECONDS)
            status = await self._post(client, hook, body, signed)
        self.forged[status] += 1

    def _forgery(self, hook: Webhook) -> tuple[bytes, dict[str, str]]:
        """Signed by another secret, changed on its way, an hour old, or not signed at all."""
        rng, now = self._rng, time.time()
        account, kind = rng.choice(self._accounts), rng.choice(KINDS)
        self._forgeries += 1
        record = rng.choice([one.id for one in self._sim.store.walk(account, kind, archived=None)])
        name = {"contacts": "contact", "companies": "company"}[kind]
        event = {
            "eventId": self._forgeries,
            "subscriptionId": 1,
            "portalId": int(account),
            "occurredAt": int(now * 1000),
            "subscriptionType": rng.choice([f"{name}.deletion", f"{name}.propertyChange"]),
            "objectId": int(record),
            "propertyName": MARK[kind],
            "propertyValue": mark(account, self._forgeries),
        }
        body = msgspec.json.encode([event])
        how = rng.choice(("another secret", "changed", "stale", "unsigned"))
        if how == "another secret":
            other = msgspec.structs.replace(hook, secret="guessed")
            return body, self._teller.sign(other, body, now)
        if how == "changed":
            return body, self._teller.sign(
                hook, body.replace(b'"subscriptionId":1', b'"subscriptionId":2'), now
            )
        if how == "stale":
            return body, self._teller.sign(hook, body, now - STALE_SECONDS)
        return body, {}
