"""From an answer or an error to a failure code."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx2
import msgspec
import sqlalchemy.exc

from trunkline.kernel.strictjson import JSONLimitError, decode
from trunkline.sdk.manifest import FailureRule, Manifest, point
from trunkline.sdk.pointers import equal

MAX_ERROR_BODY = 1 << 20
"""Bytes of an error answer that are looked into; more than any provider's error needs."""

_STATUS = {
    401: "token_rejected",
    402: "forbidden",
    403: "forbidden",
    404: "not_found",
    408: "provider_timeout",
    410: "not_found",
    429: "rate_limited",
}

# the first that fits; subclasses before their bases
_ERRORS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((httpx2.ConnectTimeout, httpx2.ConnectError, httpx2.ProxyError), "provider_unreachable"),
    (httpx2.TimeoutException, "provider_timeout"),
    ((httpx2.UnsupportedProtocol, httpx2.InvalidURL), "egress_refused"),
    ((httpx2.ProtocolError, httpx2.DecodingError, httpx2.TooManyRedirects), "malformed_answer"),
    (httpx2.TransportError, "provider_unreachable"),
    ((msgspec.DecodeError, JSONLimitError), "malformed_answer"),
    (
        (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InterfaceError,
            sqlalchemy.exc.TimeoutError,
            # a failed connect is not wrapped by SQLAlchemy
            asyncpg.PostgresConnectionError,
            asyncpg.CannotConnectNowError,
            asyncpg.TooManyConnectionsError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # it broke off between two steps of asyncpg's own
            # the provider's are wrapped by httpx2
            ConnectionError,
            TimeoutError,
        ),
        "database_unavailable",
    ),
)

_AWAY_STATES = ("08", "25P03", "40", "53", "55P03", "57", "58")
"""SQLSTATEs, or their classes, of a database that is away, starting, full, overloaded or in its own way: a
later try may pass. SQLAlchemy gives most of them no class of their own.
"""


SUCCESS = "success"
"""What a manifest's rule calls an answer that is none of its status' failures."""


def classify_code(
    manifest: Manifest | None,
    status: int | None,
    body: bytes | None,
    error: BaseException | None,
    headers: Mapping[str, str] | None = None,
) -> str:
    if status is not None:
        return _of_manifest(manifest, status, body, headers) or _of_status(status)
    if error is not None:
        return _of_error(error)
    return "unclassified"


def is_success(manifest: Manifest, status: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the manifest says so of an answer whose status does not."""
    return (
        any(rule.failure == SUCCESS for rule in manifest.failures)
        and _of_manifest(manifest, status, body, headers) == SUCCESS
    )


def _of_manifest(
    manifest: Manifest | None, status: int, body: bytes | None, headers: Mapping[str, str] | None
) -> str | None:
    if manifest is None or not manifest.failures:
        return None
    document: Any = None
    small = body if body and len(body) <= MAX_ERROR_BODY else b""
    if small and any(rule.equals for rule in manifest.failures):
        try:
            document = decode(small, nul="replace", long_integers="text")
        except JSONLimitError:
            document = None
    return next(
        (rule.failure for rule in manifest.failures if _fits(rule, status, document, headers or {}, small)),
        None,
    )


def sign_in_success(
    manifest: Manifest, status: int, document: Any, headers: Mapping[str, str] | None = None
) -> str | None:
    """A manifest's sign in the decoded body of a success: the provider says in it that it failed."""
    return next(
        (
            rule.failure
            for rule in manifest.failures
            if rule.equals and rule.failure != SUCCESS and _fits(rule, status, document, headers or {}, b"")
        ),
        None,
    )


def _fits(rule: FailureRule, status: int, document: Any, headers: Mapping[str, str], body: bytes) -> bool:
    if rule.status is not None and rule.status != status:
        return False
    if rule.status is None and not rule.signed:
        return False  # a rule without a sign would swallow everything
    if rule.text is not None and rule.text.encode() not in body:
        return False
    return all(equal(point(document, pointer), value) for pointer, value in rule.equals.items()) and all(
        equal(headers.get(name.lower()), value) for name, value in rule.headers.items()
    )


def _of_status(status: int) -> str:
    if status in _STATUS:
        return _STATUS[status]
    if 200 <= status < 400:  # an error in the clothes of a success, or a redirect, which is never followed
        return "malformed_answer"
    if 400 <= status < 500:
        return "bad_request"
    if 500 <= status < 600:
        return "provider_error"
    return "unclassified"


def _of_error(error: BaseException) -> str:
    """An error that knows its code says so by an attribute `failure_code`."""
    own = getattr(error, "failure_code", None)
    if isinstance(own, str):
        return own
    for kinds, code in _ERRORS:
        if isinstance(error, kinds):
            return code
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if error.connection_invalidated:
            return "database_unavailable"
        error = error.orig or error
    if str(getattr(error, "sqlstate", None) or "").startswith(_AWAY_STATES):
        return "database_unavailable"
    return "internal_error"
