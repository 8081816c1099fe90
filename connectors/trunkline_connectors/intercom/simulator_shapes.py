"""A stored object as Intercom's API gives it. Names of things arrive HTML-escaped; times are Unix seconds."""

from html import escape
from typing import Any

from trunkline.sdk.simulator_ids import HEX, number_of, opaque
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.intercom.simulator_schema import COMPANIES, CONTACTS, CONVERSATIONS, TICKETS

Doc = dict[str, Any]
ID_SIZE = 24
PRIORITY_WORDS_FROM = 16
"""Minor version since which a conversation's priority is none, low, medium, high or urgent."""
_STATE_LABELS = {
    "submitted": ("Submitted", "1"),
    "in_progress": ("In progress", "2"),
    "waiting_on_customer": ("Waiting on you", "3"),
    "resolved": ("Resolved", "4"),
}
_UNKNOWN = (
    "signed_up_at", "last_seen_at", "last_replied_at", "last_contacted_at", "last_email_opened_at",
    "last_email_clicked_at", "language_override", "browser", "browser_version", "browser_language", "os",
    "android_app_name", "android_app_version", "android_device", "android_os_version", "android_sdk_version",
    "android_last_seen_at", "ios_app_name", "ios_app_version", "ios_device", "ios_os_version",
    "ios_sdk_version", "ios_last_seen_at", "utm_campaign", "utm_content", "utm_medium", "utm_source",
    "utm_term", "referrer", "enabled_push_messaging",
)  # fmt: skip


def public_id(kind: str, object_id: str) -> str:
    """Contacts and companies have hexadecimal ids, the others numbers."""
    return opaque(int(object_id), ID_SIZE, HEX) if kind in {CONTACTS, COMPANIES} else object_id


def own_id(kind: str, text: str) -> str:
    """Of what is no id of this kind: "0", which no object has."""
    if kind not in {CONTACTS, COMPANIES}:
        return text if text.isascii() and text.isdigit() else "0"
    number = number_of(text, ID_SIZE, HEX)
    return "0" if number is None else str(number)


def escaped(text: str | None) -> str | None:
    return text if text is None else escape(text, quote=False)


def reference(object_id: str | None) -> str | None:
    return None if object_id is None else public_id(CONTACTS, object_id)


