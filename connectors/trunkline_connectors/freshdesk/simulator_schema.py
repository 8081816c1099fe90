"""What the simulated Freshdesk knows of its objects."""

from typing import Any

from trunkline.sdk.simulator import ObjectType

TICKETS, CONTACTS, COMPANIES, AGENTS, CONVERSATIONS = (
    "tickets", "contacts", "companies", "agents", "conversations",
)  # fmt: skip
OBJECT_TYPES = (
    ObjectType(TICKETS, "Ticket", "Tickets"),
    ObjectType(CONTACTS, "Contact", "Contacts"),
    ObjectType(COMPANIES, "Company", "Companies"),
    ObjectType(AGENTS, "Agent", "Agents"),
    ObjectType(CONVERSATIONS, "Conversation", "Conversations"),
)
SCOPES = {"account": "Everything that the person whose key it is may do"}
STATUSES = {2: "Open", 3: "Pending", 4: "Resolved", 5: "Closed"}
PRIORITIES = {1: "Low", 2: "Medium", 3: "High", 4: "Urgent"}
SOURCES = {1: "Email", 2: "Portal", 3: "Phone", 7: "Chat", 9: "Feedback Widget", 10: "Outbound Email"}
TYPES = ("Question", "Incident", "Problem", "Feature Request", "Refund")

WRITABLE: dict[str, dict[str, type | tuple[type, ...]]] = {
    TICKETS: {
        "subject": str,
        "description": str,
        "status": int,
        "priority": int,
        "source": int,
        "type": str,
        "requester_id": int,
        "responder_id": int,
        "company_id": int,
        "group_id": int,
        "due_by": str,
        "cc_emails": list,
        "tags": list,
        "custom_fields": dict,
        "email": str,
        "name": str,
    },
    CONTACTS: {
        "name": str,
        "email": str,
        "phone": str,
        "mobile": str,
        "company_id": int,
        "job_title": str,
        "language": str,
        "time_zone": str,
        "address": str,
        "description": str,
        "unique_external_id": str,
        "view_all_tickets": bool,
        "tags": list,
        "custom_fields": dict,
    },
    COMPANIES: {
        "name": str,
        "description": str,
        "note": str,
        "domains": list,
        "health_score": str,
        "account_tier": str,
        "renewal_date": str,
        "industry": str,
        "custom_fields": dict,
    },
}
CUSTOM = {TICKETS: {"cf_plan", "cf_region"}, CONTACTS: {"newsletter"}, COMPANIES: {"segment"}}
CHOICES: dict[str, tuple[object, ...]] = {
    "status": tuple(STATUSES),
    "priority": tuple(PRIORITIES),
    "source": tuple(SOURCES),
    "type": TYPES,
}


def fields_of(kind: str) -> list[dict[str, Any]]:
    """As `/ticket_fields`, `/contact_fields` and `/company_fields` list them."""
    names = [
        name for name in WRITABLE[kind] if name not in {"custom_fields", "email", "name"} or kind != TICKETS
    ]
    names.remove("custom_fields") if "custom_fields" in names else None
    made = [_field(n, name, name.replace("_", " ").capitalize(), True) for n, name in enumerate(names, 1)]
    for n, name in enumerate(sorted(CUSTOM[kind]), 500):
        label = name.removeprefix("cf_").capitalize()
        made.append(_field(n, name, label, False))
    return made


def _field(number: int, name: str, label: str, default: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": 70_000_000 + number,
        "name": name,
        "label": label,
        "position": number,
        "type": f"default_{name}" if default else "custom_text",
        "default": default,
        "customers_can_edit": True,
        "created_at": "2021-05-17T09:00:00Z",
        "updated_at": "2021-05-17T09:00:00Z",
    }
    if name == "status":
        made["choices"] = {str(value): [text, text] for value, text in STATUSES.items()}
    elif name in {"priority", "source"}:
        words = PRIORITIES if name == "priority" else SOURCES
        made["choices"] = {text: value for value, text in words.items()}
    elif name == "type":
        made["choices"] = list(TYPES)
    return made
