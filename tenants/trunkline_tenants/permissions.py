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
    "members.manage",
    "oauth_clients.manage",
    "console.view",
    "console.act",
    "api.use",
]

_OWN: frozenset[Action] = frozenset({"account.manage"})
_VIEW: frozenset[Action] = _OWN | {"portal.view"}
_MANAGE: frozenset[Action] = _VIEW | {"connections.manage", "recipes.manage", "runs.start"}

PERMISSIONS: dict[Role, frozenset[Action]] = {
    "viewer": _VIEW,
    "admin": _MANAGE,
    "owner": _MANAGE | {"members.manage", "oauth_clients.manage"},
    "support": _OWN | frozenset({"console.view"}),
    "staff_admin": _OWN | frozenset({"console.view", "console.act"}),
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
    "members.manage": "Only an owner may change who belongs to the organisation.",
    "oauth_clients.manage": "Only an owner may change through which app accounts are connected.",
    "console.view": "The console is for the operator's own staff.",
    "console.act": "Your role may look at the console but not act in it. Ask a staff administrator to do it.",
    "api.use": "This address is for the product's backend, with an API key.",
}


def can(principal: Principal | None, action: Action) -> bool:
    return principal is not None and action in PERMISSIONS[principal.role]
