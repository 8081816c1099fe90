"""Zendesk's webhooks: what an account subscribes to, and its signed events (provider-facts)."""

import base64
import hashlib
import hmac
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_hooks import AccountTeller, Habit, Webhook, WebhookBook
from trunkline.sdk.simulator_store import LedgerEntry, SimulatedObject
from trunkline_connectors.zendesk.simulator_desk import Body, Desk, stamp
from trunkline_connectors.zendesk.simulator_errors import invalid, not_found
from trunkline_connectors.zendesk.simulator_routes import Door, body_of
from trunkline_connectors.zendesk.simulator_schema import COMMENTS, ORGANIZATIONS, SINGULAR, TICKETS, USERS
from trunkline_connectors.zendesk.simulator_seed import ADMIN

Name = FromPath[str]
PREFIX: Final = "zen:event-type:"
VERSION: Final = "2022-06-20"
RESOURCE: Final = "webhooks"

_CHANGES: Final = {
    TICKETS: {
        "subject": "subject_changed",
        "status": "status_changed",
        "priority": "priority_changed",
        "type": "type_changed",
        "requester_id": "requester_changed",
        "submitter_id": "submitter_changed",
        "assignee_id": "agent_assignment_changed",
        "organization_id": "organization_changed",
        "group_id": "group_assignment_changed",
        "tags": "tags_changed",
        "external_id": "external_id_changed",
        "due_at": "task_due_at_changed",
        "custom_fields": "custom_field_changed",
    },
    USERS: {
        "name": "name_changed",
        "email": "identity_changed",
        "phone": "identity_changed",
        "role": "role_changed",
        "organization_id": "organization_membership_created",
        "external_id": "external_id_changed",
        "notes": "notes_changed",
        "details": "details_changed",
        "tags": "tags_changed",
        "suspended": "suspended_changed",
        "user_fields": "custom_field_changed",
    },
    ORGANIZATIONS: {
        "name": "name_changed",
        "tags": "tags_changed",
        "external_id": "external_id_changed",
        "organization_fields": "custom_field_changed",
    },
}
"""Type -> field -> event. Of other fields nothing is told."""
_ENDS: Final = {
    TICKETS: {"archived": "soft_deleted", "purged": "permanently_deleted", "restored": "undeleted"},
    USERS: {"archived": "deleted", "purged": "deleted"},
    ORGANIZATIONS: {"archived": "deleted", "purged": "deleted"},
}


class ZendeskHooks(AccountTeller):
    # 12 s, up to five tries, and only after these answers or none (provider-facts)
    habit = Habit(answer_seconds=12, tries=5, again=frozenset({409, 429, 503}))

    def __init__(self, desk: Desk, book: WebhookBook) -> None:
        super().__init__(book)
        self._desk = desk

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        return [event for event in self._all(entry) if event["type"] in hook.events]

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        """Written from the vendor's description, not by our own templates: each is judged by the other."""
        written = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hmac.new(hook.secret.encode(), written.encode() + body, hashlib.sha256).digest()
        return {
            "X-Zendesk-Webhook-Id": hook.id,
            "X-Zendesk-Webhook-Signature": base64.b64encode(digest).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": written,
        }

    def _all(self, entry: LedgerEntry) -> list[Body]:
        kind, change = entry.object_type, entry.change
        if kind == COMMENTS:
            return self._commented(entry) if change == "created" else []
        if change == "created":
            return [self._event(entry, kind, entry.after, "created", {})]
        if change in _ENDS[kind]:
            return [self._event(entry, kind, entry.after, _ENDS[kind][change], {})]
        before = entry.before.values if entry.before else {}
        told = {}
        for field, name in _CHANGES[kind].items():
            was, is_now = before.get(field), entry.after.values.get(field)
            if was != is_now and name not in told:
                told[name] = {"previous": _told(was), "current": _told(is_now)}
        return [self._event(entry, kind, entry.after, name, what) for name, what in told.items()]

    def _commented(self, entry: LedgerEntry) -> list[Body]:
        values = entry.after.values
        ticket = next(
            (one for one in self._desk.live(entry.account, TICKETS) if one.id == str(values["ticket_id"])),
            None,
        )
        if ticket is None:
            return []
        comment = {
            "id": entry.object_id,
            "body": values["body"],
            "is_public": values["public"],
            "author": {"id": str(values["author_id"])},
        }
        return [self._event(entry, TICKETS, ticket, "comment_added", {"comment": comment})]

    def _event(self, entry: LedgerEntry, kind: str, item: SimulatedObject, name: str, what: Body) -> Body:
        whole = self._desk.render(entry.account, kind, item)
        return {
            "type": f"{PREFIX}{SINGULAR[kind]}.{name}",
            "account_id": int(entry.account),
            "id": str(uuid.uuid4()),
            "subject": f"zen:{SINGULAR[kind]}:{item.id}",
            "time": entry.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "zendesk_event_version": VERSION,
            "detail": _detail(kind, whole),
            "event": what,
        }


