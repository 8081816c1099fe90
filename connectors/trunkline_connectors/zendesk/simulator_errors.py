"""Zendesk's error bodies. Sources: provider-facts, Zendesk."""

from typing import NoReturn

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply


def error(status: int, name: str, description: str, **more: object) -> Reply:
    return Reply(status, {"error": name, "description": description, **more})


def not_found() -> NoReturn:
    raise RefusedError(error(404, "RecordNotFound", "Not found"))


def invalid(description: str) -> NoReturn:
    raise RefusedError(error(400, "InvalidValue", description))


def invalid_record(field: str, description: str, code: str = "InvalidValue") -> NoReturn:
    details = {field: [{"description": description, "error": code}]}
    raise RefusedError(error(422, "RecordInvalid", "Record validation errors", details=details))


def too_many_results() -> NoReturn:
    words = "Invalid search: Requested response size was greater than Search Response Limits"
    raise RefusedError(error(422, "invalid", words))


def unauthorized(*, token: bool) -> NoReturn:
    """`token`: whether a bearer token was sent, which is answered in OAuth's words."""
    if not token:
        raise RefusedError(Reply(401, {"error": "Couldn't authenticate you"}))
    words = "The access token provided is expired, revoked, malformed or invalid for other reasons."
    raise RefusedError(Reply(401, {"error": "invalid_token", "error_description": words}))


def forbidden() -> NoReturn:
    words = "You do not have access to this page. Please contact the account owner of this help desk."
    raise RefusedError(Reply(403, {"error": {"title": "Forbidden", "message": words}}))


def rate_limited(seconds: int, headers: dict[str, str] | None = None) -> Reply:
    """Plain text, not JSON."""
    words = "Number of allowed API requests per minute exceeded"
    return Reply(429, words, {**(headers or {}), "Retry-After": str(seconds)})
