"""HTTP of the simulated Stripe: billing objects, search, events and the account."""

import re
import secrets
from collections.abc import Callable
from urllib.parse import parse_qsl

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import basic, bearer
from trunkline.sdk.simulator_gate import PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline_connectors.stripe.simulator_billing import Billing
from trunkline_connectors.stripe.simulator_errors import missing, refuse
from trunkline_connectors.stripe.simulator_forms import nested
from trunkline_connectors.stripe.simulator_pages import played
from trunkline_connectors.stripe.simulator_schema import CUSTOMERS, INVOICES, KINDS, PRODUCTS, SUBSCRIPTIONS
from trunkline_connectors.stripe.simulator_versions import Doc

Name = FromPath[str]
_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z]{1,20})?")
_DELETABLE = {CUSTOMERS, PRODUCTS, SUBSCRIPTIONS, INVOICES}
_CREATABLE = {"customers", "products", "prices", "subscriptions", "invoices", "refunds"}


def billing_routes(billing: Billing) -> list[HTTPRouteHandler]:
    def admitted(request: AnyRequest, resource: str, *, write: bool = False, search: bool = False) -> Grant:
        key = bearer(request) or basic(request)[0]
        grant = billing.admit(key, request.headers.get("stripe-account", ""))
        billing.permit(grant, resource, write=write)
        billing.spend(grant, f"{request.method} {resource}", search=search)
        return grant

    def version_of(request: AnyRequest, grant: Grant) -> str:
        given = request.headers.get("stripe-version") or billing.businesses[grant.account].version
        if not _VERSION.fullmatch(given):
            refuse(400, f"Invalid Stripe API version: {given[:50]}")
        return given

    def kind_of(request: AnyRequest, name: str) -> str:
        if name not in KINDS:
            refuse(404, f"Unrecognized request URL ({request.method}: /v1/{name[:50]}).")
        return name

    def answer(request: AnyRequest, version: str, body: Doc) -> Response[Doc]:
        headers = {"Request-Id": f"req_{secrets.token_hex(7)}", "Stripe-Version": version}
        for name in ("Stripe-Account", "Idempotency-Key"):
            if request.headers.get(name):
                headers[name] = request.headers[name]
        return Response(body, status_code=200, headers=headers)

    def listing(request: AnyRequest, version: str, read: Callable[[Doc], Doc]) -> Response[Doc]:
        query = _query(request)
        fault = request.scope.get(PAGE_FAULT)
        body = read(query)
        return answer(request, version, played(str(fault), body, query, read) if fault else body)

    async def written(
        request: AnyRequest, permission: str, write: Callable[[Grant, Doc, str], Doc]
    ) -> Response[Doc]:
        """A POST; under an idempotency key it happens once."""
        grant = admitted(request, permission, write=True)
        version = version_of(request, grant)
        raw = (await request.body()).strip()
        key = request.headers.get("idempotency-key", "")[:255]
        asked = f"{request.scope['path']}\n".encode() + raw
        if key and (kept := billing.once(grant, key, asked)) is not None:
            response = answer(request, version, kept)
            response.headers["Idempotent-Replayed"] = "true"
            return response
        body = write(grant, nested(parse_qsl(raw.decode(errors="replace"), keep_blank_values=True)), version)
        if key:
            billing.remember(grant, key, asked, body)
        return answer(request, version, body)

    @get("/v1/account")
    async def own_account(request: AnyRequest) -> Response[Doc]:
        grant = _any(billing, request)
        return answer(request, version_of(request, grant), account(billing, grant))

    @get("/v1/accounts/{account_id:str}")
    async def one_account(request: AnyRequest, account_id: Name) -> Response[Doc]:
        grant = _any(billing, request)
        if account_id != grant.account:
            missing("account", account_id)
        return answer(request, version_of(request, grant), account(billing, grant))

    @get("/v1/events")
    async def events(request: AnyRequest) -> Response[Doc]:
        grant = admitted(request, "event")
        version = version_of(request, grant)
        return listing(request, version, lambda query: billing.feed(grant, query))

    @get("/v1/events/{event_id:str}")
    async def event(request: AnyRequest, event_id: Name) -> Response[Doc]:
        grant = admitted(request, "event")
        return answer(request, version_of(request, grant), billing.event(grant, event_id))

    @get("/v1/{name:str}")
    async def list_objects(request: AnyRequest, name: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        grant = admitted(request, KINDS[kind].permission)
        version = version_of(request, grant)
        return listing(request, version, lambda query: billing.list(grant, kind, query, version))

    @get("/v1/{name:str}/search")
    async def search_objects(request: AnyRequest, name: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        if not KINDS[kind].searched:
            refuse(404, f"Unrecognized request URL (GET: /v1/{name}/search).")
        grant = admitted(request, KINDS[kind].permission, search=True)
        version = version_of(request, grant)
        return answer(request, version, billing.search(grant, kind, _query(request), version))

    @get("/v1/{name:str}/{object_id:str}")
    async def get_object(request: AnyRequest, name: Name, object_id: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        grant = admitted(request, KINDS[kind].permission)
        version = version_of(request, grant)
        return answer(request, version, billing.get(grant, kind, object_id, version))

    @post("/v1/{name:str}", status_code=200)
    async def create_object(request: AnyRequest, name: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        if kind not in _CREATABLE:
            refuse(404, f"Unrecognized request URL (POST: /v1/{name}).")
        return await written(
            request, KINDS[kind].permission, lambda grant, body, v: billing.create(grant, kind, body, v)
        )

    @post("/v1/{name:str}/{object_id:str}", status_code=200)
    async def update_object(request: AnyRequest, name: Name, object_id: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        return await written(
            request,
            KINDS[kind].permission,
            lambda grant, body, v: billing.update(grant, kind, object_id, body, v),
        )

    @delete("/v1/{name:str}/{object_id:str}", status_code=200)
    async def delete_object(request: AnyRequest, name: Name, object_id: Name) -> Response[Doc]:
        kind = kind_of(request, name)
        if kind not in _DELETABLE:
            refuse(404, f"Unrecognized request URL (DELETE: /v1/{name}/{object_id[:50]}).")
        grant = admitted(request, KINDS[kind].permission, write=True)
        version = version_of(request, grant)
        return answer(request, version, billing.delete(grant, kind, object_id, version))

    return [
        own_account, one_account, events, event, list_objects, search_objects, get_object, create_object,
        update_object, delete_object,
    ]  # fmt: skip


def _any(billing: Billing, request: AnyRequest) -> Grant:
    """Whoever has a key may know whose it is."""
    grant = billing.admit(bearer(request) or basic(request)[0], request.headers.get("stripe-account", ""))
    billing.spend(grant, "GET account")
    return grant


def _query(request: AnyRequest) -> Doc:
    return nested((name, str(value)) for name, value in request.query_params.multi_items())


def account(billing: Billing, grant: Grant) -> Doc:
    business = billing.businesses[grant.account]
    return {
        "id": business.id,
        "object": "account",
        "business_profile": {"mcc": None, "name": business.name, "url": None},
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": business.country,
        "created": 1_600_000_000,
        "default_currency": business.currency,
        "details_submitted": True,
        "email": f"owner@{business.name.split()[0].lower()}.example",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "dashboard": {"display_name": business.name, "timezone": "Etc/UTC"},
        },
        "type": "standard",
    }
