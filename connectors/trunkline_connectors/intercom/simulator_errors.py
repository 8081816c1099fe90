"""Error bodies of Intercom, always an error.list. Sources: provider-facts; some codes are not confirmed."""

from typing import NoReturn
from uuid import uuid4

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply


def error(status: int, code: str, message: str, field: str = "", **headers: str) -> Reply:
    entry = {"code": code, "message": message, **({"field": field} if field else {})}
    body = {"type": "error.list", "request_id": str(uuid4()), "errors": [entry]}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def refuse(status: int, code: str, message: str, field: str = "") -> NoReturn:
    raise RefusedError(error(status, code, message, field))


def invalid(message: str, field: str = "") -> NoReturn:
    refuse(400, "parameter_invalid", message, field)


def unprocessable(message: str, field: str = "") -> NoReturn:
    refuse(422, "parameter_invalid", message, field)


def rate_limited(limit: int, headers: dict[str, str] | None = None) -> Reply:
    """429 without Retry-After: `X-RateLimit-Reset` says when."""
    reply = error(429, "rate_limit_exceeded", f"Exceeded rate limit of {limit} in 10_seconds")
    return Reply(429, reply.body, headers or {})
