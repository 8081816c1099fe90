"""The objects of the simulated Zendesk: rules and bodies, no HTTP."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.zendesk.simulator_errors import (
    forbidden,
    invalid,
    invalid_record,
    not_found,
    rate_limited,
    unauthorized,
)
from trunkline_connectors.zendesk.simulator_schema import (
    COMMENTS,
    IGNORED,
    ORGANIZATIONS,
    PRIORITIES,
    ROLES,
    STATUSES,
    TICKET_FIELDS,
    TICKETS,
    TYPES,
    USERS,
    WRITABLE,
)
from trunkline_connectors.zendesk.simulator_seed import ADMIN

Body = dict[str, Any]
PER_MINUTE = 700
"""Of the account, in the plan between (provider-facts: 200 to 2,500)."""
BUCKETS = {
    "tickets-index": 100,
    "incremental-exports": 10,
    "incremental-exports-cursor": 20,
    "search-index": 2500,
}
"""Endpoint limits a minute (recorded headers)."""
EXPORT_PAGE = 1000
KEPT_DAYS = 30
SYSTEM_TIME = "_updated_at"
"""Value of a ticket that the system changed last: the `updated_at` that it kept."""
_CHOICES = {"status": STATUSES, "priority": PRIORITIES, "type": TYPES, "role": ROLES}


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated(item: SimulatedObject) -> int:
    """Unix seconds of the last change of whatever kind; what exports go by."""
    return int(item.updated_at.timestamp())


class Desk:
    """`export_lag`: seconds before now that exports leave out."""

    def __init__(self, store: Store, oauth: OAuthServer, now: Now, hosts: Mapping[str, str]) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.hosts = hosts
        """Account -> its host."""
        self.export_lag = 60
        self.window = RateWindow(now, PER_MINUTE, 60)
        self.buckets = {name: RateWindow(now, limit, 60) for name, limit in BUCKETS.items()}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, credential: str, resource: str, verb: str, *, token: bool, host: str) -> Grant:
        """The grant that may do it, on its own account's host where one is told; raises 401 or 403."""
        try:
            grant = self.oauth.authenticate(credential)
        except (TokenInvalidError, TokenExpiredError):
            unauthorized(token=token)
        if host and host != self.hosts[grant.account]:
            unauthorized(token=token)
        if not {verb, f"{resource}:{verb}"} & set(grant.scopes):
            forbidden()
        return grant

    def spend(self, grant: Grant, bucket: str = "") -> dict[str, str]:
        """Counts a call in the account's minute and in its bucket's; the headers, or raises 429."""
        own = self.buckets.get(bucket)
        admitted = self.window.remaining(grant.account) > 0 and (own is None or own.admit(grant.account))
        admitted = admitted and self.window.admit(grant.account)
        headers = {
            "X-Rate-Limit": str(self.window.limit),
            "X-Rate-Limit-Remaining": str(self.window.remaining(grant.account)),
            "ratelimit-limit": str(self.window.limit),
            "ratelimit-remaining": str(self.window.remaining(grant.account)),
            "ratelimit-reset": str(self.window.resets_in(grant.account)),
        }
        if own is not None:
            left, reset = own.remaining(grant.account), own.resets_in(grant.account)
            name = f"zendesk-ratelimit-{bucket}"
            headers[name] = f"total={own.limit}; remaining={left}; resets={reset}"
        if not admitted:
            full = self.window if self.window.remaining(grant.account) == 0 or own is None else own
            raise RefusedError(rate_limited(full.resets_in(grant.account), headers))
        return headers

    # -- reading ----------------------------------------------------------------------------

    def live(self, account: str, kind: str) -> list[SimulatedObject]:
        return list(self.store.walk(account, kind))

    def find(self, account: str, kind: str, object_id: str) -> SimulatedObject:
        """A user also when deleted (`active` is false then); raises 404."""
        try:
            item = self.store.get(account, kind, object_id)
        except UnknownObjectError:
            not_found()
        if item.archived_at is not None and kind != USERS:
            not_found()
        return item

    def exported(
        self, account: str, kind: str, since: int, after: tuple[int, int] | None, size: int
    ) -> tuple[list[SimulatedObject], bool]:
        """(page, whether it is the last one), by time of change and id; no deleted organizations."""
        if not 1 <= size <= EXPORT_PAGE:
            invalid(f"per_page must be between 1 and {EXPORT_PAGE}")
        newest = int(self.now().timestamp()) - self.export_lag
        archived = False if kind in {ORGANIZATIONS, COMMENTS} else None
        found = sorted(
            (generated(item), int(item.id), item)
            for item in self.store.walk(account, kind, archived=archived)
            if since <= generated(item) <= newest
        )
        if after is not None:
            found = [entry for entry in found if entry[:2] > after]
        return [entry[2] for entry in found[:size]], len(found) <= size

    def check_start(self, start: int) -> None:
        if start > int(self.now().timestamp()) - self.export_lag:
            invalid("Too recent start_time. Use a start_time older than 1 minutes")

    def deleted(self, account: str, kind: str) -> list[SimulatedObject]:
        """For 30 days."""
        oldest = self.now() - timedelta(days=KEPT_DAYS)
        return [
            item
            for item in self.store.walk(account, kind, archived=True)
            if item.archived_at is not None and item.archived_at > oldest
        ]

    def comments(self, account: str, ticket_id: str) -> list[SimulatedObject]:
        number = int(self.find(account, TICKETS, ticket_id).id)
        return [c for c in self.store.walk(account, COMMENTS) if c.values["ticket_id"] == number]

    def render(self, account: str, kind: str, item: SimulatedObject) -> Body:
        values = {name: value for name, value in item.values.items() if not name.startswith("_")}
        origin = f"https://{self.hosts.get(account, '')}"
        body: Body = {
            "id": int(item.id),
            "url": f"{origin}/api/v2/{kind}/{item.id}.json",
            **values,
            "created_at": stamp(item.created_at),
            "updated_at": item.values.get(SYSTEM_TIME) or stamp(item.updated_at),
        }
        if kind == COMMENTS:
            return {
                "id": int(item.id),
                "type": "Comment",
                "author_id": values["author_id"],
                "body": values["body"],
                "html_body": f'<div class="zd-comment"><p>{escape(values["body"])}</p></div>',
                "plain_body": values["body"],
                "public": values["public"],
                "attachments": [],
                "audit_id": int(item.id) + 500_000_000,
                "via": {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}},
                "created_at": stamp(item.created_at),
                "metadata": {"system": {}, "custom": {}},
            }
        if kind == TICKETS:
            body |= {
                "raw_subject": values["subject"],
                "via": {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}},
                "recipient": None,
                "forum_topic_id": None,
                "problem_id": None,
                "has_incidents": False,
                "is_public": True,
                "satisfaction_rating": {"score": "unoffered"},
                "sharing_agreement_ids": [],
                "collaborator_ids": [],
                "follower_ids": [],
                "email_cc_ids": [],
                "followup_ids": [],
                "brand_id": 360_900,
                "ticket_form_id": 360_800,
                "allow_channelback": False,
                "allow_attachments": True,
                "from_messaging_channel": False,
                "generated_timestamp": generated(item),
            }
            if item.archived_at is not None:
                body["status"] = "deleted"
                if item.archived_at < self.now() - timedelta(days=KEPT_DAYS):
                    body |= {"subject": "SCRUBBED", "raw_subject": "SCRUBBED", "description": "SCRUBBED"}
        elif kind == USERS:
            body |= {
                "active": item.archived_at is None,
                "verified": True,
                "shared": False,
                "shared_agent": False,
                "locale": "en-US",
                "locale_id": 1,
                "time_zone": "Amsterdam",
                "iana_time_zone": "Europe/Amsterdam",
                "alias": None,
                "photo": None,
                "signature": None,
                "moderator": values["role"] != "end-user",
                "ticket_restriction": "requested" if values["role"] == "end-user" else None,
                "only_private_comments": False,
                "restricted_agent": values["role"] != "admin",
                "custom_role_id": None,
                "role_type": None,
                "last_login_at": None,
            }
        return body

    def event(self, item: SimulatedObject, *, whole: bool) -> Body:
        """What happened to a ticket when it got this comment; `whole`: with the comment itself."""
        comment = self.render("", COMMENTS, item) if whole else {"id": int(item.id)}
        child = {**comment, "event_type": "Comment" if whole else "Audit", "comment_present": True}
        return {
            "id": int(item.id) + 500_000_000,
            "ticket_id": item.values["ticket_id"],
            "timestamp": generated(item),
            "created_at": stamp(item.updated_at),
            "updater_id": item.values["author_id"],
            "via": "Web form",
            "event_type": "Audit",
            "child_events": [
                child,
                {"id": int(item.id) + 600_000_000, "event_type": "Change", "status": "open"},
            ],
        }

    # -- writing ----------------------------------------------------------------------------

    def create(self, account: str, kind: str, given: Mapping[str, Any]) -> SimulatedObject:
        values = self._checked(account, kind, given)
        if kind != TICKETS and not values.get("name"):
            invalid_record("name", "Name: cannot be blank", "BlankValue")
        if kind == TICKETS:
            comment = _comment(given)
            if comment is None:
                invalid_record("base", "Description: cannot be blank", "BlankValue")
            values["description"] = comment["body"]
            values.setdefault("subject", comment["body"][:60])
            values.setdefault("requester_id", ADMIN)
        if kind == USERS and values.get("email"):
            self._refuse_taken(account, str(values["email"]), None)
        item = self.store.create(account, kind, {**_DEFAULTS[kind], **values})
        if kind == TICKETS:
            self._say(account, item, given)
        return item

    def update(self, account: str, kind: str, object_id: str, given: Mapping[str, Any]) -> SimulatedObject:
        item = self.find(account, kind, object_id)
        if kind == TICKETS and item.values["status"] == "closed":
            invalid_record("status", "Status: closed prevents ticket update")
        values = self._checked(account, kind, given)
        if "custom_fields" in values:
            held = {field["id"]: field["value"] for field in item.values["custom_fields"]}
            held |= {field["id"]: field["value"] for field in values["custom_fields"]}
            values["custom_fields"] = [{"id": key, "value": value} for key, value in held.items()]
        for name in ("user_fields", "organization_fields"):
            if name in values:
                values[name] = {**item.values[name], **values[name]}
        if kind == USERS and values.get("email"):
            self._refuse_taken(account, str(values["email"]), item.id)
        changed = self.store.update(account, kind, object_id, {**values, **self.by_a_person(kind)})
        if kind == TICKETS and _comment(given) is not None:
            self._say(account, changed, given)
        return changed

    def system_change(self, account: str, object_id: str, values: Mapping[str, Any]) -> None:
        """As a trigger or a data migration does it: exports tell of it, `updated_at` does not move."""
        item = self.store.get(account, TICKETS, object_id)
        kept = item.values.get(SYSTEM_TIME) or stamp(item.updated_at)
        self.store.update(account, TICKETS, object_id, {**values, SYSTEM_TIME: kept})

    @staticmethod
    def by_a_person(kind: str) -> Body:
        """What a change made by a person does beside its own values."""
        return {SYSTEM_TIME: None} if kind == TICKETS else {}

    def delete(self, account: str, kind: str, object_id: str) -> SimulatedObject:
        item = self.find(account, kind, object_id)
        if item.archived_at is not None:
            not_found()
        return self.store.archive(account, kind, object_id)

    # -- inside -----------------------------------------------------------------------------

    def _say(self, account: str, ticket: SimulatedObject, given: Mapping[str, Any]) -> None:
        comment = _comment(given)
        if comment is not None:
            values = {
                "ticket_id": int(ticket.id),
                "author_id": comment.get("author_id") or ticket.values["requester_id"],
                "body": comment["body"],
                "public": comment.get("public", True) is not False,
            }
            self.store.create(account, COMMENTS, values)

    def _refuse_taken(self, account: str, email: str, own_id: str | None) -> None:
        for item in self.store.walk(account, USERS):
            if item.id != own_id and (item.values.get("email") or "").casefold() == email.casefold():
                invalid_record(
                    "email", f"Email: {email} is already being used by another user", "DuplicateValue"
                )

    def _checked(self, account: str, kind: str, given: Mapping[str, Any]) -> Body:
        """What can be held of the given; unknown members are ignored, as the real one does. Raises 422."""
        values: Body = {}
        for name, value in given.items():
            expected = WRITABLE[kind].get(name)
            if expected is None or name in IGNORED:
                continue
            if value is not None and (
                not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)
            ):
                invalid_record(name, f"{name.capitalize()}: is not properly formatted")
            if name in _CHOICES and value is not None and value not in _CHOICES[name]:
                invalid_record(name, f"{name.capitalize()}: {str(value)[:50]} is not included in the list")
            values[name] = value
        related = (("requester_id", USERS), ("assignee_id", USERS), ("organization_id", ORGANIZATIONS))
        for name, other in related:
            if values.get(name) is not None:
                self._must_exist(account, other, name, values[name])
        for field in values.get("custom_fields") or ():
            if not isinstance(field, dict) or field.get("id") not in TICKET_FIELDS:
                invalid_record("custom_fields", "Custom field: does not exist")
        return values

    def _must_exist(self, account: str, kind: str, name: str, number: int) -> None:
        try:
            gone = self.store.get(account, kind, str(number)).archived_at is not None
        except UnknownObjectError:
            gone = True
        if gone:
            invalid_record(name, f"{name.removesuffix('_id').capitalize()}: is invalid")


