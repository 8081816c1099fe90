"""Salesforce's error bodies: a list for REST, an object for OAuth. Sources: provider-facts, Salesforce."""

from typing import NoReturn

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import Reply


def error(status: int, code: str, message: str, fields: tuple[str, ...] = ()) -> Reply:
    entry: dict[str, object] = {"message": message, "errorCode": code}
    if fields:
        entry["fields"] = list(fields)
    return Reply(status, [entry])


def refuse(status: int, code: str, message: str, fields: tuple[str, ...] = ()) -> NoReturn:
    raise RefusedError(error(status, code, message, fields))


def not_found(message: str = "The requested resource does not exist") -> NoReturn:
    refuse(404, "NOT_FOUND", message)


def malformed(message: str) -> NoReturn:
    refuse(400, "MALFORMED_QUERY", message)


def limit_exceeded() -> Reply:
    """403, not 429, and nothing says when."""
    return error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
