"""Freshdesk's error bodies. Sources: provider-facts, Freshdesk."""

from typing import NoReturn

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply


def validation(*errors: dict[str, object], status: int = 400) -> Reply:
    return Reply(status, {"description": "Validation failed", "errors": list(errors)})


def invalid(field: str, message: str, code: str = "invalid_value") -> NoReturn:
    raise RefusedError(validation({"field": field, "message": message, "code": code}))


def unexpected(field: str) -> NoReturn:
    invalid(field, "Unexpected/invalid field in request", "invalid_field")


def duplicate(field: str, own_id: int) -> NoReturn:
    error: dict[str, object] = {
        "field": field,
        "additional_info": {"user_id": own_id},
        "message": "It should be a unique value",
        "code": "duplicate_value",
    }
    raise RefusedError(validation(error, status=409))


def not_found() -> NoReturn:
    """With an empty body."""
    raise RefusedError(Reply(404, None))


def unauthorized() -> NoReturn:
    words = "You have to be logged in to perform this action."
    raise RefusedError(Reply(401, {"code": "invalid_credentials", "message": words}))


def rate_limited(seconds: int, headers: dict[str, str] | None = None) -> Reply:
    words = "You have exceeded the limit of requests per minute"
    return Reply(429, {"message": words}, {**(headers or {}), "Retry-After": str(seconds)})
