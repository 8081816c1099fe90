"""Deterministic billing data of the simulated Stripe accounts; what belongs together points to each other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_ids import opaque
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
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

Values = dict[str, Any]


class Business(msgspec.Struct, frozen=True):
    """A Stripe account; `version` is its default API version."""

    id: str
    name: str
    country: str
    currency: str
    customers: int
    version: str

    @property
    def account(self) -> Account:
        detail = (
            f"{self.customers:,} customers · {self.currency.upper()}" if self.customers else "Empty so far"
        )
        return Account(self.id, self.name, detail)


BUSINESSES = (
    Business("acct_1TLnorthwind0001", "Northwind Outfitters", "DE", "eur", 140, "2026-10-28.endive"),
    Business("acct_1TLblueharbor002", "Blue Harbor Studio", "JP", "jpy", 30, "2023-08-16"),
    Business("acct_1TLquietvalley03", "Quiet Valley Labs", "US", "usd", 0, "2026-10-28.endive"),
)

_START = datetime(2023, 2, 6, 8, tzinfo=UTC)
_PRODUCTS = (
    "Starter",
    "Team",
    "Business",
    "Extra seats",
    "Onboarding",
    "Priority support",
    "Archive",
    "Sandbox",
)
_FIRST = (
    "Anna",
    "Ben",
    "Chloé",
    "Diego",
    "Emeka",
    "Fatima",
    "Søren",
    "Tomás",
    "美咲",
    "Дмитрий",
    "محمد",
    "Zoë",
)
_LAST = (
    "Adler",
    "Brown",
    "Castillo",
    "Dvořák",
    "Müller",
    "O'Brien",
    "Tanaka",
    "van der Berg",
    "الفارسي",
    "Xu",
)
_FIRM = (
    "Alder & Sons",
    "Brightwater",
    "Cobalt Freight",
    "Fjord Optics",
    "株式会社 Lumen",
    "Oakline",
    "Quarry Labs",
)
_ODD = (
    "  padded  ",
    "<b>Bold</b> & Söhne",
    "null",
    "👩\u200d💻",
    "line\nbreak",
    "Robert'); DROP TABLE students;--",
)
BASES = {kind: 1_000_000 * (place + 1) for place, kind in enumerate(KINDS)}


def public(kind: str, number: int | str) -> str:
    return KINDS[kind].prefix + opaque(int(number), 14)


class _Maker:
    def __init__(self, seed: int, business: Business) -> None:
        self.rng = repeatable(f"{seed}:{business.id}")
        self.business = business
        self.made: dict[str, list[SimulatedObject]] = {kind: [] for kind in KINDS}
        self.moments: dict[str, datetime] = {}

    def add(self, kind: str, values: Values, after: datetime | None = None) -> SimulatedObject:
        """Later than everything of its kind before, so that ids and times go together."""
        last = self.moments.get(kind, _START)
        moment = max(last, after or last) + timedelta(minutes=self.rng.randrange(1, 400))
        self.moments[kind] = moment
        rows = self.made[kind]
        number = int(rows[-1].id) if rows else BASES[kind]
        item = SimulatedObject(str(number + self.rng.randint(1, 6)), values, moment, moment)
        rows.append(item)
        return item

    def amount(self, low: int, high: int) -> int:
        """In the currency's minor unit; the yen has none."""
        return self.rng.randint(low, high) * (100 if self.business.currency != "jpy" else 110)


def seed_objects(seed: int, business: Business) -> Iterator[tuple[str, list[SimulatedObject]]]:
    """Every type with its objects, ids ascending; the same for the same seed."""
    maker = _Maker(seed, business)
    if business.customers:
        _prices(maker)
        for position in range(business.customers):
            _customer(maker, position)
        for customer in list(maker.made[CUSTOMERS]):
            if maker.rng.random() < 0.8:
                _subscribe(maker, customer)
        deleted = maker.made[CUSTOMERS][3::37]
        gone = {item.id for item in deleted}
        maker.made[CUSTOMERS] = [
            msgspec.structs.replace(item, archived_at=item.created_at + timedelta(days=30))
            if item.id in gone
            else item
            for item in maker.made[CUSTOMERS]
        ]
    yield from maker.made.items()


def sample(kind: str, number: int, business: Business) -> Values:
    """A new object for the control page; the same for the same number. References are left out."""
    rng = repeatable(f"sample:{kind}:{number}")
    amount = rng.randint(5, 90) * 100
    if kind == CUSTOMERS:
        first, last = rng.choice(_FIRST[:6]), rng.choice(_LAST[:6])
        return {"name": f"{first} {last}", "email": f"new.person{number}@shop.example"}
    if kind == PRODUCTS:
        return {"name": f"{rng.choice(_PRODUCTS)} {number}"}
    if kind == PRICES:
        return {
            "currency": business.currency,
            "unit_amount": amount,
            "nickname": f"Made in the sandbox {number}",
        }
    if kind == SUBSCRIPTIONS:
        return {
            "currency": business.currency,
            "status": "active",
            "description": f"Made in the sandbox {number}",
        }
    if kind == DISPUTES:
        return {
            "currency": business.currency,
            "amount": amount,
            "status": "needs_response",
            "reason": "general",
        }
    if kind == INVOICES:
        return {"currency": business.currency, "total": amount, "status": "open"}
    return {"currency": business.currency, "amount": amount, "status": "succeeded"}


