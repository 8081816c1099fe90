"""What the simulated Zendesk knows of its objects, and who may read and write them."""

from typing import Any

from trunkline.sdk.simulator import ObjectType

TICKETS, USERS, ORGANIZATIONS, COMMENTS = "tickets", "users", "organizations", "comments"
OBJECT_TYPES = (
    ObjectType(TICKETS, "Ticket", "Tickets"),
    ObjectType(USERS, "User", "Users"),
    ObjectType(ORGANIZATIONS, "Organization", "Organizations"),
    ObjectType(COMMENTS, "Comment", "Comments"),
)
SINGULAR = {TICKETS: "ticket", USERS: "user", ORGANIZATIONS: "organization"}
SCOPES = {
    "read": "Read everything",
    "write": "Change everything",
    "tickets:read": "Read tickets and their comments",
    "tickets:write": "Change tickets",
    "users:read": "Read users",
    "users:write": "Change users",
    "organizations:read": "Read organizations",
    "organizations:write": "Change organizations",
    "webhooks:read": "See webhooks",
    "webhooks:write": "Make and remove webhooks",
}
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("urgent", "high", "normal", "low")
TYPES = ("problem", "incident", "question", "task")
ROLES = ("end-user", "agent", "admin")
GROUPS = {360_001: "Support", 360_002: "Billing"}

PLAN, REGION = 27_642_001, 27_642_002
TICKET_FIELDS: dict[int, tuple[str, str, tuple[str, ...]]] = {
    PLAN: ("Plan", "tagger", ("free", "team", "enterprise")),
    REGION: ("Region", "text", ()),
}
"""Id -> (title, type, values of the options)."""

WRITABLE: dict[str, dict[str, type | tuple[type, ...]]] = {
    TICKETS: {
        "subject": str,
        "status": str,
        "priority": str,
        "type": str,
        "requester_id": int,
        "submitter_id": int,
        "assignee_id": int,
        "organization_id": int,
        "group_id": int,
        "tags": list,
        "external_id": str,
        "due_at": str,
        "custom_fields": list,
    },
    USERS: {
        "name": str,
        "email": str,
        "phone": str,
        "role": str,
        "organization_id": int,
        "external_id": str,
        "notes": str,
        "details": str,
        "tags": list,
        "suspended": bool,
        "user_fields": dict,
    },
    ORGANIZATIONS: {
        "name": str,
        "domain_names": list,
        "external_id": str,
        "notes": str,
        "details": str,
        "tags": list,
        "organization_fields": dict,
    },
}
IGNORED = frozenset(
    {
        "id",
        "url",
        "created_at",
        "updated_at",
        "comment",
        "description",
        "raw_subject",
        "via",
        "active",
        "verified",
    }
)
"""Members of what is read that may come back in a write, and change nothing."""

_MADE = "2021-05-17T09:00:00Z"
_SYSTEM_FIELDS = {
    "subject": "Subject",
    "description": "Description",
    "status": "Status",
    "priority": "Priority",
}


def ticket_fields(origin: str) -> list[dict[str, Any]]:
    """As `/api/v2/ticket_fields` lists them."""
    made = [
        _field(origin, number, title, name, ())
        for number, (name, title) in enumerate(_SYSTEM_FIELDS.items(), 34)
    ]
    return [*made, *(_field(origin, number, *given) for number, given in TICKET_FIELDS.items())]


def _field(origin: str, number: int, title: str, kind: str, options: tuple[str, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": number,
        "url": f"{origin}/api/v2/ticket_fields/{number}.json",
        "title": title,
        "raw_title": title,
        "title_in_portal": title,
        "raw_title_in_portal": title,
        "description": "",
        "raw_description": "",
        "type": kind,
        "active": True,
        "required": False,
        "required_in_portal": False,
        "visible_in_portal": True,
        "editable_in_portal": True,
        "collapsed_for_agents": False,
        "position": number,
        "regexp_for_validation": None,
        "tag": None,
        "removable": number >= PLAN,
        "agent_description": None,
        "created_at": _MADE,
        "updated_at": _MADE,
    }
    if options:
        made["custom_field_options"] = [
            {
                "id": number * 10 + n,
                "name": value.capitalize(),
                "raw_name": value.capitalize(),
                "value": value,
            }
            for n, value in enumerate(options)
        ]
    return made
