"""What an API key may be allowed to do: the one table for routes, the console and the API's description."""

from typing import Any, Literal, get_args

Scope = Literal[
    "records:read",
    "connections:read",
    "connections:write",
    "connect:write",
    "recipes:read",
    "recipes:write",
]

SCOPES: dict[Scope, str] = {
    "records:read": "Read records and the change log.",
    "connections:read": "See connections and their runs.",
    "connections:write": "Start syncs and disconnect accounts.",
    "connect:write": "Let end users connect accounts, and confirm what they connected.",
    "recipes:read": "See connectors, models and recipes.",
    "recipes:write": "Declare models.",
}
"""In words, for whoever gives a key away. The order is that of every list."""

EVERY: tuple[Scope, ...] = get_args(Scope)


def needs(scope: Scope) -> dict[str, Any]:
    """For a handler of /v1: `@get("/x", **needs("records:read"))`. The guard refuses a handler without it."""
    return {"opt": {"scope": scope}, "security": [{"api_key": [scope]}]}
