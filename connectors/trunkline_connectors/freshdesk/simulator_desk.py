"""The objects of the simulated Freshdesk: rules and bodies, no HTTP."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.freshdesk.simulator_errors import (
    duplicate,
    invalid,
    not_found,
    rate_limited,
    unauthorized,
    unexpected,
)
from trunkline_connectors.freshdesk.simulator_schema import (
    AGENTS,
    CHOICES,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    CUSTOM,
    TICKETS,
    WRITABLE,
)
from trunkline_connectors.freshdesk.simulator_seed import OWNER

Body = dict[str, Any]
PER_MINUTE = 400
LIST_PER_MINUTE = 100
"""Of the ticket list and of the contact list, each; both of the plan between (provider-facts)."""
OWN_LIMITS = (TICKETS, CONTACTS)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Desk:
    def __init__(self, store: Store, oauth: OAuthServer, now: Now, hosts: Mapping[str, str]) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.hosts = hosts
        """Account -> its host."""
        self.window = RateWindow(now, PER_MINUTE, 60)
        self.lists = {kind: RateWindow(now, LIST_PER_MINUTE, 60) for kind in OWN_LIMITS}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, key: str, host: str) -> Grant:
        """The grant of a key, on its own account's host where one is told; raises 401."""
        try:
            grant = self.oauth.authenticate(key)
        except (TokenInvalidError, TokenExpiredError):
            unauthorized()
        if host and host != self.hosts[grant.account]:
            unauthorized()
        return grant

    def spend(self, grant: Grant, kind: str = "", taken: int = 1) -> dict[str, str]:
        """Takes credits from the account's minute, and one call from the list's; headers, or raises 429."""
        own = self.lists.get(kind)
        key = grant.account
        admitted = self.window.remaining(key) >= taken and (own is None or own.admit(key))
        if admitted:
            for _ in range(taken):
                self.window.admit(key)
        headers = {
            "X-RateLimit-Total": str(self.window.limit),
            "X-RateLimit-Remaining": str(self.window.remaining(key)),
            "X-RateLimit-Used-CurrentRequest": str(taken if admitted else 0),
        }
        if not admitted:
            full = self.window if own is None or self.window.remaining(key) < taken else own
            raise RefusedError(rate_limited(full.resets_in(key), headers))
        return headers

    # -- reading ----------------------------------------------------------------------------

    def tickets(self, account: str, query: Mapping[str, str]) -> list[SimulatedObject]:
        """As a list wants them: without a filter and `updated_since`, only those made in the last 30 days."""
        chosen = query.get("filter", "")
        if chosen not in {"", "new_and_my_open", "watching", "spam", "deleted"}:
            invalid("filter", "It should be one of these values: 'new_and_my_open,watching,spam,deleted'")
        since = _moment(query.get("updated_since", ""), "updated_since")
        oldest = self.now() - timedelta(days=30)
        links = [
            (name, _whole(query[name], name)) for name in ("requester_id", "company_id") if name in query
        ]
        found = []
        for item in self.store.walk(account, TICKETS, archived=chosen == "deleted"):
            values = item.values
            if chosen != "deleted" and bool(values["spam"]) != (chosen == "spam"):
                continue
            if chosen == "new_and_my_open" and not (
                values["status"] == 2 and values["responder_id"] in {None, OWNER}
            ):
                continue
            if chosen == "watching" or any(values[name] != number for name, number in links):
                continue
            if "email" in query and not self._asked_by(account, values["requester_id"], query["email"]):
                continue
            if since is None and item.created_at < oldest and not links:
                continue
            if since is None or item.updated_at.replace(microsecond=0) >= since:
                found.append(item)
        order = query.get("order_by", "created_at")
        direction = query.get("order_type", "desc")
        if order not in {"created_at", "updated_at", "due_by", "status"} or direction not in {"asc", "desc"}:
            invalid("order_by", "It should be one of these values: 'created_at,due_by,updated_at,status'")

        def key(item: SimulatedObject) -> tuple[Any, int]:
            return _sortable(item, order), int(item.id)

        return sorted(found, key=key, reverse=direction == "desc")

    def contacts(self, account: str, query: Mapping[str, str]) -> list[SimulatedObject]:
        if "updated_since" in query:
            unexpected("updated_since")
        state = query.get("state", "")
        if state not in {"", "verified", "unverified", "blocked", "deleted"}:
            invalid("state", "It should be one of these values: 'verified,unverified,blocked,deleted'")
        since = _moment(query.get("_updated_since", ""), "_updated_since")
        company = _whole(query["company_id"], "company_id") if "company_id" in query else None
        found = []
        for item in self.store.walk(account, CONTACTS, archived=state == "deleted"):
            values = item.values
            if state != "deleted" and bool(values["blocked"]) != (state == "blocked"):
                continue
            if state in {"verified", "unverified"} and bool(values["active"]) != (state == "verified"):
                continue
            if any(query.get(name, values[name]) != values[name] for name in ("email", "phone", "mobile")):
                continue
            if company is not None and values["company_id"] != company:
                continue
            if since is None or item.updated_at.replace(microsecond=0) >= since:
                found.append(item)
        return found

    def _asked_by(self, account: str, requester: int, email: str) -> bool:
        contact = self.store.get(account, CONTACTS, str(requester))
        return str(contact.values["email"] or "").casefold() == email.casefold()

    def find(self, account: str, kind: str, object_id: str) -> SimulatedObject:
        """Deleted ones too; raises 404."""
        try:
            return self.store.get(account, kind, object_id)
        except UnknownObjectError:
            not_found()

    def conversations(self, account: str, ticket_id: str) -> list[SimulatedObject]:
        number = int(self.find(account, TICKETS, ticket_id).id)
        return [c for c in self.store.walk(account, CONVERSATIONS) if c.values["ticket_id"] == number]

    def render(self, kind: str, item: SimulatedObject, *, whole: bool = True) -> Body:
        """`whole`: as read alone; lists leave the descriptions of tickets out."""
        values = item.values
        times = {"created_at": stamp(item.created_at), "updated_at": stamp(item.updated_at)}
        body: Body = {"id": int(item.id), **values, **times}
        if kind == TICKETS:
            body |= {
                "to_emails": None,
                "fwd_emails": [],
                "reply_cc_emails": values["cc_emails"],
                "email_config_id": None,
                "product_id": None,
                "fr_escalated": False,
                "is_escalated": False,
                "due_by": values["due_by"] or stamp(item.created_at + timedelta(days=3)),
                "fr_due_by": stamp(item.created_at + timedelta(days=1)),
                "description_text": re.sub(r"<[^>]*>", "", values["description"]),
                "attachments": [],
            }
            if not whole:
                for name in ("description", "description_text", "attachments"):
                    del body[name]
            if item.archived_at is not None:
                body["deleted"] = True
        elif kind == CONTACTS:
            del body["blocked"]
            body |= {"twitter_id": None, "other_emails": [], "preferred_source": "email"}
            if item.archived_at is not None:
                body["deleted"] = True
        elif kind == AGENTS:
            contact = {
                "active": True,
                "email": values["email"],
                "job_title": None,
                "language": "en",
                "last_login_at": None,
                "mobile": None,
                "name": values["name"],
                "phone": None,
                "time_zone": "London",
                **times,
            }
            body = {
                "id": int(item.id),
                "available": True,
                "occasional": values["occasional"],
                "ticket_scope": 1,
                "signature": None,
                "available_since": None,
                "type": "support_agent",
                **times,
                "contact": contact,
            }
        elif kind == CONVERSATIONS:
            body |= {"support_email": None, "to_emails": [], "from_email": None, "cc_emails": [],
                     "bcc_emails": None, "attachments": []}  # fmt: skip
        return body

    # -- writing ----------------------------------------------------------------------------

    def create(self, account: str, kind: str, given: Mapping[str, Any]) -> SimulatedObject:
        values = self._checked(account, kind, given)
        if kind == TICKETS:
            self._requested(account, values)
            for name in ("subject", "description", "status", "priority"):
                if values.get(name) is None:
                    invalid(name, "It should be a/an String" if name == "subject" else "can't be blank")
        elif not values.get("name"):
            invalid("name", "It should be a/an String", "missing_field")
        if kind == CONTACTS and not any(
            values.get(n) for n in ("email", "phone", "mobile", "unique_external_id")
        ):
            invalid(
                "email",
                "Please fill at least 1 of email, mobile, phone, unique_external_id fields",
                "missing_field",
            )
        self._refuse_taken(account, kind, values, None)
        return self.store.create(account, kind, {**_DEFAULTS[kind], **values})

    def update(self, account: str, kind: str, object_id: str, given: Mapping[str, Any]) -> SimulatedObject:
        item = self.find(account, kind, object_id)
        if item.archived_at is not None:
            not_found()
        values = self._checked(account, kind, given)
        if "custom_fields" in values:
            values["custom_fields"] = {**item.values["custom_fields"], **values["custom_fields"]}
        self._refuse_taken(account, kind, values, item.id)
        return self.store.update(account, kind, object_id, values)

    def say(self, account: str, ticket_id: str, given: Mapping[str, Any], *, note: bool) -> SimulatedObject:
        """A note or a reply."""
        ticket = self.find(account, TICKETS, ticket_id)
        if ticket.archived_at is not None:
            not_found()
        body = given.get("body")
        if not isinstance(body, str) or not body:
            invalid("body", "It should be a/an String", "missing_field")
        values = {
            "ticket_id": int(ticket_id),
            "user_id": OWNER,
            "body": body,
            "body_text": re.sub(r"<[^>]*>", "", body),
            "incoming": False,
            "private": note and given.get("private", True) is not False,
            "source": 2 if note else 0,
        }
        return self.store.create(account, CONVERSATIONS, values)

    # -- inside -----------------------------------------------------------------------------

    def _requested(self, account: str, values: Body) -> None:
        """Whose ticket it is: a contact, known or made by the address."""
        email, name = values.pop("email", None), values.pop("name", None)
        if values.get("requester_id") is None:
            if not email:
                words = "Please fill at least 1 of requester_id, phone, email, twitter_id, facebook_id fields"
                invalid("requester_id", words, "missing_field")
            held = next((c for c in self.store.walk(account, CONTACTS) if c.values["email"] == email), None)
            if held is None:
                made = {**_DEFAULTS[CONTACTS], "email": email, "name": name or email.partition("@")[0]}
                held = self.store.create(account, CONTACTS, made)
            values["requester_id"] = int(held.id)

    def _refuse_taken(self, account: str, kind: str, values: Body, own_id: str | None) -> None:
        field = {CONTACTS: "email", COMPANIES: "name"}.get(kind)
        wanted = str(values.get(field or "") or "").casefold()
        for item in self.store.walk(account, kind) if wanted else ():
            if item.id != own_id and str(item.values[field or ""] or "").casefold() == wanted:
                duplicate(field or "", int(item.id))

    def _checked(self, account: str, kind: str, given: Mapping[str, Any]) -> Body:
        """The given values if the object can hold them; raises 400 naming the first that it cannot."""
        values: Body = {}
        for name, value in given.items():
            expected = WRITABLE[kind].get(name)
            if expected is None:
                unexpected(name[:50])
            if value is not None and (
                not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
            ):
                invalid(name, f"Value set is of another type than {name} has", "datatype_mismatch")
            if name in CHOICES and value is not None and value not in CHOICES[name]:
                listed = ",".join(str(choice) for choice in CHOICES[name])
                invalid(name, f"It should be one of these values: '{listed}'")
            values[name] = value
        for name in values.get("custom_fields") or {}:
            if name not in CUSTOM[kind]:
                unexpected(name[:50])
        for name, other in (("company_id", COMPANIES), ("requester_id", CONTACTS), ("responder_id", AGENTS)):
            number = values.get(name)
            if number is not None:
                try:
                    self.store.get(account, other, str(number))
                except UnknownObjectError:
                    invalid(name, f"There is no {other[:-1]} matching the given {name}")
        return values


