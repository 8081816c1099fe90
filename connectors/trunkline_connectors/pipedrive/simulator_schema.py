"""What the simulated Pipedrive knows of its objects: fields, their types, and who may read and write."""

from typing import Any

from trunkline.sdk.simulator import ObjectType

PERSONS, ORGANIZATIONS, DEALS, USERS, NOTES = "persons", "organizations", "deals", "users", "notes"
OBJECT_TYPES = (
    ObjectType(PERSONS, "Person", "Persons"),
    ObjectType(ORGANIZATIONS, "Organization", "Organizations"),
    ObjectType(DEALS, "Deal", "Deals"),
    ObjectType(USERS, "User", "Users"),
    ObjectType(NOTES, "Note", "Notes"),
)
SCOPES = {
    "base": "See who you are and which company this is",
    "deals:read": "Read deals, stages and pipelines",
    "deals:full": "Read and change deals",
    "contacts:read": "Read persons and organizations",
    "contacts:full": "Read and change persons and organizations",
    "users:read": "Read who works in this company",
    "search:read": "Search everything",
    "webhooks:read": "See webhooks",
    "webhooks:full": "See, make and remove webhooks",
}
APP_SCOPES = ("base", "deals:full", "contacts:full", "users:read", "search:read", "webhooks:full")
"""Pipedrive's scopes are ticked in the app's registration, not asked for in the address."""

READ = {
    PERSONS: ("contacts:read", "contacts:full"),
    ORGANIZATIONS: ("contacts:read", "contacts:full"),
    DEALS: ("deals:read", "deals:full"),
    NOTES: ("deals:read", "deals:full", "contacts:read", "contacts:full"),
    USERS: ("users:read",),
}
WRITE = {
    PERSONS: ("contacts:full",),
    ORGANIZATIONS: ("contacts:full",),
    DEALS: ("deals:full",),
    NOTES: ("deals:full", "contacts:full"),
}

# 40 hexadecimal digits, as Pipedrive names every field that an account made for itself
SEGMENT = "9d5f1c0be7a34628b1c7de0f42a86b7be3a1c905"
LAST_CALL = "c3f0a97d12b84e56a0d9e7b3418c26f5d07e9b12"
TIER = "7b61e2d4f8094ac3b5271f6e08d3c9a4e5b0f713"
CUSTOM: dict[str, dict[str, tuple[str, str, tuple[str, ...]]]] = {
    PERSONS: {LAST_CALL: ("Last call", "date", ()), SEGMENT: ("Segment", "enum", ("Small", "Mid", "Large"))},
    ORGANIZATIONS: {TIER: ("Account tier", "enum", ("Gold", "Silver", "Bronze"))},
    DEALS: {SEGMENT: ("Segment", "enum", ("Small", "Mid", "Large"))},
}
"""Object type -> key of an own field -> (name, type, labels of the options); option ids count from 1."""

PIPELINES = {1: "Sales", 2: "Renewals"}
STAGES = {
    1: (1, "Qualified", 20),
    2: (1, "Demo scheduled", 40),
    3: (1, "Proposal made", 60),
    4: (1, "Negotiations started", 80),
    5: (2, "Up for renewal", 70),
    6: (2, "Contract sent", 90),
}
"""Id -> (pipeline, name, probability)."""

Kinds = type | tuple[type, ...]
WRITABLE: dict[str, dict[str, Kinds]] = {
    PERSONS: {
        "name": str,
        "owner_id": int,
        "org_id": int,
        "emails": list,
        "phones": list,
        "visible_to": int,
        "label_ids": list,
        "job_title": str,
        "notes": str,
        "birthday": str,
        "custom_fields": dict,
    },
    ORGANIZATIONS: {
        "name": str,
        "owner_id": int,
        "visible_to": int,
        "label_ids": list,
        "address": dict,
        "website": str,
        "linkedin": str,
        "industry": int,
        "annual_revenue": int,
        "employee_count": int,
        "custom_fields": dict,
    },
    DEALS: {
        "title": str,
        "owner_id": int,
        "person_id": int,
        "org_id": int,
        "pipeline_id": int,
        "stage_id": int,
        "value": (int, float),
        "currency": str,
        "status": str,
        "is_archived": bool,
        "probability": (int, float),
        "lost_reason": str,
        "visible_to": int,
        "expected_close_date": str,
        "label_ids": list,
        "custom_fields": dict,
    },
    NOTES: {"content": str, "deal_id": int, "person_id": int, "org_id": int, "user_id": int},
}
REQUIRED = {PERSONS: "name", ORGANIZATIONS: "name", DEALS: "title", NOTES: "content"}

_TYPES: dict[Kinds, str] = {
    int: "int", str: "varchar", bool: "boolean", list: "set", dict: "address", (int, float): "double",
}  # fmt: skip
_NAMED = {
    "emails": "varchar", "phones": "phone", "status": "status", "stage_id": "stage", "owner_id": "user",
    "org_id": "org", "person_id": "people", "value": "monetary", "visible_to": "visible_to",
    "expected_close_date": "date", "birthday": "date", "notes": "text",
}  # fmt: skip
_SYSTEM = {"id": "int", "add_time": "date", "update_time": "date"}


def describe(kind: str) -> list[dict[str, Any]]:
    """The fields of an object type, as `/{type}Fields` of v2 lists them."""
    built_in = {**_SYSTEM, **{n: _NAMED.get(n, _TYPES[t]) for n, t in WRITABLE[kind].items()}}
    del built_in["custom_fields"]
    fields = [
        _field(name, name.removesuffix("_id").replace("_", " ").capitalize(), type_, _options(name), False)
        for name, type_ in built_in.items()
    ]
    for key, (name, type_, labels) in CUSTOM[kind].items():
        options = [{"id": n, "label": label, "color": None} for n, label in enumerate(labels, 1)]
        fields.append(_field(key, name, type_, options or None, True))
    return fields


def _options(name: str) -> list[dict[str, Any]] | None:
    if name == "status":
        return [{"id": value, "label": value.capitalize()} for value in ("open", "won", "lost")]
    if name == "stage_id":
        return [{"id": number, "label": stage} for number, (_, stage, _) in STAGES.items()]
    return None


def _field(
    code: str, name: str, type_: str, options: list[dict[str, Any]] | None, custom: bool
) -> dict[str, Any]:
    return {
        "field_name": name,
        "field_code": code,
        "description": "",
        "field_type": type_,
        "options": options,
        "subfields": None,
        "is_custom_field": custom,
        "is_optional_response_field": False,
    }
