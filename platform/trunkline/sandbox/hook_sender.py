"""Delivers a simulator's changes as the provider's webhooks: signed, in batches, tried again, in no order.

The ledger of changes is the source, so whatever changes a record (a person, a test, an API call) is told.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx2
import msgspec

from trunkline.sdk.simulator_hooks import Teller, Webhook
from trunkline.sdk.simulator_store import Store

POLL_SECONDS: Final = 0.05
BASE_SECONDS: Final = 0.2
"""A provider waits minutes at first; a sandbox need not."""
CAP_SECONDS: Final = 30.0
AT_ONCE: Final = 10

_random = random.SystemRandom()


class HookSender:
    def __init__(self, teller: Teller, store: Store) -> None:
        self._teller = teller
        self._store = store
        self._next = 0
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tested: set[str] = set()
        self.delivered = 0
        self.failed = 0

    async def run(self) -> None:
        """For ever, from what changes from now on."""
        self._next = len(self._store.ledger)
        habit = self._teller.habit
        async with (
            httpx2.AsyncClient(timeout=habit.answer_seconds, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                entries = self._store.ledger[self._next :]
                self._next += len(entries)
                told: dict[str, tuple[Webhook, list[dict[str, Any]]]] = {}
                for entry in entries:
                    for hook in self._teller.hooks(entry.account):
                        told.setdefault(hook.id, (hook, []))[1].extend(self._teller.events(entry, hook))
                for hook, events in told.values():
                    _random.shuffle(events)
                    for start in range(0, len(events), habit.most):
                        group.create_task(self._deliver(client, hook, events[start : start + habit.most]))
                await asyncio.sleep(POLL_SECONDS)

    async def _deliver(
        self, client: httpx2.AsyncClient, hook: Webhook, events: Sequence[dict[str, Any]]
    ) -> None:
        habit = self._teller.habit
        for attempt in range(habit.tries):
            body = msgspec.json.encode(self._teller.tried(events, attempt))
            headers = self._teller.sign(hook, body, time.time()) | {"content-type": "application/json"}
            status = 0
            with contextlib.suppress(httpx2.HTTPError):
                async with self._slots:
                    if habit.head and hook.url not in self._tested:
                        (await client.head(hook.url)).raise_for_status()
                        self._tested.add(hook.url)
                    answer = await client.post(hook.url, content=body, headers=headers)
                if answer.is_success:
                    self.delivered += len(events)
                    self._teller.ended(hook, taken=True)
                    return
                status = answer.status_code
            if status and habit.again and status not in habit.again:
                break
            await asyncio.sleep(_random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2**attempt)))
        self.failed += len(events)
        self._teller.ended(hook, taken=False)