_DEFAULTS: dict[str, Body] = {
    TICKETS: {
        "source": 2, "type": None, "responder_id": None, "company_id": None, "group_id": None, "due_by": None,
        "cc_emails": [], "spam": False, "tags": [], "custom_fields": dict.fromkeys(sorted(CUSTOM[TICKETS])),
    },
    CONTACTS: {
        "email": None, "phone": None, "mobile": None, "company_id": None, "job_title": None, "language": "en",
        "time_zone": "London", "address": None, "description": None, "unique_external_id": None,
        "view_all_tickets": False, "active": False, "blocked": False, "tags": [],
        "custom_fields": dict.fromkeys(sorted(CUSTOM[CONTACTS])),
    },
    COMPANIES: {
        "description": None, "note": None, "domains": [], "health_score": None, "account_tier": None,
        "renewal_date": None, "industry": None, "custom_fields": dict.fromkeys(sorted(CUSTOM[COMPANIES])),
    },
}  # fmt: skip


def _sortable(item: SimulatedObject, order: str) -> Any:
    if order == "status":
        return item.values["status"]
    if order == "due_by":
        return item.values["due_by"] or stamp(item.created_at + timedelta(days=3))
    return item.created_at if order == "created_at" else item.updated_at


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        invalid(name, "It should be a/an Positive Integer", "datatype_mismatch")
    return int(text)


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        invalid(name, "It should be in the 'combined date and time ISO8601' format", "datatype_mismatch")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
