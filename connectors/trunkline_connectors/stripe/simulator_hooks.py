"""Stripe's webhooks: endpoints that an account registers, and their signed events (provider-facts)."""

import hashlib
import hmac
import secrets
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import basic, bearer
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_hooks import AccountTeller, Habit, Webhook, WebhookBook
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import LedgerEntry
from trunkline_connectors.stripe.simulator_billing import Billing
from trunkline_connectors.stripe.simulator_errors import invalid, missing, refuse, unknown_parameter
from trunkline_connectors.stripe.simulator_events import SLOTS, event_of, types_of
from trunkline_connectors.stripe.simulator_forms import nested
from trunkline_connectors.stripe.simulator_schema import KINDS
from trunkline_connectors.stripe.simulator_shapes import Shapes
from trunkline_connectors.stripe.simulator_versions import Doc

MOST: Final = 16
"""Endpoints of an account in a mode."""
_TAKEN: Final = frozenset(
    {"url", "enabled_events", "description", "metadata", "api_version", "connect", "expand"}
)


class StripeHooks(AccountTeller):
    # live mode tries for three days, with growing pauses; any answer but 2xx is tried again
    habit = Habit(answer_seconds=10, tries=10)

    def __init__(self, billing: Billing, book: WebhookBook) -> None:
        super().__init__(book)
        self._billing = billing

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        if entry.object_type not in KINDS:
            return []
        version = hook.shown.get("api_version") or self._billing.businesses[entry.account].version
        shapes = Shapes(self._billing.store, entry.account)
        return [
            event_of(entry.sequence * SLOTS + slot, name, entry, shapes, version) | {"pending_webhooks": 1}
            for slot, name in enumerate(types_of(entry))
            if "*" in hook.events or name in hook.events
        ]

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        """Written from the vendor's description, not by our own templates: each is judged by the other."""
        stamp = str(int(at))
        digest = hmac.new(hook.secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={stamp},v1={digest}"}


def hook_routes(billing: Billing, book: WebhookBook) -> list[HTTPRouteHandler]:
    def admitted(request: AnyRequest, *, write: bool = False) -> Grant:
        key = bearer(request) or basic(request)[0]
        grant = billing.admit(key, request.headers.get("stripe-account", ""))
        billing.permit(grant, "webhook", write=write)
        billing.spend(grant, f"{request.method} webhook_endpoints")
        return grant

    @post("/v1/webhook_endpoints", status_code=200)
    async def create(request: AnyRequest) -> Doc:
        grant = admitted(request, write=True)
        raw = (await request.body()).decode(errors="replace")
        given = nested(parse_qsl(raw, keep_blank_values=True))
        for name in given:
            if name not in _TAKEN:
                unknown_parameter(name)
        url, names = str(given.get("url") or ""), given.get("enabled_events")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid")
        if not isinstance(names, list) or not names:
            invalid("Missing required param: enabled_events.", "enabled_events", "parameter_missing")
        if len(book.of(grant.account)) >= MOST:
            refuse(400, f"You have reached the maximum of {MOST} webhook endpoints.")
        made = Webhook(
            id=f"we_{secrets.token_hex(12)}",
            account=grant.account,
            url=url,
            secret=f"whsec_{secrets.token_urlsafe(24)}",
            events=[str(name) for name in names],
            shown={
                "api_version": given.get("api_version"),
                "created": int(billing.now().timestamp()),
                "description": given.get("description") or None,
                "metadata": given.get("metadata") or {},
            },
        )
        return _shown(book.add(made)) | {"secret": made.secret}

    @get("/v1/webhook_endpoints")
    async def list_endpoints(request: AnyRequest) -> Doc:
        grant = admitted(request)
        limit, after = request.query_params.get("limit") or "10", request.query_params.get("starting_after")
        held = book.of(grant.account)[::-1]
        if after:
            place = next((at for at, hook in enumerate(held) if hook.id == after), None)
            if place is None:
                missing("webhook_endpoint", str(after))
            held = held[place + 1 :]
        size = int(limit) if str(limit).isdecimal() else 0
        if not 1 <= size <= 100:
            invalid("This value must be between 1 and 100.", "limit", "parameter_invalid_integer")
        data = [_shown(hook) for hook in held[:size]]
        return {"object": "list", "url": "/v1/webhook_endpoints", "has_more": len(held) > size, "data": data}

    @get("/v1/webhook_endpoints/{endpoint_id:str}")
    async def retrieve(request: AnyRequest, endpoint_id: FromPath[str]) -> Doc:
        return _shown(_one(admitted(request), endpoint_id))

    @delete("/v1/webhook_endpoints/{endpoint_id:str}", status_code=200)
    async def remove(request: AnyRequest, endpoint_id: FromPath[str]) -> Response[Doc]:
        found = _one(admitted(request, write=True), endpoint_id)
        book.remove(found.id)
        return Response({"id": found.id, "object": "webhook_endpoint", "deleted": True})

    def _one(grant: Grant, identity: str) -> Webhook:
        found = book.get(grant.account, identity)
        if found is None:
            missing("webhook_endpoint", identity)
        return found

    return [create, list_endpoints, retrieve, remove]


def _shown(hook: Webhook) -> Doc:
    """Without its secret, which only the answer to its making has."""
    return {
        "id": hook.id,
        "object": "webhook_endpoint",
        "application": None,
        "livemode": True,
        "enabled_events": hook.events,
        "status": "enabled" if hook.active else "disabled",
        "url": hook.url,
        **hook.shown,
    }
