"""HubSpot's error bodies, each with a fresh correlationId. Sources: provider-facts, HubSpot."""

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn
from uuid import uuid4

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import iso
from trunkline.sdk.simulator_gate import Reply


def error(
    status: int,
    category: str,
    message: str,
    **more: object,
) -> Reply:
    body: dict[str, object] = {
        "status": "error",
        "message": message,
        "correlationId": str(uuid4()),
        "category": category,
        **more,
    }
    return Reply(status, body)


def refuse(status: int, category: str, message: str, **more: object) -> NoReturn:
    raise RefusedError(error(status, category, message, **more))


def not_found(message: str = "resource not found") -> NoReturn:
    refuse(404, "OBJECT_NOT_FOUND", message)


def invalid(message: str, code: str = "INVALID", field: str = "") -> NoReturn:
    """400 with the error pointing to a field where there is one."""
    detail: dict[str, object] = {"message": message, "code": code}
    if field:
        detail["in"] = field
    refuse(400, "VALIDATION_ERROR", message, errors=[detail])


def invalid_token() -> NoReturn:
    refuse(
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication.",
    )


def expired_token(at: datetime, now: datetime) -> NoReturn:
    ago = max(0, int((now - at).total_seconds()))
    refuse(
        401,
        "EXPIRED_AUTHENTICATION",
        f"The OAuth token used to make this call expired {ago} second(s) ago.",
        context={"expire time": [iso(at)]},
    )


def missing_scopes(scopes: Sequence[str]) -> NoReturn:
    refuse(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call.",
        context={"missingScopes": list(scopes)},
        errors=[
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": list(scopes)},
            }
        ],
    )


def rate_limited(policy: str, headers: dict[str, str] | None = None) -> Reply:
    """429; `policy` is TEN_SECONDLY_ROLLING, SECONDLY or DAILY. No Retry-After: it is not dependable."""
    return Reply(
        429,
        {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid4()),
            "policyName": policy,
            "groupName": "publicapi:crm:oauth",
        },
        headers or {},
    )
