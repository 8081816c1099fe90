"""The objects of the simulated Intercom: who may, lists, searches, scrolls and writes; no HTTP."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import msgspec

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.intercom.simulator_errors import error, invalid, rate_limited, refuse
from trunkline_connectors.intercom.simulator_schema import ADMINS, COMPANIES, CONTACTS, CONVERSATIONS, TICKETS
from trunkline_connectors.intercom.simulator_search import compiled
from trunkline_connectors.intercom.simulator_seed import Workspace
from trunkline_connectors.intercom.simulator_shapes import Doc, Shapes, own_id, public_id

SLICE_SECONDS = 10
PER_SLICE = 1666
"""10,000 a minute for each app, dealt in slices of 10 s."""
PAGED_LIMIT = 10_000
SCROLL_PAGE, SCROLL_LIFE = 100, timedelta(minutes=1)
SIZES = {CONTACTS: (50, 150), CONVERSATIONS: (20, 150), TICKETS: (20, 150), COMPANIES: (15, 60)}
"""(default, largest) page of a type."""
_NOUN = {
    CONTACTS: "contact",
    COMPANIES: "company",
    CONVERSATIONS: "conversation",
    TICKETS: "ticket",
    ADMINS: "admin",
}


class _Scroll(msgspec.Struct):
    after: int
    used_at: datetime


class Desk:
    """`search_lag` is how long (seconds) the search of contacts trails behind a write."""

    def __init__(self, store: Store, oauth: OAuthServer, now: Now, workspaces: Iterable[Workspace]) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.workspaces = {workspace.id: workspace for workspace in workspaces}
        self.search_lag = 0
        self.per_slice = PER_SLICE
        self._spent: Counter[tuple[str, int]] = Counter()
        self._scrolls: dict[tuple[str, str], tuple[str, _Scroll]] = {}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, token: str, scope: str, host: str) -> Grant:
        """Raises 401 or 403. `host`: the provider's host that the call was for, where it is known."""
        try:
            grant = self.oauth.authenticate(token)
        except (TokenInvalidError, TokenExpiredError):
            refuse(401, "unauthorized", "Access Token Invalid")
        if host.startswith("api.") and host != self.workspaces[grant.account].host:
            refuse(401, "unauthorized", "Access Token Invalid in this region")
        if scope and scope not in grant.scopes:
            refuse(403, "token_unauthorized", f"Not authorized to access resource: {scope}")
        return grant

    def spend(self, grant: Grant) -> dict[str, str]:
        """Counts a call in the slice; the headers of the answer, or raises 429."""
        moment = self.now().timestamp()
        slice_number = int(moment // SLICE_SECONDS)
        key = (f"{grant.client_id}:{grant.account}", slice_number)
        for old in [key for key in self._spent if key[1] < slice_number]:
            del self._spent[old]
        admitted = self._spent[key] < self.per_slice
        self._spent[key] += admitted
        headers = {
            "X-RateLimit-Limit": str(self.per_slice),
            "X-RateLimit-Remaining": str(max(0, self.per_slice - self._spent[key])),
            "X-RateLimit-Reset": str((slice_number + 1) * SLICE_SECONDS),
        }
        if not admitted:
            raise RefusedError(rate_limited(self.per_slice, headers))
        return headers

    # -- reading ----------------------------------------------------------------------------

    def shapes(self, grant: Grant, minor: int) -> Shapes:
        people: Counter[str] = Counter()
        for item in self.store.walk(grant.account, CONTACTS):
            people.update(item.values.get("companies", ()))
        return Shapes(grant.account, people, minor)

    def find(self, grant: Grant, kind: str, text: str) -> SimulatedObject:
        """Raises 404, and 410 for a contact that became another."""
        try:
            item = self.store.get(grant.account, kind, own_id(kind, text))
        except UnknownObjectError:
            item = None
        if item is not None and item.values.get("merged_into"):
            link = f'</contacts/{public_id(CONTACTS, item.values["merged_into"])}>; rel="canonical"'
            message = "This contact has been merged. See the 'Link' header for the canonical contact."
            raise RefusedError(error(410, "contact_merged", message, Link=link))
        if item is None or (item.archived_at is not None and kind != CONTACTS):
            noun = _NOUN[kind]
            code = "company_not_found" if kind == COMPANIES else "not_found"
            refuse(404, code, f"{noun.capitalize()} Not Found")
        return item

    def live(self, grant: Grant, kind: str) -> list[SimulatedObject]:
        return list(self.store.walk(grant.account, kind))

    def cursor_page(
        self, grant: Grant, kind: str, rows: Sequence[SimulatedObject], asked: Mapping[str, Any], minor: int
    ) -> tuple[list[Doc], Doc]:
        """(documents, pages) of sorted rows; the cursor is the place in them."""
        size = _size(kind, asked.get("per_page"))
        start = _place(asked.get("starting_after"))
        shapes = self.shapes(grant, minor)
        end = start + size
        pages: Doc = {
            "type": "pages",
            "page": start // size + 1,
            "per_page": size,
            "total_pages": -(-len(rows) // size),
        }
        if end < len(rows):
            pages["next"] = {"per_page": size, "starting_after": _cursor(end)}
        return [shapes.document(kind, item) for item in rows[start:end]], pages

    def search(self, grant: Grant, kind: str, body: Mapping[str, Any], minor: int) -> list[SimulatedObject]:
        """What matches, in the order that was asked for; archived ones are in no search."""
        workspace = self.workspaces[grant.account]
        test = compiled(kind, body.get("query"), workspace.zone)
        shapes = self.shapes(grant, minor)
        lag = self.search_lag if kind == CONTACTS else 0
        lagging = (
            self.store.newer_than(self.now() - timedelta(seconds=lag), grant.account, kind) if lag else {}
        )
        found = []
        for item in self.store.walk(grant.account, kind, archived=None):
            indexed = lagging.get(item.id, item)
            if indexed is not None and indexed.archived_at is None and test(shapes.document(kind, indexed)):
                found.append(indexed)
        order = body.get("sort") or {}
        field = order.get("field", "updated_at") if isinstance(order, dict) else "updated_at"
        if field not in {"created_at", "updated_at"}:
            invalid(f"Cannot sort by {str(field)[:50]}", "sort")
        descending = not isinstance(order, dict) or order.get("order", "descending") != "ascending"
        found.sort(key=lambda item: (getattr(item, field), int(item.id)), reverse=descending)
        return found

    def companies(self, account: str) -> list[SimulatedObject]:
        """As the lists have them: not those that nobody belongs to."""
        people: Counter[str] = Counter()
        for item in self.store.walk(account, CONTACTS):
            people.update(item.values.get("companies", ()))
        return [
            item
            for item in self.store.walk(account, COMPANIES)
            if people[item.id] or item.values.get("forced")
        ]

    def numbered_page(
        self, rows: Sequence[SimulatedObject], asked: Mapping[str, Any], link: Callable[[int, int], str]
    ) -> tuple[Sequence[SimulatedObject], Doc]:
        """(rows, pages) of a list by page number, which stops at 10,000; `next` is an address."""
        size = _size(COMPANIES, asked.get("per_page"))
        page = _whole(asked.get("page") or "1", "page")
        if page < 1 or page * size > PAGED_LIMIT:
            invalid("page limit reached, please use scroll API", "page")
        total = -(-len(rows) // size)
        pages = {
            "type": "pages",
            "next": link(page + 1, size) if page < total else None,
            "page": page,
            "per_page": size,
            "total_pages": total,
        }
        return rows[(page - 1) * size : page * size], pages

    def scroll(self, grant: Grant, param: str, minor: int) -> Doc:
        """One scroll of an app at a time, alive for a minute after each use; an empty page ends it."""
        key = (grant.client_id, grant.account)
        held = self._scrolls.get(key)
        moment = self.now()
        if held is not None and moment - held[1].used_at > SCROLL_LIFE:
            held = None
        if not param:
            if held is not None:
                refuse(400, "scroll_exists", "scroll already exists for this workspace")
            held = (token_hex(18), _Scroll(0, moment))
        elif held is None or held[0] != param:
            refuse(404, "not_found", "scroll parameter not found")
        rows = [item for item in self.companies(grant.account) if int(item.id) > held[1].after][:SCROLL_PAGE]
        if rows:
            self._scrolls[key] = (held[0], _Scroll(int(rows[-1].id), moment))
        else:
            self._scrolls.pop(key, None)
        shapes = self.shapes(grant, minor)
        return {
            "type": "list",
            "data": [shapes.document(COMPANIES, item) for item in rows],
            "pages": None,
            "total_count": None,
            "scroll_param": held[0],
        }

    def deleted(self, grant: Grant) -> list[Doc]:
        """Conversations that are gone, the newest first."""
        gone = sorted(
            self.store.walk(grant.account, CONVERSATIONS, archived=True),
            key=lambda item: (item.archived_at or item.updated_at, int(item.id)),
            reverse=True,
        )
        return [
            {
                "type": "conversation",
                "id": item.id,
                "metrics_retained": True,
                "deleted_at": int((item.archived_at or item.updated_at).timestamp()),
            }
            for item in gone
        ]


def _size(kind: str, given: Any) -> int:
    default, largest = SIZES[kind]
    size = _whole(default if given is None or given == "" else given, "per_page")
    if not 1 <= size <= largest:
        invalid(f"per_page must be between 1 and {largest}", "per_page")
    return size


def _whole(given: Any, field: str) -> int:
    if isinstance(given, bool) or not re.fullmatch(r"[0-9]{1,9}", str(given)):
        invalid(f"{field} must be a number", field)
    return int(given)


def _cursor(place: int) -> str:
    return urlsafe_b64encode(msgspec.json.encode([place])).decode()


def _place(cursor: Any) -> int:
    if cursor is None or cursor == "":
        return 0
    try:
        return msgspec.json.decode(urlsafe_b64decode(str(cursor)), type=tuple[int])[0]
    except (ValueError, msgspec.DecodeError):
        invalid("starting_after is not a cursor of this list", "starting_after")
