"""Object types, permissions and versions of the simulated Intercom workspaces."""

import re

from trunkline.sdk.simulator import ObjectType

CONTACTS, COMPANIES, CONVERSATIONS, TICKETS, ADMINS = (
    "contacts",
    "companies",
    "conversations",
    "tickets",
    "admins",
)
OBJECT_TYPES = (
    ObjectType(CONTACTS, "Contact", "Contacts"),
    ObjectType(COMPANIES, "Company", "Companies"),
    ObjectType(CONVERSATIONS, "Conversation", "Conversations"),
    ObjectType(TICKETS, "Ticket", "Tickets"),
    ObjectType(ADMINS, "Teammate", "Teammates"),
)
SCOPES = {
    "read_users_and_companies": "See your contacts and companies",
    "write_users_and_companies": "Create, change and remove contacts and companies",
    "read_conversations": "See your conversations",
    "write_conversations": "Answer, change and remove conversations",
    "read_tickets": "See your tickets",
    "write_tickets": "Create and change tickets",
    "read_admins": "See your teammates",
}
"""Ticked for the app in the Developer Hub, never in a URL; the names here are the simulator's own."""
READS = {
    CONTACTS: "read_users_and_companies",
    COMPANIES: "read_users_and_companies",
    CONVERSATIONS: "read_conversations",
    TICKETS: "read_tickets",
    ADMINS: "read_admins",
}
WRITES = {kind: scope.replace("read", "write", 1) for kind, scope in READS.items() if kind != ADMINS}

DEFAULT_VERSION = "2.14"
NEWEST_MINOR = 17
APP_HOSTS = {"US": "app.intercom.com", "EU": "app.eu.intercom.com", "AU": "app.au.intercom.com"}
HOSTS = {"US": "api.intercom.io", "EU": "api.eu.intercom.io", "AU": "api.au.intercom.io"}
_VERSION = re.compile(r"2\.([0-9]{1,2})")


def minor_of(version: str) -> int | None:
    """The n of 2.n; None of a version that does not exist."""
    if version in {"Unstable", "Preview"}:
        return NEWEST_MINOR
    found = _VERSION.fullmatch(version)
    return int(found[1]) if found and int(found[1]) <= NEWEST_MINOR else None
