"""The billing objects of the simulated Stripe: who may, lists, searches and writes; no HTTP."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.stripe.simulator_errors import (
    bad_key,
    error,
    invalid,
    missing,
    no_access,
    no_key,
    not_permitted,
    rate_limited,
    refuse,
    unknown_parameter,
)
from trunkline_connectors.stripe.simulator_events import Events
from trunkline_connectors.stripe.simulator_forms import flag, whole
from trunkline_connectors.stripe.simulator_schema import (
    CHARGES,
    CUSTOMERS,
    GONE,
    INVOICES,
    KINDS,
    PRICES,
    PRODUCTS,
    REFUNDS,
    SUBSCRIPTIONS,
)
from trunkline_connectors.stripe.simulator_search import compiled
from trunkline_connectors.stripe.simulator_seed import Business
from trunkline_connectors.stripe.simulator_shapes import Shapes, listed, own_id
from trunkline_connectors.stripe.simulator_versions import Doc

PAGE, MAX_PAGE = 10, 100
PER_SECOND, PER_ENDPOINT, PER_SEARCH = 100, 25, 20
"""Live mode's limits in a second: the account's, each endpoint's, and search's."""
_EVERY_LIST = frozenset({"limit", "starting_after", "ending_before", "expand", "created"})


class Billing:
    """`search_lag` is how long (seconds) search trails behind a write."""

    def __init__(self, store: Store, oauth: OAuthServer, now: Now, businesses: Iterable[Business]) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.businesses = {business.id: business for business in businesses}
        self.events = Events(store, now)
        self.search_lag = 0
        self.window = RateWindow(now, PER_SECOND, 1)
        self.endpoints = RateWindow(now, PER_ENDPOINT, 1)
        self.searches = RateWindow(now, PER_SEARCH, 1)
        self._replies: dict[tuple[str, str], tuple[str, datetime, Doc]] = {}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, key: str, on_behalf_of: str) -> Grant:
        """The grant behind an account's key or token, or behind a platform's secret for the account that it
        names; raises 401 or 403.
        """
        if not key:
            no_key()
        platform = next((c for c in self.oauth.clients.values() if c.client_secret == key), None)
        if platform is not None:
            for grant in self.oauth.grants.values():
                if (grant.client_id, grant.account) == (
                    platform.client_id,
                    on_behalf_of,
                ) and not grant.revoked_at:
                    return grant
            no_access(on_behalf_of)
        try:
            grant = self.oauth.authenticate(key)
        except (TokenInvalidError, TokenExpiredError):
            bad_key(key)
        if on_behalf_of and on_behalf_of != grant.account:
            no_access(on_behalf_of)
        return grant

    @staticmethod
    def permit(grant: Grant, resource: str, *, write: bool = False) -> None:
        """Raises 403. `resource` as in a restricted key's permissions."""
        wanted = f"rak_{resource}_{'write' if write else 'read'}"
        enough = {"read_write", wanted, f"rak_{resource}_write"} | (set() if write else {"read_only"})
        if not enough & set(grant.scopes):
            not_permitted(wanted, grant.account)

    def spend(self, grant: Grant, endpoint: str, *, search: bool = False) -> None:
        """Counts a call; raises 429."""
        own = f"{grant.account}:{endpoint}"
        if search and not self.searches.admit(grant.account):
            raise RefusedError(rate_limited("endpoint-rate"))
        if not self.endpoints.admit(own):
            raise RefusedError(rate_limited("endpoint-rate"))
        if not self.window.admit(grant.account):
            raise RefusedError(rate_limited())

    def shapes(self, grant: Grant) -> Shapes:
        return Shapes(self.store, grant.account)

    # -- reading ----------------------------------------------------------------------------

    def get(self, grant: Grant, kind: str, object_id: str, version: str) -> Doc:
        return self.shapes(grant).document(kind, self._item(grant, kind, object_id), version)

    def list(self, grant: Grant, kind: str, query: Mapping[str, Any], version: str) -> Doc:
        """Newest first."""
        _only(query, {*_EVERY_LIST, *KINDS[kind].filters})
        shapes = self.shapes(grant)
        rows = list(self.store.walk(grant.account, kind, archived=None))[::-1]
        if kind in GONE:
            rows = [item for item in rows if item.archived_at is None]
        keep = _filter(kind, query)
        documents = [(int(item.id), shapes.whole(kind, item, version)) for item in rows]
        found = [(number, document) for number, document in documents if keep(document)]
        return page(found, query, f"/v1/{kind}", lambda text: int(own_id(kind, text)) or None)

    def search(self, grant: Grant, kind: str, query: Mapping[str, Any], version: str) -> Doc:
        _only(query, {"query", "limit", "page", "expand"})
        test = compiled(str(query.get("query") or ""), KINDS[kind].searched)
        size = _size(query)
        start = whole(query.get("page", "0"), "page")
        moment = self.now() - timedelta(seconds=self.search_lag)
        lagging = self.store.newer_than(moment, grant.account, kind) if self.search_lag else {}
        shapes = self.shapes(grant)
        found: list[Doc] = []
        for item in self.store.walk(grant.account, kind, archived=None):
            indexed = lagging.get(item.id, item)
            if indexed is None or (indexed.archived_at is not None and kind in GONE):
                continue
            document = shapes.whole(kind, indexed, version)
            if test(document):
                found.append(document)
        found.reverse()
        end = start + size
        more = end < len(found)
        return {
            "object": "search_result",
            "data": found[start:end],
            "has_more": more,
            "next_page": str(end) if more else None,
            "url": f"/v1/{kind}/search",
        }

    def feed(self, grant: Grant, query: Mapping[str, Any]) -> Doc:
        _only(query, {*_EVERY_LIST, "type", "types", "delivery_success"})
        version = self.businesses[grant.account].version
        names = query.get("types") or ([query["type"]] if query.get("type") else [])
        within = _within(query.get("created"))
        found = [
            (number, event)
            for number, event in self.events.newest_first(grant.account, self.shapes(grant), version)
            if within(event["created"]) and (not names or any(_named(event["type"], name) for name in names))
        ]
        return page(found, query, "/v1/events", self.events.number)

    def event(self, grant: Grant, event_id: str) -> Doc:
        version = self.businesses[grant.account].version
        events = self.events.newest_first(grant.account, self.shapes(grant), version)
        found = next((event for _, event in events if event["id"] == event_id), None)
        if found is None:
            missing("event", event_id)
        return found

    # -- writing ----------------------------------------------------------------------------

    def create(self, grant: Grant, kind: str, body: Mapping[str, Any], version: str) -> Doc:
        values = self._checked(grant, kind, body, creating=True)
        item = self.store.create(grant.account, kind, values)
        if kind == REFUNDS:
            charge = self._item(grant, CHARGES, values["charge"])
            total = charge.values.get("amount_refunded", 0) + values["amount"]
            self.store.update(grant.account, CHARGES, charge.id, {"amount_refunded": total})
        return self.shapes(grant).whole(kind, item, version)

    def update(self, grant: Grant, kind: str, object_id: str, body: Mapping[str, Any], version: str) -> Doc:
        item = self._item(grant, kind, object_id)
        if item.archived_at is not None and kind in GONE | {SUBSCRIPTIONS}:
            missing(KINDS[kind].noun, object_id)
        values = self._checked(grant, kind, body, creating=False)
        if "metadata" in values:
            # Names that are not given stay; an empty value removes one.
            merged = {**(item.values.get("metadata") or {}), **values["metadata"]}
            values["metadata"] = {name: text for name, text in merged.items() if text != ""}
        changed = self.store.update(grant.account, kind, item.id, values)
        return self.shapes(grant).whole(kind, changed, version)

    def delete(self, grant: Grant, kind: str, object_id: str, version: str) -> Doc:
        item = self._item(grant, kind, object_id)
        if item.archived_at is not None:
            missing(KINDS[kind].noun, object_id)
        if kind == INVOICES and item.values.get("status", "draft") != "draft":
            invalid("You can only delete draft invoices.", "id")
        gone = self.store.archive(grant.account, kind, item.id)
        return self.shapes(grant).document(kind, gone, version)

    def once(self, grant: Grant, key: str, asked: bytes) -> Doc | None:
        """What this idempotency key was answered in the last day; raises 400 if it was of another request."""
        kept = self._replies.get((grant.account, key))
        if kept is None or self.now() - kept[1] > timedelta(days=1):
            return None
        if kept[0] != hashlib.sha256(asked).hexdigest():
            raise RefusedError(
                error(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first "
                    f"used with. Try using a key other than '{key[:100]}' if you meant another "
                    "request.",
                    kind="idempotency_error",
                )
            )
        return kept[2]

    def remember(self, grant: Grant, key: str, asked: bytes, answer: Doc) -> None:
        self._replies[grant.account, key] = (hashlib.sha256(asked).hexdigest(), self.now(), answer)

    # -- inside -----------------------------------------------------------------------------

    def _item(self, grant: Grant, kind: str, object_id: str) -> SimulatedObject:
        try:
            return self.store.get(grant.account, kind, own_id(kind, object_id))
        except UnknownObjectError:
            missing(KINDS[kind].noun, object_id)

    def _checked(self, grant: Grant, kind: str, body: Mapping[str, Any], *, creating: bool) -> Doc:
        known = KINDS[kind].writable
        for name in body:
            if name not in known:
                unknown_parameter(name)
        values: Doc = {name: value for name, value in body.items() if name != "expand"}
        for name in ("active", "cancel_at_period_end", "auto_advance", "submit"):
            if name in values:
                values[name] = flag(values[name], name)
        for name in ("unit_amount", "amount", "days_until_due"):
            if name in values:
                values[name] = whole(values[name], name)
        if values.get("metadata") == "":
            values["metadata"] = {}
        if not isinstance(values.get("metadata", {}), dict):
            invalid("Invalid hash", "metadata")
        for name, value in values.items():
            if value == "":
                values[name] = None
        if creating:
            self._complete(grant, kind, values)
        return values

    def _complete(self, grant: Grant, kind: str, values: Doc) -> None:
        """What a new object must have; raises 400."""
        business = self.businesses[grant.account]
        needed = {
            PRODUCTS: ("name",),
            PRICES: ("currency", "product"),
            SUBSCRIPTIONS: ("customer", "items"),
            INVOICES: ("customer",),
            REFUNDS: ("charge",),
        }.get(kind, ())
        for name in needed:
            if not values.get(name):
                invalid(f"Missing required param: {name}.", name, "parameter_missing")
        for name, of in (("customer", CUSTOMERS), ("product", PRODUCTS), ("charge", CHARGES)):
            if isinstance(values.get(name), str):
                self._item(grant, of, values[name])
        if kind == CUSTOMERS:
            values.setdefault("currency", None)
        if kind in {SUBSCRIPTIONS, INVOICES}:
            values["currency"] = business.currency
        if kind == SUBSCRIPTIONS:
            first = values.pop("items")[0]
            self._item(grant, PRICES, str(first.get("price")))
            values |= {
                "price": first["price"],
                "quantity": whole(first.get("quantity", "1"), "items"),
                "status": "active",
            }
        if kind == REFUNDS:
            charge = self._item(grant, CHARGES, values["charge"]).values
            left = charge["amount"] - charge.get("amount_refunded", 0)
            amount = values.setdefault("amount", left)
            if not 0 < amount <= left:
                invalid(f"Refund amount is greater than unrefunded amount on charge ({left})", "amount")
            values |= {"currency": charge["currency"], "payment_intent": charge.get("payment_intent")}


