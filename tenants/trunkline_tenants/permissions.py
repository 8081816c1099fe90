"""Which role may do what: the one table that guards and templates ask."""

from typing import Literal, get_args

from trunkline.kernel.principal import Principal, Role

MemberRole = Literal["owner", "admin", "viewer"]
StaffRole = Literal["support", "admin"]

Action = Literal[
    "account.manage",
    "portal.view",
    "connections.manage",
    "recipes.manage",
    "runs.start",
    "reviews.decide",
    "members.manage",
    "oauth_clients.manage",
    "webhooks.manage",
    "audit.export",
    "console.view",
    "console.act",
    "console.people",
    "packages.manage",
    "replays.request",
    "api.use",
]

_OWN: frozenset[Action] = frozenset({"account.manage"})
_VIEW: frozenset[Action] = _OWN | {"portal.view"}
_MANAGE: frozenset[Action] = _VIEW | {
    "connections.manage",
    "recipes.manage",
    "runs.start",
    "reviews.decide",
    "webhooks.manage",
    "audit.export",
}
_SUPPORT: frozenset[Action] = _OWN | {"console.view", "replays.request"}

PERMISSIONS: dict[Role, frozenset[Action]] = {
    "viewer": _VIEW,
    "admin": _MANAGE,
    "owner": _MANAGE | {"members.manage", "oauth_clients.manage"},
    "support": _SUPPORT,
    "staff_admin": _SUPPORT | {"console.act", "console.people", "packages.manage"},
    "product": frozenset({"api.use"}),
    "end_user": frozenset(),
    "system": frozenset(get_args(Action)),
}

SENTENCES: dict[Action, str] = {
    "account.manage": "Only a person has an account of their own. Sign in first.",
    "portal.view": "Only members of the organisation see its connections.",
    "connections.manage": (
        "Your role may look at connections but not change them. Ask an owner or administrator to do it."
    ),
    "recipes.manage": "Your role may look at recipes but not change them. Ask an owner or administrator.",
    "runs.start": "Your role may look at syncs but not start or stop them. Ask an owner or administrator.",
    "reviews.decide": "Your role may look at reviews but not decide them. Ask an owner or administrator.",
    "members.manage": "Only an owner may change who belongs to the organisation.",
    "oauth_clients.manage": "Only an owner may change through which app accounts are connected.",
    "webhooks.manage": "Webhooks are for those who build on them. Ask an owner or administrator.",
    "audit.export": "Your role may read the activity but not download it. Ask an owner or administrator.",
    "console.view": "The console is for the operator's own staff.",
    "console.act": "Your role may look at the console but not act in it. Ask a staff administrator to do it.",
    "console.people": "Who did what, by name, is for staff administrators only.",
    "packages.manage": "Only a staff administrator may take in, approve or withdraw a partner's connector.",
    "replays.request": "Only the operator's staff may ask for a replay.",
    "api.use": "This address is for the product's backend, with an API key.",
}

WORDS: dict[Action, str] = {
    "account.manage": "See and end one's own sessions; change one's own password and second factor; sign out",
    "portal.view": "See the organisation's connections, recipes, runs, records, issues and activity",
    "connections.manage": "Connect, rename, pause, resume, reconnect and disconnect accounts",
    "recipes.manage": "Make, change, switch off, restore and remove recipes; accept changed fields",
    "runs.start": (
        "Start a sync or a full re-read; pause, resume, cancel a run; try set-aside records and failed "
        "writes again"
    ),
    "reviews.decide": (
        "Decide whether many vanished records are deleted or kept, and what became of a write whose "
        "answer was lost"
    ),
    "members.manage": "Say who belongs to the organisation, and in which role",
    "oauth_clients.manage": "Connect through the organisation's own app at a provider",
    "webhooks.manage": "Register webhook endpoints, see what was sent to them, have it sent again",
    "audit.export": "Download the organisation's activity; see the addresses from which members acted",
    "console.view": "See every tenant's health, issues, runs and pending work; no record, no personal data",
    "console.act": (
        "Make and revoke API keys; register our apps at providers; start a tenant's sync, with a reason"
    ),
    "console.people": "See personal data in the console: who did what, by name; download audit logs",
    "packages.manage": "Take in partners' connectors, approve them for tenants, withdraw and restore them",
    "replays.request": "Ask for a replay of what a tenant received, with a reason",
    "api.use": "Call the API, within the scopes of the key",
}
"""What each lets one do; rendered into docs/roles.md."""

PEOPLE: dict[Role, str] = {
    "owner": "Owner",
    "admin": "Administrator",
    "viewer": "Viewer",
    "support": "Support",
    "staff_admin": "Staff administrator",
    "product": "API key",
    "end_user": "End user",
}
"""Everybody from outside, in the order of that table; the system itself may do everything."""


def can(principal: Principal | None, action: Action) -> bool:
    return principal is not None and action in PERMISSIONS[principal.role]
