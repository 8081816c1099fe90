"""The feed of changes, made of the ledger: what happened in the last 30 days, newest first."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_ids import number_of, opaque
from trunkline.sdk.simulator_store import LedgerEntry, Store
from trunkline_connectors.stripe.simulator_schema import (
    CHARGES,
    CUSTOMERS,
    DISPUTES,
    INVOICES,
    KINDS,
    PRICES,
    PRODUCTS,
    REFUNDS,
    SUBSCRIPTIONS,
)
from trunkline_connectors.stripe.simulator_shapes import Shapes

KEPT = timedelta(days=30)
SLOTS = 4
"""Room for the events of one change in the numbers that their ids are made of."""
_SIZE = 20


class Events:
    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now

    def newest_first(
        self, account: str, shapes: Shapes, version: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number, event); numbers descend. `version`: the account's own, which its events are made in."""
        since = self._now() - KEPT
        for entry in reversed(self._store.ledger):
            if entry.at < since:
                return
            if entry.account != account or entry.object_type not in KINDS:
                continue
            for slot, name in reversed(list(enumerate(types_of(entry)))):
                number = entry.sequence * SLOTS + slot
                yield number, event_of(number, name, entry, shapes, version)

    @staticmethod
    def number(event_id: str) -> int | None:
        return number_of(event_id.removeprefix("evt_"), _SIZE)


def types_of(entry: LedgerEntry) -> list[str]:
    kind, change = entry.object_type, entry.change
    prefix = KINDS[kind].events
    before = entry.before.values if entry.before else {}
    status, was = entry.after.values.get("status"), before.get("status")
    if change == "created":
        if kind == CHARGES:
            return ["charge.failed" if status == "failed" else "charge.succeeded"]
        return [f"{prefix}.created"]
    if change in {"archived", "purged"}:
        return {
            CUSTOMERS: ["customer.deleted"],
            PRODUCTS: ["product.deleted"],
            PRICES: ["price.deleted"],
            SUBSCRIPTIONS: ["customer.subscription.deleted"],
            INVOICES: ["invoice.deleted"],
            CHARGES: ["charge.refunded"],
            DISPUTES: ["charge.dispute.closed"],
            REFUNDS: ["refund.updated"],
        }.get(kind, [f"{prefix}.updated"])
    names = [f"{prefix}.updated"]
    if kind == INVOICES and status != was and status in {"paid", "open"}:
        names.append("invoice.paid" if status == "paid" else "invoice.finalized")
    if kind == DISPUTES and status != was and status in {"won", "lost"}:
        names.append("charge.dispute.closed")
    if kind == SUBSCRIPTIONS and status != was and status == "canceled":
        names.append("customer.subscription.deleted")
    return names


def event_of(number: int, name: str, entry: LedgerEntry, shapes: Shapes, version: str) -> dict[str, Any]:
    document = shapes.whole(entry.object_type, entry.after, version)
    data: dict[str, Any] = {"object": document}
    if name.endswith(".updated") and entry.before is not None:
        before = shapes.whole(entry.object_type, entry.before, version)
        data["previous_attributes"] = {
            field: before[field] for field in document if before.get(field) != document[field]
        }
    return {
        "id": f"evt_{opaque(number, _SIZE)}",
        "object": "event",
        "api_version": version,
        "created": int(entry.at.timestamp()),
        "data": data,
        "livemode": document["livemode"],
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": name,
    }
