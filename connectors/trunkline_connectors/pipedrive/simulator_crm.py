"""The objects of the simulated Pipedrive: rules and v2's bodies, no HTTP."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline.sdk.simulator_trouble import Page
from trunkline_connectors.pipedrive.simulator_errors import (
    invalid,
    missing_scope,
    not_found,
    rate_limited,
    unauthorized,
)
from trunkline_connectors.pipedrive.simulator_schema import (
    CUSTOM,
    DEALS,
    ORGANIZATIONS,
    PERSONS,
    REQUIRED,
    STAGES,
    USERS,
    WRITABLE,
)

Body = dict[str, Any]
BURST_LIMIT, BURST_SECONDS = 80, 2
"""Per token (recorded headers)."""
DAILY_TOKENS = 150_000
"""Per account (recorded headers); starts anew at midnight UTC."""
COSTS = {"list": 10, "get": 1, "search": 20, "write": 5, "delete": 3}
"""Of v2 in tokens; v1 costs twice that. Only the ratio is documented (provider-facts)."""
MAX_LIMIT = 500
KEPT_DAYS = 30
"""For as long a deleted object can still be listed or read."""
_NOUNS = {PERSONS: "Person", ORGANIZATIONS: "Organization", DEALS: "Deal", USERS: "User"}
_SORTS = ("id", "add_time", "update_time")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A list as a request wants it."""

    limit: str = ""
    cursor: str = ""
    sort_by: str = "id"
    direction: str = "asc"
    since: str = ""
    until: str = ""
    status: str = ""
    archived: bool = False
    ids: str = ""
    links: tuple[tuple[str, str], ...] = ()
    """Members that must hold these numbers."""


def stamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as v2 writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Crm:
    def __init__(self, store: Store, oauth: OAuthServer, now: Now) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.burst = RateWindow(now, BURST_LIMIT, BURST_SECONDS)
        self.daily_tokens = DAILY_TOKENS
        self._spent: dict[tuple[str, str], int] = {}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, token: str, any_of: Sequence[str]) -> Grant:
        """The grant of a token that has one of the scopes; raises 401 or 403."""
        try:
            grant = self.oauth.authenticate(token)
        except (TokenInvalidError, TokenExpiredError):
            unauthorized()
        if any_of and not set(any_of) & set(grant.scopes):
            missing_scope()
        return grant

    def spend(self, grant: Grant, what: str, factor: int = 1) -> dict[str, str]:
        """Takes from both budgets; the headers, or raises 429."""
        cost = COSTS[what] * factor
        day = (grant.account, self.now().strftime("%Y-%m-%d"))
        spent = self._spent.get(day, 0)
        admitted = spent + cost <= self.daily_tokens and self.burst.admit(grant.id)
        if admitted:
            spent += cost
            self._spent = {day: spent, **{k: v for k, v in self._spent.items() if k != day}}
        headers = {
            "x-ratelimit-limit": str(self.burst.limit),
            "x-ratelimit-remaining": str(self.burst.remaining(grant.id)),
            "x-ratelimit-reset": str(BURST_SECONDS),
            "x-daily-ratelimit-token-limit": str(self.daily_tokens),
            "x-daily-ratelimit-token-remaining": str(self.daily_tokens - spent),
        }
        if not admitted:
            raise RefusedError(rate_limited(headers))
        return headers

    # -- reading ----------------------------------------------------------------------------

    def page(self, account: str, kind: str, asked: Asked) -> Page:
        """A page by keyset: a cursor names the first item of the next page, and stays good."""
        size = _whole(asked.limit or "100", "limit")
        if not 1 <= size <= MAX_LIMIT:
            invalid(f"limit must be between 1 and {MAX_LIMIT}")
        if asked.sort_by not in _SORTS:
            invalid(f"sort_by must be one of {', '.join(_SORTS)}")
        if asked.direction not in {"asc", "desc"}:
            invalid("sort_direction must be asc or desc")
        found = [(_key(item, asked.sort_by), item) for item in self._matching(account, kind, asked)]
        found.sort(key=lambda pair: pair[0], reverse=asked.direction == "desc")
        if asked.cursor:
            start = _start(asked)
            if asked.direction == "desc":
                found = [pair for pair in found if pair[0] <= start]
            else:
                found = [pair for pair in found if pair[0] >= start]
        following = found[size][0] if len(found) > size else None
        items = [self.render(kind, item) for _, item in found[:size]]
        return Page(items, None if following is None else _cursor(asked, following))

    def find(self, account: str, kind: str, object_id: str) -> SimulatedObject:
        """A deleted one too, for 30 days; raises 404."""
        try:
            item = self.store.get(account, kind, object_id)
        except UnknownObjectError:
            not_found(_NOUNS.get(kind, "Entity"))
        if not self._kept(item):
            not_found(_NOUNS.get(kind, "Entity"))
        return item

    def search(self, account: str, kind: str, term: str, fields: Sequence[str], *, exact: bool) -> list[Body]:
        """Items that hold the term in one of the fields, best first."""
        if len(term) < (1 if exact else 2):
            invalid("term must have at least 2 characters")
        needle = term.casefold()
        found = []
        for item in self.store.walk(account, kind):
            texts = [text.casefold() for text in _texts(item, fields)]
            if any(text == needle if exact else needle in text for text in texts):
                found.append(
                    {"result_score": 1.0 if exact else 0.5, "item": self._found(account, kind, item)}
                )
        return found

    def render(self, kind: str, item: SimulatedObject) -> Body:
        """v2's body: related objects by id, own fields together, times in RFC 3339."""
        body: Body = {
            "id": int(item.id),
            **item.values,
            "add_time": stamp(item.created_at),
            "update_time": stamp(item.updated_at),
            "is_deleted": item.archived_at is not None,
        }
        if kind == DEALS:
            body.setdefault("stage_change_time", stamp(item.created_at))
            if item.archived_at is not None:
                body["status"] = "deleted"
        return body

    # -- writing ----------------------------------------------------------------------------

    def create(self, account: str, kind: str, given: Mapping[str, Any]) -> SimulatedObject:
        values = self.checked(account, kind, given)
        if not values.get(REQUIRED[kind]):
            invalid(f"{REQUIRED[kind]} is required")
        return self.store.create(account, kind, {**self._defaults(account, kind), **values})

    def update(self, account: str, kind: str, object_id: str, given: Mapping[str, Any]) -> SimulatedObject:
        item = self.find(account, kind, object_id)
        if item.archived_at is not None:
            not_found(_NOUNS.get(kind, "Entity"))
        values = self.checked(account, kind, given)
        if "custom_fields" in values:
            values["custom_fields"] = {**item.values.get("custom_fields", {}), **values["custom_fields"]}
        if kind == DEALS:
            values |= self._moved(item, values)
        return self.store.update(account, kind, object_id, values)

    def delete(self, account: str, kind: str, object_id: str) -> None:
        """Marks as deleted; raises 404 where there is none any more."""
        if self.find(account, kind, object_id).archived_at is not None:
            not_found(_NOUNS.get(kind, "Entity"))
        self.store.archive(account, kind, object_id)

    def checked(self, account: str, kind: str, given: Mapping[str, Any]) -> Body:
        """The given values if the object can hold them; raises 400 naming the first that it cannot."""
        values: Body = {}
        for name, value in given.items():
            expected = WRITABLE[kind].get(name)
            if expected is None:
                invalid(f"Parameter '{name[:50]}' is not allowed")
            if value is not None and (
                not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
            ):
                invalid(f"Parameter '{name}' is of the wrong type")
            values[name] = value
        for name, related in (("owner_id", USERS), ("person_id", PERSONS), ("org_id", ORGANIZATIONS)):
            if values.get(name) is not None:
                self._must_exist(account, related, name, values[name])
        unknown = [key for key in values.get("custom_fields") or {} if key not in CUSTOM.get(kind, {})]
        if unknown:
            invalid(f"custom_fields has no field '{unknown[0][:50]}'")
        if values.get("stage_id") is not None and values["stage_id"] not in STAGES:
            invalid("stage_id does not exist")
        if "status" in values and values["status"] not in {"open", "won", "lost"}:
            invalid("status must be one of open, won, lost")
        return values

    # -- inside -----------------------------------------------------------------------------

    def _must_exist(self, account: str, kind: str, name: str, number: int) -> None:
        try:
            item = self.store.get(account, kind, str(number))
        except UnknownObjectError:
            invalid(f"{name} does not exist")
        if item.archived_at is not None:
            invalid(f"{name} is deleted")

    def _defaults(self, account: str, kind: str) -> Body:
        owner = int(next(self.store.walk(account, USERS)).id)
        if kind == PERSONS:
            return {"owner_id": owner, "org_id": None, "emails": [], "phones": [], "visible_to": 3,
                    "label_ids": [], "custom_fields": dict.fromkeys(CUSTOM[kind])}  # fmt: skip
        if kind == ORGANIZATIONS:
            return {"owner_id": owner, "visible_to": 3, "label_ids": [], "address": {"value": None},
                    "custom_fields": dict.fromkeys(CUSTOM[kind])}  # fmt: skip
        if kind == DEALS:
            return {"creator_user_id": owner, "owner_id": owner, "person_id": None, "org_id": None,
                    "pipeline_id": 1, "stage_id": 1, "value": 0, "currency": "EUR", "status": "open",
                    "is_archived": False, "archive_time": None, "visible_to": 3, "label_ids": [],
                    "won_time": None, "lost_time": None, "close_time": None, "expected_close_date": None,
                    "origin": "API", "custom_fields": dict.fromkeys(CUSTOM[kind])}  # fmt: skip
        return {}

    def _moved(self, item: SimulatedObject, values: Body) -> Body:
        """What follows from another stage, another status, or going to the archive."""
        moment = stamp(self.now())
        more: Body = {}
        if values.get("stage_id", item.values["stage_id"]) != item.values["stage_id"]:
            more |= {"stage_change_time": moment, "pipeline_id": STAGES[values["stage_id"]][0]}
        status = values.get("status", item.values["status"])
        if status != item.values["status"]:
            more["close_time"] = None if status == "open" else moment
            more["won_time"] = moment if status == "won" else None
            more["lost_time"] = moment if status == "lost" else None
        if values.get("is_archived", item.values["is_archived"]) != item.values["is_archived"]:
            more["archive_time"] = moment if values["is_archived"] else None
        return more

    def _matching(self, account: str, kind: str, asked: Asked) -> Iterator[SimulatedObject]:
        since, until = _moment(asked.since, "updated_since"), _moment(asked.until, "updated_until")
        statuses = [name for name in asked.status.split(",") if name]
        ids = {name for name in asked.ids.split(",") if name}
        if any(name not in {"open", "won", "lost", "deleted"} for name in statuses):
            invalid("status must be one of open, won, lost, deleted")
        links = [(name, _whole(value, name)) for name, value in asked.links]
        deleted = "deleted" in statuses
        for item in self.store.walk(account, kind, archived=None if deleted else False):
            gone = item.archived_at is not None
            # Times are told in whole seconds, and compared so.
            updated = item.updated_at.replace(microsecond=0)
            if (
                (gone and not self._kept(item))
                or (ids and item.id not in ids)
                or (statuses and ("deleted" if gone else item.values["status"]) not in statuses)
                or (kind == DEALS and bool(item.values.get("is_archived")) != asked.archived)
                or (since is not None and updated < since)
                or (until is not None and updated >= until)
                or any(item.values.get(name) != number for name, number in links)
            ):
                continue
            yield item

    def _kept(self, item: SimulatedObject) -> bool:
        return item.archived_at is None or item.archived_at > self.now() - timedelta(days=KEPT_DAYS)

    def _found(self, account: str, kind: str, item: SimulatedObject) -> Body:
        values = item.values
        body: Body = {"id": int(item.id), "type": _NOUNS[kind].lower(), "visible_to": values["visible_to"]}
        body["owner"] = {"id": values["owner_id"]}
        body |= {"custom_fields": [], "notes": []}
        organization = self._named(account, ORGANIZATIONS, values.get("org_id"))
        if kind == PERSONS:
            body |= {
                "name": values["name"],
                "phones": [phone["value"] for phone in values["phones"]],
                "emails": [email["value"] for email in values["emails"]],
                **({"organization": organization} if organization else {}),
            }
        elif kind == ORGANIZATIONS:
            body |= {"name": values["name"], "address": (values.get("address") or {}).get("value")}
        else:
            person = self._named(account, PERSONS, values.get("person_id"))
            body |= {
                "title": values["title"],
                "value": int(values["value"]),
                "currency": values["currency"],
                "status": values["status"],
                "stage": {"id": values["stage_id"], "name": STAGES[values["stage_id"]][1]},
                "is_archived": values["is_archived"],
                **({"person": person} if person else {}),
                **({"organization": organization} if organization else {}),
            }
        return body

    def _named(self, account: str, kind: str, number: int | None) -> Body | None:
        if number is None:
            return None
        try:
            return {"id": number, "name": self.store.get(account, kind, str(number)).values["name"]}
        except UnknownObjectError:
            return None


