"""Object types, permissions, API versions and feed events of the simulated Stripe accounts."""

from typing import Final

import msgspec

from trunkline.sdk.simulator import ObjectType

CUSTOMERS, PRODUCTS, PRICES, SUBSCRIPTIONS = "customers", "products", "prices", "subscriptions"
INVOICES, CHARGES, REFUNDS, DISPUTES = "invoices", "charges", "refunds", "disputes"

OBJECT_TYPES = (
    ObjectType(CUSTOMERS, "Customer", "Customers"),
    ObjectType(PRODUCTS, "Product", "Products"),
    ObjectType(PRICES, "Price", "Prices"),
    ObjectType(SUBSCRIPTIONS, "Subscription", "Subscriptions"),
    ObjectType(INVOICES, "Invoice", "Invoices"),
    ObjectType(CHARGES, "Charge", "Charges"),
    ObjectType(REFUNDS, "Refund", "Refunds"),
    ObjectType(DISPUTES, "Dispute", "Disputes"),
)


class Kind(msgspec.Struct, frozen=True):
    noun: str
    """`object` in the documents."""
    prefix: str
    permission: str
    """Middle of a restricted key's permission: rak_{permission}_read."""
    events: str
    """Prefix of the feed's event types."""
    filters: tuple[str, ...] = ()
    """Query parameters of the list, besides those of every list."""
    searched: tuple[str, ...] = ()
    """Fields of its search; empty: it has none."""
    writable: tuple[str, ...] = ()
    """Body parameters of create and update that the simulator knows."""


_META = ("metadata", "expand")
KINDS: Final = {
    CUSTOMERS: Kind(
        "customer", "cus_", "customer", "customer", ("email",),
        ("created", "email", "metadata", "name", "phone"),
        ("address", "description", "email", "name", "phone", "preferred_locales", "tax_exempt", *_META),
    ),
    PRODUCTS: Kind(
        "product", "prod_", "product", "product", ("active", "ids"),
        ("active", "description", "metadata", "name"),
        ("active", "description", "name", "url", "unit_label", "statement_descriptor", *_META),
    ),
    PRICES: Kind(
        "price", "price_", "plan", "price", ("active", "currency", "product", "type", "lookup_keys"),
        ("active", "currency", "lookup_key", "metadata", "product", "type"),
        ("active", "currency", "nickname", "product", "recurring", "unit_amount", "lookup_key", *_META),
    ),
    SUBSCRIPTIONS: Kind(
        "subscription", "sub_", "subscription", "customer.subscription", ("customer", "price", "status"),
        ("created", "metadata", "status"),
        ("cancel_at_period_end", "customer", "description", "items", *_META),
    ),
    INVOICES: Kind(
        "invoice", "in_", "invoice", "invoice", ("customer", "status", "subscription", "due_date"),
        ("created", "currency", "customer", "metadata", "number", "status", "subscription", "total"),
        ("auto_advance", "collection_method", "customer", "days_until_due", "description", *_META),
    ),
    CHARGES: Kind(
        "charge", "ch_", "charge", "charge", ("customer", "payment_intent"),
        ("amount", "created", "currency", "customer", "disputed", "metadata", "refunded", "status"),
        ("description", "receipt_email", *_META),
    ),
    REFUNDS: Kind(
        "refund", "re_", "charge", "refund", ("charge", "payment_intent"), (),
        ("amount", "charge", "reason", *_META),
    ),
    DISPUTES: Kind(
        "dispute", "dp_", "dispute", "charge.dispute", ("charge", "payment_intent"), (),
        ("evidence", "submit", *_META),
    ),
}  # fmt: skip

_WORDS = {
    "customer": "customers",
    "product": "products",
    "plan": "prices",
    "subscription": "subscriptions",
    "invoice": "invoices",
    "charge": "charges and refunds",
    "dispute": "disputes",
}
SCOPES = {
    "read_only": "See everything in the account",
    "read_write": "See and change everything in the account",
    "rak_accounts_read": "See which account this is",
    "rak_event_read": "See what changed in the account",
    "rak_webhook_read": "See webhook endpoints",
    "rak_webhook_write": "See, make and remove webhook endpoints",
    **{f"rak_{name}_read": f"See {words}" for name, words in _WORDS.items()},
    **{f"rak_{name}_write": f"See and change {words}" for name, words in _WORDS.items()},
}
"""Connect's two scopes, and a restricted key's permissions; their exact names are background knowledge."""

GONE: Final = frozenset({CUSTOMERS, PRODUCTS, PRICES, INVOICES})
"""Kinds that can be deleted: then in no list, and by id only the fact. Of the others an end is a state."""

CURRENT = "2026-10-28.endive"
BASIL = "2025-03-31"
"""From here on a subscription's period is its items', and an invoice speaks of `parent` and `payments`."""
