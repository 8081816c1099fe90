"""What an API key may be allowed to do: the one table for routes, the console and the API's description."""

from typing import Any, Literal, get_args

Scope = Literal[
    "records:read",
    "feeds:write",
    "connections:read",
    "connections:write",
    "connect:write",
    "actions:write",
    "recipes:read",
    "recipes:write",
    "webhooks:read",
    "webhooks:write",
]

SCOPES: dict[Scope, str] = {
    "records:read": "Read records and the change log.",
    "feeds:write": "Keep named cursors in the change log: make, acknowledge and remove them.",
    "connections:read": "See connections and their runs.",
    "connections:write": "Start and control syncs, try records again, decide reviews, disconnect accounts.",
    "connect:write": "Let end users connect accounts, and confirm what they connected.",
    "actions:write": "Write to connected accounts: run actions, try failed ones again.",
    "recipes:read": "See connectors, models and recipes.",
    "recipes:write": "Declare models.",
    "webhooks:read": "See webhook endpoints and what was sent to them.",
    "webhooks:write": "Register and change webhook endpoints; have events sent again.",
}
"""In words, for whoever gives a key away. The order is that of every list."""

EVERY: tuple[Scope, ...] = get_args(Scope)


def needs(scope: Scope) -> dict[str, Any]:
    """For a handler of /v1: `@get("/x", **needs("records:read"))`. The guard refuses a handler without it."""
    return {"opt": {"scope": scope}, "security": [{"api_key": [scope]}]}
