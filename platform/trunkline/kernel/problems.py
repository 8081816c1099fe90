"""What a caller sees of a failure: a problem document (RFC 9457) under /v1, a page for people elsewhere.

An unexpected error is logged with the request's id; the answer says the id and nothing else.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Scope

from trunkline.kernel.errors import TrunklineError

PROBLEM = "application/problem+json"
API = "/v1"

_log = structlog.get_logger("trunkline.web")

_QUOTED = re.compile(r"^(Invalid (?:enum )?value) .*", re.DOTALL)

_CODES = {
    400: "bad_input",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}
_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The request's body is larger than this address takes. Send less at a time.",
    429: "Too many requests. Wait a moment and try again.",
}


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    message: str
    field: str | None = None
    """The input at fault, as the caller spelt it; a dot between levels."""
    source: str | None = None
    """body, query, path, header or cookie."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error under /v1; programs branch on `code`, people read `detail`."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    field: str | None = None
    errors: list[FieldError] = []


class ErrorPage(Protocol):
    """Renders an error for people; the composition root gives the design system's."""

    def __call__(
        self, status: int, *, code: str, detail: str, reference: str, home: str
    ) -> Response[Any]: ...


class SeeOtherError(Exception):
    """Not a failure: the reader is sent to `location`, a path of this site; htmx follows like a browser."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def request_id(scope: Scope) -> str:
    """The id given to this request by the web application; "-" outside of it."""
    return str(scope.get("state", {}).get("request_id", "-"))


def is_api(scope: Scope) -> bool:
    path = scope["path"]
    return path == API or path.startswith(f"{API}/")


def exception_handlers(error_page: ErrorPage) -> dict[int | type[Exception], Callable[..., Response[Any]]]:
    """For `Litestar(exception_handlers=...)`."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        problem, headers, extra = describe(request, error)
        if is_api(request.scope):
            body = {"type": problem.type} | msgspec.to_builtins(problem) | extra
            return Response(body, status_code=problem.status, headers=headers, media_type=PROBLEM)
        known = problem.status < 500 and (isinstance(error, TrunklineError) or problem.status in _SENTENCES)
        page = error_page(
            problem.status,
            code=problem.code,
            detail=problem.detail if known and problem.status != 404 else "",
            reference=problem.request_id if problem.status >= 500 else "",
            home=_home(request.scope),
        )
        page.headers.update(headers)
        return page

    return {Exception: answer, SeeOtherError: see_other}


def see_other(request: Request[Any, Any, Any], error: SeeOtherError) -> Response[Any]:
    if request.headers.get("hx-request") == "true":
        return Response(b"", status_code=200, headers={"hx-redirect": error.location}, media_type="text/html")
    return Response(b"", status_code=303, headers={"location": error.location}, media_type="text/html")


def describe(
    request: Request[Any, Any, Any], error: Exception
) -> tuple[Problem, dict[str, str], dict[str, Any]]:
    """The problem, headers to send with it, and members beyond the standard ones."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    errors: list[FieldError] = []
    field: str | None = None
    if isinstance(error, TrunklineError):
        status, code, detail, field = error.status, error.code, error.message, error.field
        extra = {name: value for name, value in error.extra.items() if value is not None}
        errors = [one for one in extra.get("errors", ()) if isinstance(one, FieldError)]
        if isinstance(wait := extra.get("retry_after"), int | float):
            headers["retry-after"] = str(max(0, -int(-wait // 1)))
        if status >= 500:
            _log.warning("request_failed", code=code, exc_info=error if error.__cause__ else None)
    elif isinstance(error, ValidationException):
        status, code = 400, "bad_input"
        errors = _field_errors(error.extra)
        field = errors[0].field if len(errors) == 1 else None
        detail = _summary(errors)
    elif isinstance(error, HTTPException) and error.status_code < 500:
        status = error.status_code
        code = _CODES.get(status, "request_refused")
        detail = _SENTENCES.get(status) or (_sentence(error.detail) if status == 400 else _phrase(status))
        headers.update(error.headers or {})
    else:
        status, code = 500, "internal_error"
        detail = "Something broke on our side. Tell support the request_id if it happens again."
        _log.error("unexpected_error", path=_route(request.scope), exc_info=error)
    if status == 413 or "transfer-encoding" in request.headers:
        headers["connection"] = "close"  # or the server would go on to read what nobody wants
    if status == 401 and is_api(request.scope):
        headers.setdefault("www-authenticate", 'Bearer realm="trunkline"')
    problem = Problem(
        title=_phrase(status),
        status=status,
        code=code,
        detail=detail,
        request_id=request_id(request.scope),
        field=field,
        errors=errors,
    )
    return problem, headers, _free(extra)


def _free(extra: dict[str, Any]) -> dict[str, Any]:
    """An extra never replaces a standard member. Litestar's encoder handles ids and times."""
    return {name: value for name, value in extra.items() if name not in Problem.__struct_fields__}


def _field_errors(found: Mapping[str, Any] | list[Any] | None) -> list[FieldError]:
    if not isinstance(found, list):
        return []
    return [
        FieldError(
            message=_sentence(str(one.get("message", "This value cannot be used"))),
            field=one.get("key") if one.get("key") != "data" else None,
            source=getattr(one.get("source"), "value", one.get("source")),
        )
        for one in found
        if isinstance(one, dict)
    ]


def _summary(errors: list[FieldError]) -> str:
    """Litestar's own detail repeats the address with its query, so it is not used."""
    if len(errors) == 1:
        place = f"{errors[0].field}: " if errors[0].field else ""
        return f"{place}{errors[0].message}"
    return f"{len(errors)} values cannot be used; see errors." if errors else "The request cannot be read."


def _sentence(text: str) -> str:
    """Of msgspec's words those that quote no value: a field in the wrong place may hold a secret."""
    text = text.partition(" - at `$")[0].strip() or "The request cannot be read"
    text = _QUOTED.sub(r"\1", text)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _home(scope: Scope) -> str:
    kind = getattr(scope.get("user"), "kind", "")
    return {"staff": "/console", "member": "/portal"}.get(kind, "/")


def _route(scope: Scope) -> str:
    """The path as declared, so that no id or token of an address reaches the log."""
    return str(scope.get("path_template") or "-")
