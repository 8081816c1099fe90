"""The failures that reach a caller. Each says what happened and what to do."""

from typing import Any


class TrunklineError(Exception):
    """Base of expected failures: `status` for HTTP, `code` for programs, the message for people.

    `field` names the input at fault, as the caller spelt it; `extra` goes into the problem document.
    """

    status = 500
    code = "internal_error"

    def __init__(
        self, message: str, *, field: str | None = None, code: str | None = None, **extra: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.extra = extra
        if code is not None:
            self.code = code


class BadInputError(TrunklineError):
    status = 400
    code = "bad_input"


class UnauthenticatedError(TrunklineError):
    status = 401
    code = "unauthenticated"


class ForbiddenError(TrunklineError):
    status = 403
    code = "forbidden"


class NotFoundError(TrunklineError):
    """Also for another tenant's rows: the answer is the same as for an id that never existed."""

    status = 404
    code = "not_found"

    def __init__(self, message: str = "There is nothing here under this id.", **extra: Any) -> None:
        super().__init__(message, **extra)


class ConflictError(TrunklineError):
    status = 409
    code = "conflict"


class UnsupportedMediaError(TrunklineError):
    status = 415
    code = "unsupported_media_type"


class UnprocessableError(TrunklineError):
    """Well formed and understood, and still not to be done."""

    status = 422
    code = "unprocessable"


class UnavailableError(TrunklineError):
    status = 503
    code = "unavailable"