def hook_routes(desk: Desk, door: Door, book: WebhookBook) -> list[HTTPRouteHandler]:
    @post("/api/v2/webhooks", status_code=201)
    async def create(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, RESOURCE, "write")
        given = await body_of(request, "webhook")
        endpoint, events = str(given.get("endpoint") or ""), given.get("subscriptions")
        if not given.get("name") or urlsplit(endpoint).scheme not in {"http", "https"}:
            invalid("Webhook name and endpoint are required; endpoint must be a URL")
        if (given.get("http_method"), given.get("request_format")) != ("POST", "json"):
            invalid("To subscribe to Zendesk events, http_method must be POST and request_format json")
        if not isinstance(events, list) or not all(_known(str(name)) for name in events):
            invalid("subscriptions holds an event type that does not exist")
        made = Webhook(
            id=f"01{secrets.token_hex(12).upper()}",
            account=grant.account,
            url=endpoint,
            secret=secrets.token_urlsafe(32),
            events=[str(name) for name in events],
            active=given.get("status", "active") == "active",
            shown={"name": str(given["name"]), "created_at": stamp(desk.now())},
        )
        return Response({"webhook": _shown(book.add(made))}, status_code=201, headers=headers)

    @get("/api/v2/webhooks")
    async def list_webhooks(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, RESOURCE)
        size = str(request.query_params.get("page[size]") or "30")
        after = str(request.query_params.get("page[after]") or "")
        held = book.of(grant.account)
        start = next((at + 1 for at, hook in enumerate(held) if hook.id == after), 0)
        shown = held[start : start + min(int(size) if size.isdecimal() else 30, 100)]
        more = start + len(shown) < len(held)
        meta = {"has_more": more, "after_cursor": shown[-1].id if more else None, "before_cursor": None}
        return Response({"webhooks": [_shown(hook) for hook in shown], "meta": meta}, headers=headers)

    @get("/api/v2/webhooks/{webhook_id:str}")
    async def show(request: AnyRequest, webhook_id: Name) -> Response[Body]:
        grant, headers = door(request, RESOURCE)
        return Response({"webhook": _shown(_one(grant.account, webhook_id))}, headers=headers)

    @get("/api/v2/webhooks/{webhook_id:str}/signing_secret")
    async def secret(request: AnyRequest, webhook_id: Name) -> Response[Body]:
        grant, headers = door(request, RESOURCE)
        found = _one(grant.account, webhook_id)
        return Response({"signing_secret": {"algorithm": "SHA256", "secret": found.secret}}, headers=headers)

    @delete("/api/v2/webhooks/{webhook_id:str}", status_code=204)
    async def remove(request: AnyRequest, webhook_id: Name) -> None:
        grant, _ = door(request, RESOURCE, "write")
        book.remove(_one(grant.account, webhook_id).id)

    def _one(account: str, identity: str) -> Webhook:
        found = book.get(account, identity)
        if found is None:
            not_found()
        return found

    return [create, list_webhooks, show, secret, remove]


def _known(name: str) -> bool:
    kind, _, event = name.removeprefix(PREFIX).partition(".")
    of = next((one for one, noun in SINGULAR.items() if noun == kind), None)
    if not name.startswith(PREFIX) or of is None:
        return False
    return event in {"created", "comment_added", *_CHANGES[of].values(), *_ENDS[of].values()}


def _shown(hook: Webhook) -> Body:
    return {
        "id": hook.id,
        "status": "active" if hook.active else "inactive",
        "endpoint": hook.url,
        "http_method": "POST",
        "request_format": "json",
        "subscriptions": hook.events,
        "created_by": str(ADMIN),
        "updated_by": str(ADMIN),
        **hook.shown,
        "updated_at": hook.shown["created_at"],
    }


def _detail(kind: str, whole: Body) -> Body:
    """As events write it: ids are texts, and words of a choice in capitals."""
    names = {
        TICKETS: (
            "id", "subject", "description", "external_id", "is_public", "tags", "created_at", "updated_at",
            "assignee_id", "brand_id", "group_id", "organization_id", "requester_id", "submitter_id",
        ),
        USERS: ("id", "email", "external_id", "organization_id", "role", "created_at", "updated_at"),
        ORGANIZATIONS: ("id", "name", "external_id", "shared_comments", "created_at", "updated_at"),
    }[kind]  # fmt: skip
    detail = {name: _told(whole.get(name)) if name.endswith("id") else whole.get(name) for name in names}
    if kind == TICKETS:
        detail |= {
            name: str(whole.get(name) or "").upper() or None for name in ("status", "priority", "type")
        }
        detail |= {"actor_id": str(ADMIN), "via": {"channel": "web_service"}}
    return detail


def _told(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