class Shapes:
    """`people`: how many contacts a company has. `minor`: of the version 2.n that was asked for."""

    def __init__(self, workspace: str, people: dict[str, int], minor: int) -> None:
        self._workspace = workspace
        self._people = people
        self._minor = minor

    def document(self, kind: str, item: SimulatedObject, *, parts: bool = False) -> Doc:
        if kind == CONTACTS:
            return self._contact(item)
        if kind == COMPANIES:
            return self._company(item)
        if kind == CONVERSATIONS:
            return self._conversation(item, parts=parts)
        return self._ticket(item) if kind == TICKETS else self._admin(item)

    def _contact(self, item: SimulatedObject) -> Doc:
        values, own = item.values, public_id(CONTACTS, item.id)
        email = values.get("email")

        def addressed(name: str, data: list[Doc]) -> Doc:
            return {
                "type": "list",
                "data": data,
                "url": f"/contacts/{own}/{name}",
                "total_count": len(data),
                "has_more": False,
            }

        companies = [public_id(COMPANIES, number) for number in values.get("companies", ())]
        return {
            "type": "contact",
            "id": own,
            "workspace_id": self._workspace,
            "external_id": values.get("external_id"),
            "role": values.get("role", "user"),
            "email": email,
            "email_domain": email.rpartition("@")[2] if email else None,
            "phone": values.get("phone"),
            "name": escaped(values.get("name")),
            "avatar": None,
            "owner_id": values.get("owner"),
            "social_profiles": {"type": "list", "data": []},
            "has_hard_bounced": False,
            "marked_email_as_spam": False,
            "unsubscribed_from_emails": values.get("unsubscribed_from_emails", False),
            "created_at": int(item.created_at.timestamp()),
            "updated_at": int(item.updated_at.timestamp()),
            **dict.fromkeys(_UNKNOWN),
            "location": {
                "type": "location",
                "country": values.get("country"),
                "region": None,
                "city": values.get("city"),
                "country_code": None,
                "continent_code": None,
            },
            "custom_attributes": values.get("custom_attributes", {}),
            "tags": addressed("tags", []),
            "notes": addressed("notes", []),
            "companies": addressed(
                "companies", [{"type": "company", "id": one, "url": f"/companies/{one}"} for one in companies]
            ),
            "opted_out_subscription_types": addressed("subscriptions", []),
            "opted_in_subscription_types": addressed("subscriptions", []),
        }

    def _company(self, item: SimulatedObject) -> Doc:
        values = item.values
        made = int(item.created_at.timestamp())
        known = {
            name: values[name] for name in ("website", "industry", "size") if values.get(name) is not None
        }
        plan = values.get("plan")
        return {
            "type": "company",
            "company_id": values.get("company_id"),
            "id": public_id(COMPANIES, item.id),
            "app_id": self._workspace,
            "name": escaped(values.get("name")),
            "remote_created_at": made,
            "created_at": made,
            "updated_at": int(item.updated_at.timestamp()),
            "monthly_spend": values.get("monthly_spend", 0),
            "session_count": 0,
            "user_count": self._people.get(item.id, 0),
            "tags": {"type": "tag.list", "tags": []},
            "segments": {"type": "segment.list", "segments": []},
            "plan": {"type": "plan", "id": "1", "name": plan} if plan else {},
            "custom_attributes": values.get("custom_attributes", {}),
            **known,
        }

    def _conversation(self, item: SimulatedObject, *, parts: bool) -> Doc:
        values = item.values
        state = values.get("state", "open")
        contact = reference(values.get("contact"))
        admin = values.get("admin")
        words = ("none", "high") if self._minor >= PRIORITY_WORDS_FROM else ("not_priority", "priority")
        made = int(item.created_at.timestamp())
        held = values.get("parts", [])
        contacts = [{"type": "contact", "id": contact, "external_id": None}] if contact else []
        body: Doc = {
            "type": "conversation",
            "id": item.id,
            "created_at": made,
            "updated_at": int(item.updated_at.timestamp()),
            "waiting_since": None,
            "snoozed_until": None,
            "source": {
                "type": "conversation",
                "id": str(400_000_000 + int(item.id)),
                "delivered_as": "customer_initiated",
                "subject": values.get("subject", ""),
                "body": f"<p>{escape(values.get('body') or '', quote=False)}</p>",
                "author": {"type": "user", "id": contact, "name": None, "email": ""},
                "attachments": [],
                "url": None,
                "redacted": False,
            },
            "contacts": {"type": "contact.list", "contacts": contacts},
            "first_contact_reply": None,
            "admin_assignee_id": int(admin) if admin else None,
            "team_assignee_id": None,
            "open": state == "open",
            "state": state,
            "read": values.get("read", False),
            "tags": {"type": "tag.list", "tags": [_tag(name) for name in values.get("tags", ())]},
            "priority": words[bool(values.get("priority"))],
            "sla_applied": None,
            "statistics": {
                "type": "conversation_statistics",
                "time_to_assignment": None,
                "count_conversation_parts": len(held) + 1,
            },
            "conversation_rating": None,
            "teammates": {
                "type": "admin.list",
                "teammates": [{"type": "admin", "id": admin}] if admin else [],
            },
            "title": values.get("title"),
            "custom_attributes": values.get("custom_attributes", {}),
            "topics": {},
            "ticket": None,
            "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": False},
            "ai_agent": None,
            "ai_agent_participated": False,
        }
        if parts:
            body["conversation_parts"] = {
                "type": "conversation_part.list",
                "conversation_parts": [
                    _part(item, contact, place, part, made + 60 * (place + 1))
                    for place, part in enumerate(held)
                ],
                "total_count": len(held),
            }
        return body

    def _ticket(self, item: SimulatedObject) -> Doc:
        values = item.values
        contact = reference(values.get("contact"))
        state = values.get("state", "submitted")
        label, number = _STATE_LABELS[state]
        made = int(item.created_at.timestamp())
        return {
            "type": "ticket",
            "id": item.id,
            "ticket_id": str(values.get("number", item.id)),
            "category": "Customer",
            "ticket_attributes": {
                "_default_title_": values.get("title"),
                "_default_description_": values.get("description"),
                **values.get("ticket_attributes", {}),
            },
            "ticket_state": {
                "type": "ticket_state",
                "id": number,
                "category": state,
                "internal_label": label,
                "external_label": label,
            },
            "ticket_type": ticket_type(self._workspace),
            "contacts": {
                "type": "contact.list",
                "contacts": [{"type": "contact", "id": contact, "external_id": None}] if contact else [],
            },
            "admin_assignee_id": int(values.get("admin") or 0),
            "team_assignee_id": 0,
            "created_at": made,
            "updated_at": int(item.updated_at.timestamp()),
            "open": state != "resolved",
            "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": False},
            "ticket_parts": {"type": "ticket_part.list", "ticket_parts": [], "total_count": 0},
            "is_shared": True,
        }

    @staticmethod
    def _admin(item: SimulatedObject) -> Doc:
        values = item.values
        return {
            "type": "admin",
            "email": values.get("email"),
            "id": item.id,
            "name": escaped(values.get("name")),
            "job_title": values.get("job_title") or "",
            "away_mode_enabled": False,
            "away_mode_reassign": False,
            "has_inbox_seat": True,
            "team_ids": [],
        }


def _tag(name: str) -> Doc:
    number = sum(map(ord, name))
    return {"type": "tag", "id": str(number), "name": escaped(name), "applied_at": 0}


def _part(item: SimulatedObject, contact: str | None, place: int, part: Doc, at: int) -> Doc:
    by = part.get("by")
    return {
        "type": "conversation_part",
        "id": f"{item.id}{place:03}",
        "part_type": "note" if part.get("note") else "comment",
        "body": part.get("body"),
        "created_at": part.get("at", at),
        "updated_at": part.get("at", at),
        "notified_at": part.get("at", at),
        "assigned_to": None,
        "author": {
            "type": "admin" if by else "user",
            "id": by or contact,
            "name": None,
            "email": "",
        },
        "attachments": [],
        "external_id": None,
        "redacted": False,
    }


def ticket_type(workspace: str) -> Doc:
    return {
        "type": "ticket_type",
        "id": "1",
        "category": "Customer",
        "name": "Support request",
        "description": "",
        "icon": "🎟️",
        "workspace_id": workspace,
        "archived": False,
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_000,
        "is_internal": False,
        "ticket_type_attributes": {"type": "list", "data": []},
    }