_DEFAULTS: dict[str, Body] = {
    TICKETS: {
        "status": "new", "priority": None, "type": None, "submitter_id": ADMIN, "assignee_id": None,
        "organization_id": None, "group_id": None, "tags": [], "external_id": None, "due_at": None,
        "custom_fields": [{"id": number, "value": None} for number in TICKET_FIELDS],
    },
    USERS: {
        "email": None, "phone": None, "role": "end-user", "organization_id": None, "external_id": None,
        "notes": "", "details": "", "tags": [], "suspended": False, "user_fields": {},
    },
    ORGANIZATIONS: {
        "domain_names": [], "details": None, "notes": None, "external_id": None, "group_id": None,
        "shared_tickets": False, "shared_comments": False, "tags": [], "organization_fields": {},
    },
}  # fmt: skip


def _comment(given: Mapping[str, Any]) -> Body | None:
    comment = given.get("comment")
    body = comment.get("body") or comment.get("html_body") if isinstance(comment, dict) else None
    return {**comment, "body": body} if isinstance(comment, dict) and isinstance(body, str) and body else None


def cursor_of(*parts: object) -> str:
    return urlsafe_b64encode("|".join(str(part) for part in parts).encode()).decode()


def parts_of(cursor: str, count: int) -> Sequence[str]:
    """Raises 400."""
    try:
        parts = urlsafe_b64decode(cursor).decode().split("|")
    except ValueError:
        invalid("Invalid cursor")
    if len(parts) != count or not all(part == "" or part.removesuffix(".0").isdigit() for part in parts):
        invalid("Invalid cursor")
    return parts


def numbers(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text.isascii() and text.isdigit()]
