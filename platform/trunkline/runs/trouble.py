"""What an error in the middle of a pass comes to."""

import structlog

from trunkline.resilience.failures import classify
from trunkline.runs.errors import ProviderError
from trunkline.runs.writes import Place

log = structlog.get_logger(__name__)


def understood(error: Exception, place: Place) -> ProviderError:
    """Classified. Raises it again where somebody else goes on: the stream itself has no fault then."""
    if isinstance(error, ProviderError):
        return error
    found = classify(None, error=error)
    if found.code in {"lease_lost", "newer_version"}:
        raise error
    # only what we raise ourselves is safe to show: a foreign message may quote a record
    log.warning(
        "run failed",
        cause=found.code,
        error=type(error).__name__,
        exc_info=error if found.code == "internal_error" else None,
        tenant_id=str(place.tenant_id),
        connection_id=str(place.connection_id),
        stream=place.stream,
    )
    return ProviderError(found, detail={"error": type(error).__name__})
