"""The CRM objects of the simulated HubSpot: rules and bodies, no HTTP."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now, iso
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.hubspot.simulator_errors import (
    expired_token,
    invalid,
    invalid_token,
    missing_scopes,
    not_found,
    rate_limited,
    refuse,
)
from trunkline_connectors.hubspot.simulator_schema import (
    ALIASES,
    CONTACTS,
    DEFAULTS,
    PROPERTIES,
    always,
)
from trunkline_connectors.hubspot.simulator_search import (
    SearchBody,
    comparable,
    matcher,
    order,
    start_of,
    value_of,
)

LIST_LIMIT = 100
BATCH_LIMIT = 100
BURST_LIMIT, BURST_SECONDS = 110, 10
"""Public OAuth apps, per account and app (recorded headers)."""
SECONDLY = 11
SEARCH_LIMIT_PER_SECOND = 5
"""Per account, whatever the app (third party, see provider-facts)."""

Body = dict[str, Any]


def kind_of(name: str) -> str:
    """The object type behind a path's name or type id; raises 400."""
    kind = ALIASES.get(name.lower())
    if kind is None:
        invalid(f"Unable to infer object type from: {name[:100]}")
    return kind


class Crm:
    """One simulated HubSpot's CRM. `index_lag` is how long (seconds) search trails behind a write."""

    def __init__(self, store: Store, oauth: OAuthServer, now: Now) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.index_lag = 0
        self.properties = {kind: dict(definitions) for kind, definitions in PROPERTIES.items()}
        """As the accounts have them now: their administrators remove and change them."""
        self.burst = RateWindow(now, BURST_LIMIT, BURST_SECONDS)
        self.search_window = RateWindow(now, SEARCH_LIMIT_PER_SECOND, 1)

    # -- who may ----------------------------------------------------------------------------

    def admit(self, token: str, any_of: Sequence[str]) -> Grant:
        """The grant behind a token that has one of the scopes; raises 401 or 403."""
        try:
            grant = self.oauth.authenticate(token)
        except TokenInvalidError:
            invalid_token()
        except TokenExpiredError as error:
            expired_token(error.at, self.now())
        if any_of and not set(any_of) & set(grant.scopes):
            missing_scopes(any_of)
        return grant

    def spend(self, grant: Grant) -> dict[str, str]:
        """Counts a call in the burst window; HubSpot's headers for the reply, or raises 429."""
        key = f"{grant.client_id}:{grant.account}"
        admitted = self.burst.admit(key)
        headers = {
            "X-HubSpot-RateLimit-Max": str(self.burst.limit),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(self.burst.seconds * 1000)),
            "X-HubSpot-RateLimit-Remaining": str(self.burst.remaining(key)),
            "X-HubSpot-RateLimit-Secondly": str(SECONDLY),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(max(0, SECONDLY - self.burst.recent(key, 1))),
        }
        if not admitted:
            raise RefusedError(rate_limited("TEN_SECONDLY_ROLLING", headers))
        return headers

    def spend_search(self, grant: Grant) -> None:
        """Search has its own window and no headers; raises 429."""
        if not self.search_window.admit(grant.account):
            raise RefusedError(rate_limited("SECONDLY"))

    # -- reading ----------------------------------------------------------------------------

    def page(
        self,
        account: str,
        kind: str,
        *,
        limit: str,
        after: str,
        names: Sequence[str],
        archived: bool,
        link: str,
    ) -> Body:
        """A list page; `paging` is absent on the last one."""
        size = _number(limit or "10", "limit")
        if not 1 <= size <= LIST_LIMIT:
            invalid(f"limit must be between 1 and {LIST_LIMIT}", "INVALID_LIMIT", "limit")
        start = _number(after or "0", "after")
        found: list[SimulatedObject] = []
        for item in self.store.walk(account, kind, after=start, archived=archived):
            found.append(item)
            if len(found) > size:
                break
        body: Body = {"results": [self.render(kind, item, names) for item in found[:size]]}
        if len(found) > size:
            last = found[size - 1].id
            body["paging"] = {"next": {"after": last, "link": link.replace("{after}", last)}}
        return body

    def find(
        self, account: str, kind: str, object_id: str, id_property: str, *, archived: bool
    ) -> SimulatedObject:
        """By id or by a property's value; raises 404. Archived and live ones do not see each other."""
        if id_property:
            if id_property not in self.properties[kind]:
                invalid(f"There is no property {id_property[:100]!r} on this object type", field="idProperty")
            item = next(
                (
                    item
                    for item in self.store.walk(account, kind, archived=archived)
                    if (value_of(kind, item, id_property) or "").casefold() == object_id.casefold()
                ),
                None,
            )
            if item is None:
                not_found()
            return item
        try:
            item = self.store.get(account, kind, object_id)
        except UnknownObjectError:
            not_found()
        if (item.archived_at is not None) != archived:
            not_found()
        return item

    def search(self, account: str, kind: str, body: SearchBody) -> Body:
        """Live objects only, as they were `index_lag` seconds ago."""
        start = start_of(body)
        match = matcher(kind, body)
        key, descending = order(kind, body.sorts)
        lagging: Mapping[str, SimulatedObject | None] = {}
        if self.index_lag:
            lagging = self.store.newer_than(self.now() - timedelta(seconds=self.index_lag), account, kind)
        found: list[SimulatedObject] = []
        for item in self.store.walk(account, kind, archived=None):
            indexed = lagging.get(item.id, item)
            if indexed is not None and indexed.archived_at is None and match(indexed):
                found.append(indexed)
        found.sort(key=key, reverse=descending)  # type: ignore[arg-type]
        end = start + body.limit
        answer: Body = {
            "total": len(found),
            "results": [self.render(kind, item, body.properties or ()) for item in found[start:end]],
        }
        if end < len(found):
            answer["paging"] = {"next": {"after": str(end)}}
        return answer

    def batch_read(
        self, account: str, kind: str, body: Mapping[str, Any], *, archived: bool
    ) -> tuple[int, Body]:
        """(200 or 207, body): missing ids come as one error beside the results."""
        ids = _batch_ids(body)
        started = self.now()
        results, missing = [], []
        for object_id in dict.fromkeys(ids):
            try:
                item = self.find(
                    account, kind, object_id, str(body.get("idProperty") or ""), archived=archived
                )
            except RefusedError as error:
                if error.reply.status != 404:
                    raise
                missing.append(object_id)
            else:
                results.append(self.render(kind, item, _names(body.get("properties"))))
        answer: Body = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": iso(started),
            "completedAt": iso(self.now()),
        }
        if not missing:
            return 200, answer
        answer["numErrors"] = 1
        answer["errors"] = [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": f"Could not get some {kind.upper()}, they may be deleted or not exist.",
                "context": {"ids": missing},
                "errors": [],
                "links": {},
            }
        ]
        return 207, answer

    def render(self, kind: str, item: SimulatedObject, names: Sequence[str]) -> Body:
        """Asked-for properties that exist, and the ones that always come; each a string or null."""
        wanted = [name for name in (names or DEFAULTS[kind]) if name in self.properties[kind]]
        chosen = sorted({*wanted, *always(kind)})
        body: Body = {
            "id": item.id,
            "properties": {name: value_of(kind, item, name) for name in chosen},
            "createdAt": iso(item.created_at),
            "updatedAt": iso(item.updated_at),
            "archived": item.archived_at is not None,
        }
        if item.archived_at is not None:
            body["archivedAt"] = iso(item.archived_at)
        return body

    # -- writing ----------------------------------------------------------------------------

    def create(self, account: str, kind: str, body: Mapping[str, Any]) -> Body:
        values = self._checked(kind, body)
        if kind == CONTACTS and values.get("email"):
            self._refuse_taken(account, str(values["email"]), None)
        item = self.store.create(account, kind, values)
        return self.render(kind, item, (*DEFAULTS[kind], *values))

    def update(self, account: str, kind: str, item: SimulatedObject, body: Mapping[str, Any]) -> Body:
        values = self._checked(kind, body)
        if kind == CONTACTS and values.get("email"):
            self._refuse_taken(account, str(values["email"]), item.id)
        changed = self.store.update(account, kind, item.id, values)
        return self.render(kind, changed, (*DEFAULTS[kind], *values))

    def archive(self, account: str, kind: str, object_id: str) -> None:
        """Archiving twice, or an unknown id, is no error."""
        try:
            self.store.archive(account, kind, object_id)
        except UnknownObjectError:
            return

    def _refuse_taken(self, account: str, email: str, own_id: str | None) -> None:
        for item in self.store.walk(account, CONTACTS):
            if item.id != own_id and (item.values.get("email") or "").casefold() == email.casefold():
                refuse(409, "CONFLICT", f"Contact already exists. Existing ID: {item.id}")

    def _checked(self, kind: str, body: Mapping[str, Any]) -> dict[str, str | None]:
        """Values as text; empty text clears. Raises 400 naming every bad property."""
        given = body.get("properties")
        if not isinstance(given, dict):
            invalid("properties is required and must be an object", "REQUIRED_FIELD", "properties")
        values: dict[str, str | None] = {}
        problems = []
        for name, raw in given.items():
            definition = self.properties[kind].get(name)
            text = str(raw).lower() if isinstance(raw, bool) else None if raw in {None, ""} else str(raw)
            code = ""
            if definition is None:
                code, why = "PROPERTY_DOESNT_EXIST", f'Property "{name[:100]}" does not exist'
            elif definition.read_only:
                code, why = "READ_ONLY_VALUE", f'"{name}" is a read only property'
            elif text is not None and definition.options and text not in dict(definition.options):
                code, why = "INVALID_OPTION", f"{text[:100]} was not one of the allowed options"
            elif (
                text is not None
                and definition.type in {"number", "date", "datetime"}
                and isinstance(comparable(definition, text), str)
            ):
                code, why = "INVALID_VALUE", f"{text[:100]} is not a valid {definition.type}"
            if code:
                problems.append({"name": name[:100], "error": code, "message": why, "isValid": False})
            values[name] = text
        if problems:
            listed = msgspec.json.encode(problems).decode()
            refuse(
                400,
                "VALIDATION_ERROR",
                f"Property values were not valid: {listed}",
                errors=[{"message": p["message"], "code": p["error"], "in": p["name"]} for p in problems],
            )
        return values


def _number(text: str, field: str) -> int:
    # isdigit() would also take other scripts' digits.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        invalid(f"{field} must be a number", "INVALID_NUMBER", field)
    return int(text)


def _names(given: object) -> list[str]:
    return [str(name) for name in given] if isinstance(given, list) else []


def _batch_ids(body: Mapping[str, Any]) -> list[str]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(item, dict) and "id" in item for item in inputs):
        invalid('inputs is required and must be a list of {"id": ...}', "REQUIRED_FIELD", "inputs")
    if len(inputs) > BATCH_LIMIT:
        invalid(f"inputs may have at most {BATCH_LIMIT} entries", "TOO_MANY_INPUTS", "inputs")
    return [str(item["id"]) for item in inputs]
