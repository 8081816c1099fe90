"""A Stripe on this machine. Facts and their sources: provider-facts, Stripe."""

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_hooks import Address
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.stripe.simulator_billing import Billing
from trunkline_connectors.stripe.simulator_connect import connect_routes
from trunkline_connectors.stripe.simulator_errors import error, rate_limited
from trunkline_connectors.stripe.simulator_hooks import StripeHooks, hook_routes
from trunkline_connectors.stripe.simulator_routes import billing_routes
from trunkline_connectors.stripe.simulator_schema import (
    CUSTOMERS,
    DISPUTES,
    GONE,
    INVOICES,
    KINDS,
    OBJECT_TYPES,
    PRICES,
    PRODUCTS,
    REFUNDS,
    SCOPES,
)
from trunkline_connectors.stripe.simulator_seed import BUSINESSES, Business, sample, seed_objects
from trunkline_connectors.stripe.simulator_shapes import own_id, public_id


class StripeSimulator(Simulator):
    name = "stripe"
    title = "Stripe"
    scopes = SCOPES
    object_types = OBJECT_TYPES
    keys = True
    targets: ClassVar = {"Billing data": "/v1/", "Tokens": "/oauth/"}

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        businesses: Sequence[Business] = BUSINESSES,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.businesses = {business.id: business for business in businesses}
        self.billing = Billing(self.store, self.oauth, now, businesses)
        for business in businesses:
            for kind, items in seed_objects(seed, business):
                self.store.seed(business.id, kind, items)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(business.account for business in self.businesses.values())

    def make_oauth(self) -> OAuthServer:
        # Connect's tokens do not expire (provider-facts).
        return OAuthServer(
            self.now, SCOPES, access_seconds=0, default_scopes=("read_only",), new_token=_new_token
        )

    def routes(self) -> Sequence[HTTPRouteHandler]:
        return [
            *connect_routes(self.oauth),
            *hook_routes(self.billing, self.webhooks),
            *billing_routes(self.billing),
        ]

    def teller(self, secret: str, address: Address) -> StripeHooks:
        del secret, address  # each account registers its own
        return StripeHooks(self.billing, self.webhooks)

    def error_reply(self, status: int, message: str) -> Reply:
        return error(status, message, kind="api_error" if status >= 500 else "invalid_request_error")

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return rate_limited()
        status = 200 if kind == "error_body" else 500
        return error(status, "An unknown error occurred", kind="api_error")

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        return sample(object_type, number, next(iter(self.businesses.values())))

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        if object_type == PRODUCTS:
            return {"name": f"Changed in the sandbox, no. {number}"}
        if object_type == INVOICES:
            return (
                {"status": "paid"}
                if item.values.get("status") == "open"
                else {"description": f"No. {number}"}
            )
        if object_type == PRICES:
            return {"nickname": f"Changed in the sandbox, no. {number}"}
        if object_type in {REFUNDS, DISPUTES}:
            return {"reason": "duplicate" if item.values.get("reason") != "duplicate" else "fraudulent"}
        return {"description": f"Changed in the sandbox, no. {number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        values = item.values
        if object_type == CUSTOMERS:
            return values.get("name") or values.get("email") or f"Customer {item.id}"
        amount = values.get("total", values.get("amount"))
        text = (
            values.get("name") or values.get("nickname") or values.get("number") or values.get("description")
        )
        return str(text or (f"{amount} {values.get('currency')}" if amount is not None else item.id))

    def public_id(self, object_type: str, object_id: str) -> str:
        return public_id(object_type, object_id)

    def own_id(self, object_type: str, public_id: str) -> str:
        return own_id(object_type, public_id)

    def truth(self, account: str, stream: str) -> frozenset[str] | None:
        if stream not in KINDS:
            return None
        rows = self.store.walk(account, stream, archived=False if stream in GONE else None)
        return frozenset(public_id(stream, item.id) for item in rows)

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("search_lag", "Search trails behind changes, in seconds", self.billing.search_lag),
        ]

    def change_setting(self, name: str, value: int) -> None:
        if name != "search_lag":
            super().change_setting(name, value)
        elif 0 <= value <= 600:
            self.billing.search_lag = value
        else:
            raise ValueError("search_lag must be between 0 and 600.")


def _new_token(kind: str) -> str:
    if kind == "key":
        return f"rk_live_{secrets.token_hex(24)}"
    return f"sk_live_{secrets.token_hex(24)}" if kind == "access" else f"rt_{secrets.token_hex(12)}"