def _texts(item: SimulatedObject, fields: Sequence[str]) -> Iterator[str]:
    values = item.values
    plain = {
        "name": [values.get("name")],
        "title": [values.get("title")],
        "email": [email["value"] for email in values.get("emails", [])],
        "phone": [phone["value"] for phone in values.get("phones", [])],
    }
    for name in fields or plain:
        yield from (str(text) for text in plain.get(name, []) if text)


def _key(item: SimulatedObject, sort_by: str) -> tuple[Any, int]:
    number = int(item.id)
    if sort_by == "id":
        return number, number
    return stamp(item.created_at if sort_by == "add_time" else item.updated_at), number


def _cursor(asked: Asked, key: tuple[Any, int]) -> str:
    value = {"field": asked.sort_by, "fieldValue": key[0], "sortDirection": asked.direction, "id": key[1]}
    return urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def _start(asked: Asked) -> tuple[Any, int]:
    try:
        text = urlsafe_b64decode(asked.cursor + "=" * (-len(asked.cursor) % 4))
        held = msgspec.json.decode(text, type=dict[str, Any])
        order = (held["field"], held["sortDirection"])
        key = (int if asked.sort_by == "id" else str)(held["fieldValue"]), int(held["id"])
    except (ValueError, KeyError, TypeError, msgspec.DecodeError):
        invalid("Invalid cursor")
    if order != (asked.sort_by, asked.direction):
        invalid("Invalid cursor")
    return key


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        invalid(f"{name} must be a whole number")
    return int(text)


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        invalid(f"{name} must be in RFC 3339 format")
    if moment.tzinfo is None:
        invalid(f"{name} must be in RFC 3339 format")
    return moment
