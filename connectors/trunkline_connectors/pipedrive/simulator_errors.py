"""Pipedrive's error bodies. Sources: provider-facts, Pipedrive."""

from typing import NoReturn

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply


def error(status: int, message: str, info: str = "", **more: object) -> Reply:
    body: dict[str, object] = {
        "success": False,
        "error": message,
        "error_info": info,
        "data": None,
        "additional_data": None,
        **more,
    }
    return Reply(status, body)


def refuse(status: int, message: str, info: str = "", **more: object) -> NoReturn:
    raise RefusedError(error(status, message, info, **more))


def invalid(message: str) -> NoReturn:
    refuse(400, message, "Please check the developers documentation.", code="ERR_SCHEMA_VALIDATION_FAILED")


def not_found(noun: str = "Entity") -> NoReturn:
    refuse(404, f"{noun} not found", code="ERR_NOT_FOUND")


def unauthorized() -> NoReturn:
    raise RefusedError(Reply(401, {"success": False, "error": "unauthorized access", "errorCode": 401}))


def missing_scope() -> NoReturn:
    raise RefusedError(Reply(403, {"success": False, "error": "Scope and URL mismatch", "errorCode": 403}))


def rate_limited(headers: dict[str, str] | None = None) -> Reply:
    """Of the burst window, and of the day's budget too: only the headers tell them apart."""
    body = {"success": False, "error": "request over limit", "errorCode": 429}
    return Reply(429, body, headers or {})
