"""How documents looked before 2025-03-31; sources as of `simulator_shapes`."""

from typing import Any

from trunkline_connectors.stripe.simulator_schema import INVOICES, PRICES, PRODUCTS, SUBSCRIPTIONS

Doc = dict[str, Any]


def older(kind: str, document: Doc) -> Doc:
    """The document as versions before 2025-03-31 have it."""
    made = dict(document)
    if kind == PRODUCTS:
        made["features"] = made.pop("marketing_features")
    elif kind == SUBSCRIPTIONS:
        lines = [dict(line) for line in made["items"]["data"]]
        start, end = made["created"], made["created"] + 2_592_000
        for line in lines:
            start, end = line.pop("current_period_start"), line.pop("current_period_end")
        made |= {
            "items": {**made["items"], "data": lines},
            "current_period_start": start,
            "current_period_end": end,
            "discount": None,
        }
        del made["discounts"], made["billing_mode"], made["billing_schedules"]
    elif kind == INVOICES:
        made.pop("parent")
        payments = made.pop("payments")["data"]
        payment = payments[0]["payment"] if payments else {"charge": None, "payment_intent": None}
        lines = [_older_line(line) for line in made["lines"]["data"]]
        made |= {
            "charge": payment["charge"],
            "payment_intent": payment["payment_intent"],
            "subscription": lines[0]["subscription"],
            "paid": made["status"] == "paid",
            "paid_out_of_band": False,
            "lines": {**made["lines"], "data": lines},
            "total_tax_amounts": [],
            "discount": None,
            "quote": None,
            "tax": None,
        }
        del made["total_taxes"], made["total_pretax_credit_amounts"], made["amount_overpaid"]
    elif kind == PRICES and made["recurring"]:
        recurring = {name: value for name, value in made["recurring"].items() if name != "meter"}
        made["recurring"] = {**recurring, "aggregate_usage": None}
    return made


def _older_line(line: Doc) -> Doc:
    made = dict(line)
    details = made.pop("parent")["subscription_item_details"]
    for name in ("pricing", "taxes", "pretax_credit_amounts", "subtotal"):
        made.pop(name)
    return made | {
        "proration": False,
        "subscription": details and details["subscription"],
        "subscription_item": details and details["subscription_item"],
        "tax_amounts": [],
        "tax_rates": [],
        "type": "subscription" if details else "invoiceitem",
    }
