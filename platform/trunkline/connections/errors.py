"""What goes wrong between us, a provider and a person who connects."""

from datetime import datetime

from trunkline.kernel.errors import BadInputError, ConflictError, TrunklineError


class ReconnectRequiredError(TrunklineError):
    """The provider no longer honours our grant; `cause` is a code of the failure table.

    When it is raised the connection already is `reconnect_required`, committed.
    """

    status = 409
    code = "reconnect_required"

    def __init__(self, cause: str) -> None:
        super().__init__(
            "The account must be connected again before anything can be read from it.", cause=cause
        )
        self.cause = self.failure_code = cause


class ProviderFailedError(TrunklineError):
    """The provider did not do its part just now; nothing changed here. `retry_at`: not before then.

    `reply_lost`: the request was sent, and no answer told what became of it.
    """

    status = 502
    code = "provider_failed"

    def __init__(
        self,
        failure_code: str,
        retry_at: datetime,
        *,
        http_status: int | None = None,
        reply_lost: bool = False,
    ) -> None:
        super().__init__("The provider could not be reached or refused to answer. Try again in a moment.")
        self.failure_code = failure_code
        self.retry_at = retry_at
        self.http_status = http_status
        self.reply_lost = reply_lost


class GrantRevokedError(Exception):
    """A token endpoint said invalid_grant; inside this slice only."""


class NotUsableError(ConflictError):
    """The connection's state forbids calls; `code` is paused_by_member, disconnected_by_member or pending."""

    @property
    def failure_code(self) -> str:
        return self.code


class FlowRefusedError(BadInputError):
    """A trip to the provider that ends without a connection; the message is for the person in the browser.

    `code`: authorization_unknown (state never given out, used, or of another browser: nothing was asked of
    the provider), authorization_expired, authorization_denied, account_mismatch, provider_failed.
    """

    code = "authorization_unknown"
    via: str = ""
    """portal or widget, when the authorization was found."""
    nonce: str = ""
    back: str = ""
    """Path to go on from, for the portal's flow."""
