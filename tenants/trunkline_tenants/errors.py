"""Failures of signing in and of naming a tenant."""

from trunkline.kernel.errors import (
    BadInputError,
    ForbiddenError,
    NotFoundError,
    TrunklineError,
    UnauthenticatedError,
)


class SignInFailedError(UnauthenticatedError):
    """One sentence for an unknown account, a wrong password, a disabled account and one without a tenant."""

    code = "sign_in_failed"

    def __init__(self) -> None:
        super().__init__("The e-mail address and password do not match an account. Check both and try again.")


class TooManyAttemptsError(TrunklineError):
    """`retry_after` in whole seconds."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, retry_after: int) -> None:
        minutes = max(1, -(-retry_after // 60))
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        super().__init__(f"Too many attempts to sign in. Wait {wait} and try again.", retry_after=retry_after)


class WrongPasswordError(BadInputError):
    """Where somebody signed in has to prove again who they are."""

    code = "wrong_password"

    def __init__(self, field: str = "password") -> None:
        super().__init__("This is not your password.", field=field)


class WrongCodeError(UnauthenticatedError):
    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__(
            "This code does not match, or it has been used. Wait for the next one in your app and type that."
        )


class ChallengeEndedError(UnauthenticatedError):
    """A sign-in half done that nobody knows of (any more), or that another browser began."""

    code = "sign_in_ended"

    def __init__(self) -> None:
        super().__init__("Signing in took too long or was begun in another window. Begin again.")


class SingleSignOnError(UnauthenticatedError):
    """The identity provider's answer cannot be used. `reason` is a word for the log, never shown."""

    code = "single_sign_on_failed"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(
            message
            or "Single sign-on did not work. Try again; if it keeps failing, sign in with your password."
        )
        self.reason = reason


class ForgedRequestError(ForbiddenError):
    code = "csrf"


class NotAllowedError(ForbiddenError):
    code = "not_allowed"


class UnknownTenantError(NotFoundError):
    """Also where a key is bound to another tenant: the two cannot be told apart."""

    code = "tenant_not_found"

    def __init__(self, field: str = "tenant") -> None:
        super().__init__("No tenant has this name. Check the tenant that the request names.", field=field)
