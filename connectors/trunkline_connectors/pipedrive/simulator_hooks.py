"""Pipedrive's webhooks, version 2: registered for a company, sent with Basic (provider-facts)."""

import base64
import secrets
import uuid
from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import AnyRequest, Reply
from trunkline.sdk.simulator_hooks import AccountTeller, Habit, Webhook, WebhookBook
from trunkline.sdk.simulator_store import LedgerEntry
from trunkline_connectors.pipedrive.simulator_crm import Body, Crm
from trunkline_connectors.pipedrive.simulator_errors import not_found
from trunkline_connectors.pipedrive.simulator_routes import Door
from trunkline_connectors.pipedrive.simulator_schema import DEALS, NOTES, ORGANIZATIONS, PERSONS, USERS

MOST: Final = 40
"""Webhooks of a user."""
GIVEN_UP: Final = 10
"""Deliveries in a row that fail before a webhook is removed; how many is not documented."""
READ: Final = ("webhooks:read", "webhooks:full", "admin")
WRITE: Final = ("webhooks:full", "admin")
NOUNS: Final = {PERSONS: "person", ORGANIZATIONS: "organization", DEALS: "deal", NOTES: "note", USERS: "user"}
_ACTIONS: Final = {
    "created": "create",
    "updated": "change",
    "archived": "delete",
    "restored": "create",
    "purged": "delete",
}


class PipedriveHooks(AccountTeller):
    # three further tries, then it is passed over; what always fails is removed (provider-facts)
    habit = Habit(answer_seconds=10, tries=4)

    def __init__(self, crm: Crm, book: WebhookBook) -> None:
        super().__init__(book)
        self._crm = crm

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        noun, action = NOUNS[entry.object_type], _ACTIONS[entry.change]
        wanted = hook.shown["event_object"] in {"*", noun} and hook.shown["event_action"] in {"*", action}
        return [self._event(entry, hook, noun, action)] if wanted else []

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        event = events[0]
        return {**event, "meta": {**event["meta"], "attempt": attempt + 1}}

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        """Nothing is signed: the user and password that were chosen come back."""
        del body, at
        if not hook.shown["http_auth_user"]:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(hook.secret.encode()).decode()}"}

    def ended(self, hook: Webhook, *, taken: bool) -> None:
        super().ended(hook, taken=taken)
        if hook.failed >= GIVEN_UP:
            self._book.remove(hook.id)

    def _event(self, entry: LedgerEntry, hook: Webhook, noun: str, action: str) -> Body:
        now = self._shown(entry, entry.after)
        was = self._shown(entry, entry.before) if entry.before else {}
        gone = action == "delete"
        return {
            "data": None if gone else now,
            "previous": was
            if gone
            else {name: one for name, one in was.items() if now.get(name) != one} or None,
            "meta": {
                "action": action,
                "change_source": "app",
                "company_id": entry.account,
                "correlation_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{entry.account}/{entry.sequence}")),
                "entity": noun,
                "entity_id": entry.object_id,
                "host": "sandbox.pipedrive.com",
                "id": str(uuid.uuid4()),
                "is_bulk_edit": False,
                "permitted_user_ids": ["1"],
                "timestamp": entry.at.astimezone(UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z"),
                "type": "general",
                "user_id": "1",
                "version": "2.0",
                "webhook_id": hook.id,
                "webhook_owner_id": "1",
            },
        }

    def _shown(self, entry: LedgerEntry, item: Any) -> Body:
        return self._crm.render(entry.object_type, item)


def hook_routes(crm: Crm, door: Door, book: WebhookBook) -> list[HTTPRouteHandler]:
    @post("/v1/webhooks", status_code=201)
    async def create(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, WRITE, "write", 2)
        try:
            given = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            given = {}
        url = str(given.get("subscription_url") or "")
        problems: dict[str, list[str]] = {}
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            problems["subscription_url"] = ["invalid or non-reachable URL"]
        if given.get("event_action") not in {"create", "change", "delete", "*"}:
            problems["event_action"] = ["invalid value"]
        if given.get("event_object") not in {"*", "activity", "lead", "product", "stage", *NOUNS.values()}:
            problems["event_object"] = ["invalid value"]
        if not given.get("name"):
            problems["name"] = ["is required"]
        if len(book.of(grant.account)) >= MOST:
            problems["limit"] = [f"maximum of {MOST} webhooks is reached"]
        if problems:
            raise RefusedError(Reply(400, {"status": "error", "success": False, "errors": problems}))
        user, password = given.get("http_auth_user"), given.get("http_auth_password")
        made = Webhook(
            id=str(10**8 + secrets.randbelow(9 * 10**8)),
            account=grant.account,
            url=url,
            secret=f"{user or ''}:{password or ''}",
            shown={
                "event_action": given["event_action"],
                "event_object": given["event_object"],
                "version": str(given.get("version") or "2.0"),
                "http_auth_user": user,
                "name": str(given["name"]),
                "add_time": crm.now()
                .astimezone(UTC)
                .isoformat(timespec="milliseconds")
                .replace("+00:00", "Z"),
            },
        )
        book.add(made)
        return Response(
            {"status": "ok", "success": True, "data": _shown(made)}, status_code=201, headers=headers
        )

    @get("/v1/webhooks")
    async def list_webhooks(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, READ, "list", 2)
        data = [_shown(hook) for hook in book.of(grant.account)]
        return Response({"status": "ok", "success": True, "data": data}, headers=headers)

    @delete("/v1/webhooks/{webhook_id:str}", status_code=200)
    async def remove(request: AnyRequest, webhook_id: FromPath[str]) -> Response[Body]:
        grant, headers = door(request, WRITE, "delete", 2)
        if book.get(grant.account, webhook_id) is None:
            not_found("Webhook")
        book.remove(webhook_id)
        return Response({"status": "ok", "success": True}, headers=headers)

    return [create, list_webhooks, remove]


def _shown(hook: Webhook) -> Body:
    return {
        "id": int(hook.id),
        "company_id": int(hook.account),
        "owner_id": 1,
        "user_id": 1,
        "event_action": hook.shown["event_action"],
        "event_object": hook.shown["event_object"],
        "subscription_url": hook.url,
        "version": hook.shown["version"],
        "is_active": int(hook.active),
        "add_time": hook.shown["add_time"],
        "remove_time": None,
        "type": "general",
        "http_auth_user": hook.shown["http_auth_user"],
        "http_auth_password": None,
        "remove_reason": None,
        "last_delivery_time": None,
        "last_http_status": None,
        "admin_id": 1,
        "name": hook.shown["name"],
    }
