"""Intercom's webhooks: one address of the app's for all workspaces (provider-facts, Intercom)."""

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from trunkline.sdk.simulator_hooks import Address, AppTeller, Habit, Webhook
from trunkline.sdk.simulator_store import LedgerEntry, SimulatedObject
from trunkline_connectors.intercom.simulator_desk import Desk
from trunkline_connectors.intercom.simulator_schema import COMPANIES, CONTACTS, CONVERSATIONS, TICKETS
from trunkline_connectors.intercom.simulator_shapes import Doc, Shapes, public_id

MINOR: Final = 14
"""Of the version 2.n that the app is set to."""
_STATES: Final = {"closed": "admin.closed", "open": "admin.opened", "snoozed": "admin.snoozed"}


class IntercomHooks(AppTeller):
    # an address is tried by HEAD when it is entered; a delivery comes once more (provider-facts)
    habit = Habit(answer_seconds=5, tries=2, head=True)

    def __init__(self, desk: Desk, secret: str, address: Address) -> None:
        super().__init__(secret, address)
        self._desk = desk

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        del hook
        return [self._notice(entry, topic, item) for topic, item in self._topics(entry)]

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        return events[0] | {"delivery_attempts": attempt + 1}

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        """Written from the vendor's description, not by our own templates: each is judged by the other."""
        del at
        digest = hmac.new(hook.secret.encode(), body, hashlib.sha1).hexdigest()
        return {"X-Hub-Signature": f"sha1={digest}"}

    def _topics(self, entry: LedgerEntry) -> list[tuple[str, Doc]]:
        kind, change, item = entry.object_type, entry.change, entry.after
        if kind == CONTACTS:
            return self._contact(entry)
        if kind == COMPANIES:
            if change in {"archived", "purged"}:
                return [("company.deleted", {"type": "company", "id": public_id(COMPANIES, item.id)})]
            name = "company.created" if change in {"created", "restored"} else "company.updated"
            return [(name, self._shown(entry.account, kind, item))]
        if kind == CONVERSATIONS:
            return self._conversation(entry)
        if kind == TICKETS and change in {"created", "updated"}:
            before = entry.before.values if entry.before else {}
            moved = before.get("state") != item.values.get("state")
            name = "created" if change == "created" else "state.updated" if moved else "attribute.updated"
            return [(f"ticket.{name}", self._shown(entry.account, kind, item))]
        return []

    def _contact(self, entry: LedgerEntry) -> list[tuple[str, Doc]]:
        change, item, account = entry.change, entry.after, entry.account
        into = item.values.get("merged_into")
        if into:
            if change != "updated":
                return []
            return [
                (
                    "contact.merged",
                    self._shown(account, CONTACTS, self._desk.store.get(account, CONTACTS, into)),
                )
            ]
        if change == "purged":
            gone = {
                "id": public_id(CONTACTS, item.id),
                "external_id": item.values.get("external_id"),
                "type": "contact",
                "deleted": True,
            }
            return [("contact.deleted", gone)]
        role = item.values.get("role", "user")
        name = {"archived": "archived", "restored": "unarchived"}.get(change, f"{role}.{change}")
        return [(f"contact.{name}", self._shown(account, CONTACTS, item))]

    def _conversation(self, entry: LedgerEntry) -> list[tuple[str, Doc]]:
        item, before = entry.after, entry.before.values if entry.before else {}
        if entry.change in {"archived", "purged"}:
            return [("conversation.deleted", {"type": "conversation", "conversation_id": item.id})]
        if entry.change != "updated":
            return [("conversation.user.created", self._shown(entry.account, CONVERSATIONS, item))]
        names = []
        if before.get("state") != item.values.get("state"):
            names.append(_STATES.get(str(item.values.get("state")), "admin.opened"))
        if before.get("admin") != item.values.get("admin"):
            names.append("admin.assigned")
        if before.get("priority") != item.values.get("priority"):
            names.append("priority.updated")
        return [(f"conversation.{name}", self._shown(entry.account, CONVERSATIONS, item)) for name in names]

    def _shown(self, account: str, kind: str, item: SimulatedObject) -> Doc:
        """In a notification, times of contacts and companies are text."""
        people: dict[str, int] = {}
        for contact in self._desk.store.walk(account, CONTACTS) if kind == COMPANIES else ():
            for company in contact.values.get("companies", ()):
                people[company] = people.get(company, 0) + 1
        document = Shapes(account, people, MINOR).document(kind, item)
        if kind in {CONTACTS, COMPANIES}:
            for name in ("created_at", "updated_at"):
                moment = datetime.fromtimestamp(document[name], UTC)
                document[name] = moment.isoformat(timespec="milliseconds")
        return document

    @staticmethod
    def _notice(entry: LedgerEntry, topic: str, item: Doc) -> Doc:
        moment = int(entry.at.timestamp())
        return {
            "type": "notification_event",
            "app_id": entry.account,
            "data": {"type": "notification_event_data", "item": item},
            "links": {},
            "id": f"notif_{uuid.uuid4()}",
            "topic": topic,
            "delivery_status": "pending",
            "delivery_attempts": 1,
            "delivered_at": 0,
            "first_sent_at": moment,
            "created_at": moment,
            "self": None,
        }