def page(found: Sequence[tuple[int, Doc]], query: Mapping[str, Any], url: str, number_of: Any) -> Doc:
    """`found`: numbers and documents, numbers descending; the cursors are the documents' ids."""
    size = _size(query)
    after, before = query.get("starting_after"), query.get("ending_before")
    if after and before:
        invalid("You cannot parameterize both starting_after and ending_before.", "starting_after")
    rows = list(found)
    for cursor, param in ((after, "starting_after"), (before, "ending_before")):
        if not cursor:
            continue
        place = number_of(str(cursor))
        if place is None:
            refuse(400, f"No such object: '{str(cursor)[:100]}'", code="resource_missing", param=param)
        rows = [row for row in rows if (row[0] < place if param == "starting_after" else row[0] > place)]
    chosen = rows[-size:] if before else rows[:size]
    return listed([document for _, document in chosen], url, more=len(rows) > size)


def _only(query: Mapping[str, Any], known: set[str]) -> None:
    for name in query:
        if name not in known:
            unknown_parameter(name)


def _size(query: Mapping[str, Any]) -> int:
    size = whole(query.get("limit", str(PAGE)), "limit")
    if not 1 <= size <= MAX_PAGE:
        invalid(f"This value must be between 1 and {MAX_PAGE}.", "limit", "parameter_invalid_integer")
    return size