def _prices(maker: _Maker) -> None:
    for position, name in enumerate(_PRODUCTS):
        product = maker.add(
            PRODUCTS,
            {
                "name": name,
                "active": name != "Archive",
                "description": None if position % 2 else f"{name}, billed by the month or the year.",
                "unit_label": "seat" if "seats" in name else None,
            },
        )
        one_time = name == "Onboarding"
        for interval in (None,) if one_time else ("month", "year"):
            unit = maker.amount(5, 60) * (10 if interval == "year" else 1)
            maker.add(
                PRICES,
                {
                    "product": public(PRODUCTS, product.id),
                    "currency": maker.business.currency,
                    "unit_amount": unit,
                    "recurring": interval and {"interval": interval},
                    "nickname": f"{name}, {interval or 'once'}",
                    "lookup_key": f"{name.split()[0].lower()}_{interval or 'once'}" if position < 3 else None,
                },
                product.created_at,
            )


def _customer(maker: _Maker, position: int) -> None:
    rng = maker.rng
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    firm = rng.choice(_FIRM)
    name = rng.choice(_ODD) if rng.random() < 0.04 else f"{first} {last}" if rng.random() < 0.7 else firm
    maker.add(
        CUSTOMERS,
        {
            "name": name if rng.random() < 0.95 else None,
            "email": f"{plain.strip('.') or 'x'}{position}@customer.example" if rng.random() < 0.95 else None,
            "phone": f"+4930{rng.randint(1_000_000, 9_999_999)}" if rng.random() < 0.4 else None,
            "description": firm if rng.random() < 0.3 else None,
            "currency": maker.business.currency,
            "delinquent": rng.random() < 0.05,
            "preferred_locales": ["de-DE"] if rng.random() < 0.3 else [],
            "metadata": {"crm_id": str(20_000 + position)} if rng.random() < 0.5 else {},
            "address": {
                "line1": f"{rng.randint(1, 300)} Main St.",
                "line2": None,
                "city": rng.choice(("Berlin", "Lyon", "東京", "Kraków")),
                "postal_code": f"{rng.randint(0, 99_999):05}",
                "state": None,
                "country": maker.business.country,
            }
            if rng.random() < 0.6
            else None,
        },
    )


def _subscribe(maker: _Maker, customer: SimulatedObject) -> None:
    rng = maker.rng
    price = rng.choice([item for item in maker.made[PRICES] if item.values["recurring"]])
    status = rng.choices(("active", "trialing", "past_due", "canceled"), (80, 6, 6, 8))[0]
    quantity = rng.randint(1, 12)
    holder = public(CUSTOMERS, customer.id)
    months = 1 if price.values["recurring"]["interval"] == "month" else 12
    last = maker.moments.get(SUBSCRIPTIONS, _START)
    begun = max(last, customer.created_at)
    start = int(begun.timestamp())
    period = 2_592_000 * months
    subscription = maker.add(
        SUBSCRIPTIONS,
        {
            "customer": holder,
            "currency": maker.business.currency,
            "status": status,
            "price": public(PRICES, price.id),
            "quantity": quantity,
            "start_date": start,
            "period_start": start,
            "period_end": start + period,
            "cancel_at_period_end": rng.random() < 0.06,
            "canceled_at": start + period if status == "canceled" else None,
            "metadata": {"seats": str(quantity)} if rng.random() < 0.3 else {},
        },
        customer.created_at,
    )
    for number in range(rng.randint(1, 2) if status != "trialing" else 1):
        total = price.values["unit_amount"] * quantity if status != "trialing" else 0
        paid = total == 0 or not (status == "past_due" and number == 0)
        invoice = maker.add(
            INVOICES,
            {
                "customer": holder,
                "customer_email": customer.values["email"],
                "customer_name": customer.values["name"],
                "subscription": public(SUBSCRIPTIONS, subscription.id),
                "price": public(PRICES, price.id),
                "quantity": quantity,
                "currency": maker.business.currency,
                "total": total,
                "status": "paid" if paid else "open",
                "number": f"TL-{len(maker.made[INVOICES]) + 1:04}",
            },
            subscription.created_at,
        )
        if total:
            _pay(maker, invoice, holder, paid=paid)


def _pay(maker: _Maker, invoice: SimulatedObject, holder: str, *, paid: bool) -> None:
    rng = maker.rng
    amount = invoice.values["total"]
    refunded = amount if paid and rng.random() < 0.06 else 0
    disputed = paid and not refunded and rng.random() < 0.03
    charge = maker.add(
        CHARGES,
        {
            "amount": amount,
            "amount_refunded": refunded,
            "currency": maker.business.currency,
            "customer": holder,
            "invoice": public(INVOICES, invoice.id),
            "payment_intent": f"pi_{opaque(int(invoice.id), 14)}",
            "status": "succeeded" if paid else "failed",
            "failure_code": None if paid else "card_declined",
            "failure_message": None if paid else "Your card was declined.",
            "disputed": disputed,
            "last4": f"{rng.randrange(10_000):04}",
        },
        invoice.created_at,
    )
    invoice.values["charge"] = public(CHARGES, charge.id)
    if refunded:
        values = {
            "charge": public(CHARGES, charge.id),
            "amount": refunded,
            "currency": maker.business.currency,
        }
        values |= {"payment_intent": charge.values["payment_intent"], "reason": "requested_by_customer"}
        maker.add(REFUNDS, {**values, "status": "succeeded"}, charge.created_at)
    if disputed:
        values = {"charge": public(CHARGES, charge.id), "amount": amount, "currency": maker.business.currency}
        values |= {"payment_intent": charge.values["payment_intent"], "reason": "fraudulent"}
        maker.add(
            DISPUTES, {**values, "status": rng.choice(("needs_response", "won", "lost"))}, charge.created_at
        )
