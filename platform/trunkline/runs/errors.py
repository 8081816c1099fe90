"""Failures of the engine."""

from datetime import datetime
from typing import Any

from trunkline.kernel.errors import TrunklineError
from trunkline.resilience.failures import Failure
from trunkline.sdk.refusals import Refused


class ProviderError(TrunklineError):
    """A call did not give what it should; classified. `detail` never holds a provider's message."""

    status = 502

    def __init__(
        self,
        failure: Failure,
        *,
        retry_at: datetime | None = None,
        detail: dict[str, Any] | None = None,
        refused: tuple[Refused, ...] = (),
    ) -> None:
        super().__init__(failure.customer, code=failure.code)
        self.failure = failure
        self.failure_code = failure.code
        self.retry_at = retry_at
        """Not before this, by what the provider or our own budget said; None: as the backoff decides."""
        self.detail = detail or {}
        self.refused = refused
        """Of a write: the fields at fault as the provider calls them, which is text of its own choosing."""


class RunStoppedError(Exception):
    """The run was cancelled, or its connection or stream stopped; nothing was written."""


class OvertakenError(Exception):
    """Somebody else wrote a record of the page since it was asked for; nothing was written."""


class RecipesChangedError(Exception):
    """The page was mapped by recipes that are no longer the ones in force; nothing was written."""


class NewerVersionError(TrunklineError):
    """Where this run stands was written by a newer version; one of its workers goes on with it."""

    failure_code = "newer_version"

    def __init__(self) -> None:
        super().__init__("A newer version is at work on this run; it is left to that one's workers.")
