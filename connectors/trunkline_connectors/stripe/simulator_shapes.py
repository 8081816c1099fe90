"""A stored object as Stripe's API gives it, in the shape of the version that was asked for.

Sources: the vendor's sample objects (current version) and its specification of 2023-08-16.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trunkline.sdk.simulator_ids import number_of, opaque
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.stripe.simulator_schema import (
    BASIL,
    CHARGES,
    CUSTOMERS,
    DISPUTES,
    GONE,
    INVOICES,
    KINDS,
    PRICES,
    PRODUCTS,
    REFUNDS,
    SUBSCRIPTIONS,
)
from trunkline_connectors.stripe.simulator_versions import Doc, older

ID_SIZE = 14
_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def public_id(kind: str, object_id: str) -> str:
    return KINDS[kind].prefix + opaque(int(object_id), ID_SIZE)


def own_id(kind: str, text: str) -> str:
    """Of what is no id of this kind: "0", which no object has."""
    number = number_of(text.removeprefix(KINDS[kind].prefix), ID_SIZE)
    return str(number) if number is not None and text.startswith(KINDS[kind].prefix) else "0"


def listed(data: list[Any], url: str, *, more: bool = False) -> Doc:
    return {"object": "list", "data": data, "has_more": more, "url": url}


class Shapes:
    """`account` is the account's id, which the documents' references are looked up in."""

    def __init__(self, store: Store, account: str, livemode: bool = True) -> None:
        self._store = store
        self._account = account
        self._live = livemode
        self._makers: Mapping[str, Callable[[SimulatedObject, Doc], Doc]] = {
            CUSTOMERS: self._customer,
            PRODUCTS: self._product,
            PRICES: self._price,
            SUBSCRIPTIONS: self._subscription,
            INVOICES: self._invoice,
            CHARGES: self._charge,
            REFUNDS: self._refund,
            DISPUTES: self._dispute,
        }

    def document(self, kind: str, item: SimulatedObject, version: str) -> Doc:
        """Of a deleted one its id and the fact; some kinds are never gone."""
        own = public_id(kind, item.id)
        if item.archived_at is not None and kind in GONE:
            return {"id": own, "object": KINDS[kind].noun, "deleted": True}
        return self.whole(kind, item, version)

    def whole(self, kind: str, item: SimulatedObject, version: str) -> Doc:
        """As it was, also of a deleted one: what a deletion's event carries."""
        base: Doc = {
            "id": public_id(kind, item.id),
            "object": KINDS[kind].noun,
            "created": int(item.created_at.timestamp()),
            "livemode": self._live,
            "metadata": item.values.get("metadata") or {},
        }
        document = base | self._makers[kind](item, dict(item.values))
        if version < BASIL:
            return older(kind, document)
        if kind == CHARGES:
            del document["invoice"]
        return document

    def _customer(self, item: SimulatedObject, values: Doc) -> Doc:
        number = int(item.id)
        return {
            "address": values.get("address"),
            "balance": values.get("balance", 0),
            "currency": values.get("currency"),
            "customer_account": None,
            "default_source": None,
            "delinquent": values.get("delinquent", False),
            "description": values.get("description"),
            "discount": None,
            "email": values.get("email"),
            "invoice_prefix": opaque(number, 8).upper(),
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "name": values.get("name"),
            "next_invoice_sequence": 1,
            "phone": values.get("phone"),
            "preferred_locales": values.get("preferred_locales", []),
            "shipping": None,
            "tax_exempt": values.get("tax_exempt", "none"),
            "test_clock": None,
        }

    def _product(self, item: SimulatedObject, values: Doc) -> Doc:
        return {
            "active": values.get("active", True) and item.archived_at is None,
            "default_price": None,
            "description": values.get("description"),
            "images": [],
            "marketing_features": [],
            "name": values.get("name") or "Unnamed",
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": values.get("statement_descriptor"),
            "tax_code": None,
            "type": "service",
            "unit_label": values.get("unit_label"),
            "updated": int(item.updated_at.timestamp()),
            "url": values.get("url"),
        }

    def _price(self, item: SimulatedObject, values: Doc) -> Doc:
        recurring = values.get("recurring")
        unit = values.get("unit_amount")
        return {
            "active": values.get("active", True) and item.archived_at is None,
            "billing_scheme": "per_unit",
            "currency": values.get("currency") or "usd",
            "custom_unit_amount": None,
            "lookup_key": values.get("lookup_key"),
            "nickname": values.get("nickname"),
            "product": values.get("product") or f"prod_{opaque(1, ID_SIZE)}",
            "recurring": recurring
            and {
                "interval": recurring["interval"],
                "interval_count": int(recurring.get("interval_count", 1)),
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            },
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": unit,
            "unit_amount_decimal": None if unit is None else str(unit),
        }

    def _subscription(self, item: SimulatedObject, values: Doc) -> Doc:
        own = public_id(SUBSCRIPTIONS, item.id)
        made = int(item.created_at.timestamp())
        ended = None if item.archived_at is None else int(item.archived_at.timestamp())
        canceled = values.get("canceled_at") or ended
        price = self._linked(PRICES, values.get("price"))
        line = {
            "id": f"si_{opaque(int(item.id), ID_SIZE)}",
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": made,
            "current_period_end": values.get("period_end", made + 2_592_000),
            "current_period_start": values.get("period_start", made),
            "discounts": [],
            "metadata": {},
            "price": price,
            "quantity": values.get("quantity", 1),
            "subscription": own,
            "tax_rates": [],
        }
        return {
            "application": None,
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": values.get("start_date", made),
            "billing_cycle_anchor_config": None,
            "billing_mode": {"type": "classic", "flexible": None},
            "billing_schedules": [],
            "billing_thresholds": None,
            "cancel_at": None,
            "cancel_at_period_end": values.get("cancel_at_period_end", False),
            "canceled_at": canceled,
            "cancellation_details": {
                "comment": None,
                "feedback": None,
                "reason": "cancellation_requested" if canceled else None,
            },
            "collection_method": "charge_automatically",
            "currency": values.get("currency") or "usd",
            "customer": values.get("customer") or f"cus_{opaque(1, ID_SIZE)}",
            "customer_account": None,
            "days_until_due": None,
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": values.get("description"),
            "discounts": [],
            "ended_at": canceled if values.get("status") == "canceled" else ended,
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": listed([line] if price else [], f"/v1/subscription_items?subscription={own}"),
            "latest_invoice": None,
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": values.get("start_date", made),
            "status": "canceled" if ended else values.get("status", "active"),
            "test_clock": None,
            "transfer_data": None,
            "trial_end": None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": None,
        }

    def _invoice(self, item: SimulatedObject, values: Doc) -> Doc:
        own = public_id(INVOICES, item.id)
        made = int(item.created_at.timestamp())
        total = values.get("total", 0)
        status = "void" if item.archived_at is not None else values.get("status", "draft")
        paid = status == "paid"
        subscription = values.get("subscription")
        payment = values.get("charge")
        line = {
            "id": f"il_{opaque(int(item.id), ID_SIZE)}",
            "object": "line_item",
            "amount": total,
            "currency": values.get("currency") or "usd",
            "description": values.get("description"),
            "discount_amounts": [],
            "discountable": True,
            "discounts": [],
            "invoice": own,
            "livemode": self._live,
            "metadata": {},
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": subscription
                and {
                    "invoice_item": None,
                    "proration": False,
                    "proration_details": {"credited_items": None},
                    "subscription": subscription,
                    "subscription_item": f"si_{opaque(int(own_id(SUBSCRIPTIONS, subscription)), ID_SIZE)}",
                },
                "type": "subscription_item_details" if subscription else "invoice_item_details",
            },
            "period": {"end": made, "start": made},
            "pretax_credit_amounts": [],
            "pricing": values.get("price")
            and {
                "price_details": {"price": values["price"], "product": None},
                "type": "price_details",
                "unit_amount_decimal": None,
            },
            "quantity": values.get("quantity", 1),
            "subtotal": total,
            "taxes": [],
        }
        return {
            "account_country": "DE",
            "account_name": None,
            "account_tax_ids": None,
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": total if paid else 0,
            "amount_remaining": 0 if paid else total,
            "amount_shipping": 0,
            "application": None,
            "attempt_count": 0 if status == "draft" else 1,
            "attempted": status != "draft",
            "auto_advance": values.get("auto_advance", False),
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": "subscription_cycle" if subscription else "manual",
            "collection_method": values.get("collection_method", "charge_automatically"),
            "currency": values.get("currency") or "usd",
            "custom_fields": None,
            "customer": values.get("customer") or f"cus_{opaque(1, ID_SIZE)}",
            "customer_account": None,
            "customer_address": None,
            "customer_email": values.get("customer_email"),
            "customer_name": values.get("customer_name"),
            "customer_phone": None,
            "customer_shipping": None,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": values.get("description"),
            "discounts": [],
            "due_date": None,
            "effective_at": None if status == "draft" else made,
            "ending_balance": None if status == "draft" else 0,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": None,
            "invoice_pdf": None,
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "lines": listed([line], f"/v1/invoices/{own}/lines"),
            "next_payment_attempt": None,
            "number": values.get("number"),
            "on_behalf_of": None,
            "parent": subscription
            and {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": subscription},
                "type": "subscription_details",
            },
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "payments": listed(
                [self._payment(item, own, payment, total, status)] if payment else [],
                f"/v1/invoice_payments?invoice={own}",
            ),
            "period_end": made,
            "period_start": made,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "rendering": None,
            "shipping_cost": None,
            "shipping_details": None,
            "starting_balance": 0,
            "statement_descriptor": None,
            "status": status,
            "status_transitions": {
                "finalized_at": None if status == "draft" else made,
                "marked_uncollectible_at": None,
                "paid_at": int(item.updated_at.timestamp()) if paid else None,
                "voided_at": int(item.archived_at.timestamp()) if item.archived_at else None,
            },
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "test_clock": None,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": made,
        }

    def _payment(self, item: SimulatedObject, invoice: str, charge: str, total: int, status: str) -> Doc:
        found = self._found(CHARGES, charge)
        intent = found.values.get("payment_intent") if found else None
        return {
            "id": f"inpay_{opaque(int(item.id), ID_SIZE)}",
            "object": "invoice_payment",
            "amount_paid": total if status == "paid" else None,
            "amount_requested": total,
            "created": int(item.created_at.timestamp()),
            "currency": item.values.get("currency") or "usd",
            "invoice": invoice,
            "is_default": True,
            "livemode": self._live,
            "payment": {"charge": charge, "payment_intent": intent, "type": "payment_intent"},
            "status": "paid" if status == "paid" else "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }

    def _charge(self, item: SimulatedObject, values: Doc) -> Doc:
        amount = values.get("amount", 0)
        status = values.get("status", "succeeded")
        refunded = amount if item.archived_at is not None else values.get("amount_refunded", 0)
        return {
            "amount": amount,
            "amount_captured": amount if status == "succeeded" else 0,
            "amount_refunded": refunded,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": f"txn_{opaque(int(item.id), ID_SIZE)}" if status == "succeeded" else None,
            "billing_details": {
                "address": _NO_ADDRESS,
                "email": values.get("receipt_email"),
                "name": None,
                "phone": None,
                "tax_id": None,
            },
            "calculated_statement_descriptor": "TRUNKLINE DEMO",
            "captured": status == "succeeded",
            "currency": values.get("currency") or "usd",
            "customer": values.get("customer"),
            "description": values.get("description"),
            "disputed": values.get("disputed", False),
            "failure_balance_transaction": None,
            "failure_code": values.get("failure_code"),
            "failure_message": values.get("failure_message"),
            "fraud_details": {},
            "invoice": values.get("invoice"),
            "on_behalf_of": None,
            "outcome": None,
            "paid": status == "succeeded",
            "payment_intent": values.get("payment_intent"),
            "payment_method": f"pm_{opaque(int(item.id), ID_SIZE)}",
            "payment_method_details": {
                "card": {
                    "brand": "visa",
                    "last4": values.get("last4", "4242"),
                    "exp_month": 8,
                    "exp_year": 2030,
                },
                "type": "card",
            },
            "receipt_email": values.get("receipt_email"),
            "receipt_number": None,
            "receipt_url": None,
            "refunded": bool(amount) and refunded >= amount,
            "review": None,
            "shipping": None,
            "source_transfer": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": status,
            "transfer_data": None,
            "transfer_group": None,
        }

    def _refund(self, item: SimulatedObject, values: Doc) -> Doc:
        return {
            "amount": values.get("amount", 0),
            "balance_transaction": f"txn_{opaque(int(item.id), ID_SIZE)}",
            "charge": values.get("charge"),
            "currency": values.get("currency") or "usd",
            "destination_details": None,
            "payment_intent": values.get("payment_intent"),
            "reason": values.get("reason"),
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "canceled" if item.archived_at is not None else values.get("status", "succeeded"),
            "transfer_reversal": None,
        }

    def _dispute(self, item: SimulatedObject, values: Doc) -> Doc:
        return {
            "amount": values.get("amount", 0),
            "balance_transactions": [],
            "charge": values.get("charge") or f"ch_{opaque(1, ID_SIZE)}",
            "currency": values.get("currency") or "usd",
            "enhanced_eligibility_types": [],
            "evidence": values.get("evidence") or {},
            "evidence_details": {
                "due_by": int(item.created_at.timestamp()) + 14 * 86_400,
                "enhanced_eligibility": {},
                "has_evidence": bool(values.get("evidence")),
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "payment_intent": values.get("payment_intent"),
            "reason": values.get("reason") or "general",
            "status": "lost" if item.archived_at is not None else values.get("status", "needs_response"),
        }

    def _found(self, kind: str, reference: str | None) -> SimulatedObject | None:
        try:
            return self._store.get(self._account, kind, own_id(kind, reference or ""))
        except UnknownObjectError:
            return None

    def _linked(self, kind: str, reference: str | None) -> Doc | None:
        found = self._found(kind, reference)
        return None if found is None else self.whole(kind, found, "9999")