def _within(given: Any) -> Any:
    if given is None:
        return lambda _: True
    bounds = given if isinstance(given, dict) else {"gte": given, "lte": given}
    for name in bounds:
        if name not in {"gt", "gte", "lt", "lte"}:
            unknown_parameter(f"created[{name}]")
    limits = {name: whole(value, "created") for name, value in bounds.items()}
    return lambda moment: (
        moment > limits.get("gt", -1)
        and moment >= limits.get("gte", -1)
        and moment < limits.get("lt", 2**62)
        and moment <= limits.get("lte", 2**62)
    )


def _filter(kind: str, query: Mapping[str, Any]) -> Any:
    within = _within(query.get("created"))
    wanted: Doc = {name: query[name] for name in KINDS[kind].filters if name in query}
    ids = wanted.pop("ids", None)
    keys = wanted.pop("lookup_keys", None)
    price = wanted.pop("price", None)
    status = wanted.get("status")
    if kind == SUBSCRIPTIONS and status in {None, "all", "ended"}:
        wanted.pop("status", None)
    if "active" in wanted:
        wanted["active"] = flag(wanted["active"], "active")

    def keep(document: Doc) -> bool:
        if not within(document["created"]):
            return False
        if kind == SUBSCRIPTIONS:
            ended = document["status"] in {"canceled", "incomplete_expired"}
            if (status is None and ended) or (status == "ended" and not ended):
                return False
            lines = document["items"]["data"]
            if price is not None and not any(line["price"]["id"] == price for line in lines):
                return False
        if ids is not None and document["id"] not in ids:
            return False
        if keys is not None and document["lookup_key"] not in keys:
            return False
        return all(_value(document, name) == value for name, value in wanted.items())

    return keep


def _value(document: Doc, name: str) -> Any:
    if name == "subscription" and "parent" in document:
        parent = document["parent"]
        return parent and parent["subscription_details"]["subscription"]
    return document.get(name)


def _named(name: str, wanted: str) -> bool:
    return name == wanted or (wanted.endswith("*") and name.startswith(wanted[:-1]))
