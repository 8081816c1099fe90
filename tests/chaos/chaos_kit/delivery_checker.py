"""Compares the change log and the outbox with what the product's backend has received.

Every change reaches it in one event, every event at least once under its one id and with one body, and where order is
asked for, first in the order of the facts.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
from chaos_kit.customers import SHARED, Customer, Customers
from chaos_kit.finding import Finder, Finding
from chaos_kit.receiver import Arrival

from trunkline.deliveries.catalogue import TEST


class _Deliveries(Finder):
    def __init__(
        self, connection: asyncpg.Connection, customer: Customer, arrived: Sequence[Arrival]
    ) -> None:
        super().__init__(connection, customer)
        self._own = [one for one in arrived if one.path == f"/receiver/{customer.slug}"]
        self._arrived = [
            one for one in arrived if one.path == f"/receiver/{SHARED}" and one.tenant == customer.slug
        ] + self._own

    async def check(self) -> None:
        events = {
            f"msg_{row['id'].hex}": row
            for row in await self.rows(
                "SELECT id, number, type, subject, positions, record_keys FROM outbound_events WHERE tenant_id = $1"
            )
        }
        numbers = sorted(row["number"] for row in events.values())
        if numbers != list(range(1, len(numbers) + 1)):
            self.find("lost", "the events' numbers have a gap")
        for one in self._arrived:
            self._sound(one, events.get(one.id))
        bodies = defaultdict(set)
        for one in self._arrived:
            bodies[one.path, one.id].add(one.digest)
        for (_, identity), digests in bodies.items():
            if len(digests) > 1:
                self.find("doubled", f"{identity} arrived with {len(digests)} bodies")
        await self._reached(events)
        await self._changes()
        self._in_order(events)

    def _sound(self, one: Arrival, event: Any) -> None:
        if not one.signed:
            self.find("crossed", f"{one.id} arrived with a signature that does not hold")
        if event is None:
            self.find("crossed", f"{one.id} arrived, and is no event of this tenant's")
            return
        of_connection = one.type != TEST
        if one.tenant != self.customer.slug or (
            of_connection and one.subject != str(self.customer.connection_id)
        ):
            self.find("crossed", f"{one.id} tells of {one.tenant} {one.subject}")
        if (one.type, one.positions) != (event["type"], list(event["positions"])):
            self.find("lost", f"{one.id} is not what the event says")
        for stamp in one.marks:
            if not stamp.startswith(f"{self.customer.account}/"):
                self.find("crossed", f"{one.id} holds another account's data")

    async def _reached(self, events: dict[str, Any]) -> None:
        """Whatever is on its way was taken at least once; nothing waits any more."""
        taken = {(one.path, one.id) for one in self._arrived if one.status == 200}
        wanted = set()
        for row in await self.rows(
            """SELECT d.event_id, d.state, d.cause, d.endpoint_owner = d.tenant_id AS own, d.number
               FROM deliveries d WHERE d.tenant_id = $1"""
        ):
            identity = f"msg_{row['event_id'].hex}"
            path = f"/receiver/{self.customer.slug if row['own'] else SHARED}"
            wanted.add((path, identity))
            if row["state"] != "succeeded":
                self.find("lost", f"{identity} is {row['state']}, and not delivered: {row['cause']}")
            elif (path, identity) not in taken:
                self.find("lost", f"{identity} counts as delivered, and nobody took it")
        if missing := taken - wanted:
            self.find("crossed", f"{len(missing)} events arrived where they were not meant to")
        for identity, event in events.items():
            asked = [f"/receiver/{self.customer.slug}"] if event["type"].startswith("record.") else []
            if event["type"].startswith("connection.") or event["type"] == "record.deleted":
                asked.append(f"/receiver/{SHARED}")
            if any((path, identity) not in wanted for path in asked):
                self.find("lost", f"{identity} is on its way to fewer than asked for it")

    async def _changes(self) -> None:
        """Each position of the log in one event that was taken."""
        told: dict[int, set[str]] = defaultdict(set)
        for one in self._own:
            if one.status == 200:
                for position in one.positions:
                    told[position].add(one.id)
        rows = await self.rows("SELECT position, external_id FROM changes WHERE tenant_id = $1")
        for row in rows:
            ids = told[row["position"]]
            if not ids:
                self.find("lost", f"nobody was told of change {row['position']}", row["external_id"])
            elif len(ids) > 1:
                what = f"change {row['position']} was told of in {len(ids)} events"
                self.find("doubled", what, row["external_id"])
        if told.keys() - {row["position"] for row in rows}:
            self.find("crossed", "the product was told of changes that are not in the log")

    def _in_order(self, events: dict[str, Any]) -> None:
        """Where it is asked for, for each record and otherwise subject: by when each was first taken.

        Test events wait for nobody.
        """
        first = dict.fromkeys(one.id for one in self._own if one.status == 200 and one.id in events)
        numbers: dict[object, list[int]] = defaultdict(list)
        for one in first:
            if events[one]["type"] == TEST:
                continue
            for key in events[one]["record_keys"] or (events[one]["subject"],):
                numbers[key].append(events[one]["number"])
        if any(found != sorted(found) for found in numbers.values()):
            self.find("doubled", "events arrived in another order than that of the facts")


async def check_deliveries(connection: asyncpg.Connection, customers: Customers) -> list[Finding]:
    """Nothing where nobody listens."""
    if not customers.listening:
        return []
    arrived = msgspec.convert(await customers.control("received"), list[Arrival])
    found: list[Finding] = []
    for customer in customers.all:
        one = _Deliveries(connection, customer, arrived)
        await one.check()
        found += one.found
    return found
