"""Failures of the engine."""

from datetime import datetime
from typing import Any

from trunkline.kernel.errors import TrunklineError
from trunkline.resilience.failures import Failure


class ProviderError(TrunklineError):
    """A call did not give what it should; classified. `detail` never holds a provider's message."""

    status = 502

    def __init__(
        self,
        failure: Failure,
        *,
        retry_at: datetime | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(failure.customer, code=failure.code)
        self.failure = failure
        self.failure_code = failure.code
        self.retry_at = retry_at
        """Not before this, by what the provider or our own budget said; None: as the backoff decides."""
        self.detail = detail or {}


class RunStoppedError(Exception):
    """The run was cancelled, or its connection or stream stopped; nothing was written."""
