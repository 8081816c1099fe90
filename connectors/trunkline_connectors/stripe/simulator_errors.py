"""Stripe's error bodies. Sources: provider-facts, Stripe; statuses and some codes are not confirmed."""

from typing import NoReturn

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply

REQUEST = "invalid_request_error"


def error(status: int, message: str, *, kind: str = REQUEST, **more: object) -> Reply:
    body: dict[str, object] = {**more, "message": message, "type": kind}
    return Reply(status, {"error": body})


def refuse(status: int, message: str, *, kind: str = REQUEST, **more: object) -> NoReturn:
    raise RefusedError(error(status, message, kind=kind, **more))


def missing(noun: str, object_id: str) -> NoReturn:
    refuse(404, f"No such {noun}: '{object_id[:100]}'", code="resource_missing", param="id")


def invalid(message: str, param: str, code: str | None = None) -> NoReturn:
    if code:
        refuse(400, message, param=param, code=code)
    refuse(400, message, param=param)


def unknown_parameter(name: str) -> NoReturn:
    invalid(f"Received unknown parameter: {name[:100]}", name[:100], "parameter_unknown")


def no_key() -> NoReturn:
    refuse(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using "
        "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
    )


def bad_key(key: str) -> NoReturn:
    """401 has no code; of the key only its ends are shown."""
    shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 20 else "*" * len(key)
    refuse(401, f"Invalid API Key provided: {shown}")


def no_access(account: str) -> NoReturn:
    refuse(
        403,
        f"The provided key does not have access to account '{account[:50]}' (or that account does not "
        "exist). Application access may have been revoked.",
        code="account_invalid",
    )


def not_permitted(permission: str, account: str) -> NoReturn:
    refuse(
        403,
        f"The provided key does not have the required permissions for this endpoint on account '{account}'. "
        f"Having the '{permission}' permission would allow this request to continue.",
        code="more_permissions_required_for_application",
    )


def rate_limited(reason: str = "global-rate") -> Reply:
    body = error(
        429,
        "Request rate limit exceeded. Learn more about rate limits in the documentation.",
        code="rate_limit",
    )
    return Reply(429, body.body, {"Stripe-Rate-Limited-Reason": reason})
