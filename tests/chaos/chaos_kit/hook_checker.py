"""Compares what the provider told of, and what it was answered, with the events that are held.

Acknowledged and not held, or held and never processed: lost. Held or applied twice: doubled. Never sent by the provider,
or somebody else's account: crossed.
"""

from collections import Counter
from typing import Any

import asyncpg
import msgspec
from chaos_kit.customers import Customer, Customers
from chaos_kit.finding import Finder, Finding
from chaos_kit.postman import FIRST_FORGED, Key, key_of

from trunkline.vault.sealed import place

REFUSALS = frozenset({400, 401, 404, 413})
"""Answers that a true event must never get."""


class _Hooks(Finder):
    def __init__(self, connection: asyncpg.Connection, customer: Customer, sent: dict[Key, bool]) -> None:
        super().__init__(connection, customer)
        self._sent = sent

    async def kept(self, customers: Customers) -> set[Key]:
        """Events of this tenant's connection, opened with its own key; what is wrong with any is noted."""
        services, tenant_id = customers.services, self.customer.tenant_id
        async with services.db.tenant(tenant_id) as session:
            box = await services.vault.box(session, tenant_id)
        rows = await self.rows(
            """SELECT e.id, e.body, e.key_version, e.state, e.cause, e.connection_id, e.received_at,
                 (SELECT count(*) FROM inbound_attempts a WHERE a.tenant_id = e.tenant_id AND a.event_id = e.id
                    AND a.outcome = 'applied') AS applied
               FROM inbound_events e WHERE e.tenant_id = $1"""
        )
        counted: Counter[Key] = Counter()
        for row in rows:
            raw = box.open(row["body"], row["key_version"], place("inbound_events", row["id"], field="body"))
            event = msgspec.json.decode(raw)
            key, at = key_of(event), row["received_at"].timestamp()
            counted[key] += 1
            self._one(row, event, key, at)
        for key, number in counted.items():
            if number > 1:
                self.find("doubled", f"the event {key[0]} {key[1]} is kept {number} times", str(key[2]))
        return set(counted)

    def _one(self, row: Any, event: dict[str, Any], key: Key, at: float) -> None:
        subject = str(key[2])
        if key[0] >= FIRST_FORGED:
            self.find("crossed", f"the event {key[0]} is kept, and was forged", subject, at)
        elif key not in self._sent:
            self.find("crossed", f"the event {key[0]} is kept, and was never sent", subject, at)
        if str(event["portalId"]) != self.customer.account:
            self.find("crossed", f"the event {key[0]} is another account's", subject, at)
        if row["connection_id"] != self.customer.connection_id:
            self.find("lost", f"the event {key[0]} is kept for no connection", subject, at)
        if row["state"] == "queued":
            self.find("lost", f"the event {key[0]} was never made anything of: {row['cause']}", subject, at)
        if row["applied"] > 1:
            self.find("doubled", f"the event {key[0]} was applied {row['applied']} times", subject, at)


async def check_hooks(connection: asyncpg.Connection, customers: Customers) -> list[Finding]:
    told = await customers.control("told")
    sent: dict[Key, bool] = {(*event[:5],): event[5] for event in told["events"]}  # type: ignore[misc]
    found: list[Finding] = []
    kept: set[Key] = set()
    for customer in customers.all:
        one = _Hooks(connection, customer, sent)
        kept |= await one.kept(customers)
        found += one.found
    for key, acknowledged in sent.items():
        if acknowledged and key not in kept:
            what = f"the event {key[0]} {key[1]} was acknowledged, and is not held"
            found.append(Finding(verdict="lost", tenant="?", what=what, subject=str(key[2])))
    if told["under_way"]:
        what = f"{told['under_way']} requests of the provider's are not taken yet"
        found.append(Finding(verdict="lost", tenant="?", what=what))
    for status, number in told["answers"].items():
        if int(status) in REFUSALS:
            what = f"{number} true requests were answered with {status}"
            found.append(Finding(verdict="lost", tenant="?", what=what))
    for status, number in told["forged"].items():
        if int(status) < 400:
            what = f"{number} forged requests were answered with {status}"
            found.append(Finding(verdict="crossed", tenant="?", what=what))
    return found
