"""What became of an attempt, a delivery, an endpoint: in words."""

from typing import Literal

from trunkline.deliveries.schemas import EndpointView

_ATTEMPTS = {
    "status": "not taken",
    "redirected": "redirects are not followed",
    "timeout": "no answer within 15 seconds",
    "unreachable": "could not be reached",
    "refused": "the address leads to a place that is never called",
    "unreadable": "the answer could not be read",
}
_DELIVERIES = {
    "exhausted": "Given up after ten attempts.",
    "gone": "The endpoint answered 410: it is gone.",
    "disabled": "The endpoint was disabled before it was taken.",
    "removed": "The endpoint was removed before it was taken.",
}
_DISABLED = {
    "by_hand": "Somebody switched it off.",
    "gone": "It answered 410, which says that it is gone for good.",
    "failing": "It took nothing for five days.",
}
TRIGGERS = {
    "initial": "First attempt",
    "automatic": "Automatic retry",
    "manual": "Sent again by hand",
    "missing": "Replayed",
    "test": "Test",
}

Standing = Literal["active", "failing", "disabled"]


def outcome(status: int | None, cause: str | None) -> str:
    """Of an attempt."""
    if cause is None:
        return f"{status} taken" if status is not None else ""
    said = _ATTEMPTS.get(cause, cause)
    return f"{status} {said}" if status is not None else said.capitalize()


def why_failed(cause: str | None) -> str:
    return _DELIVERIES.get(cause or "", "")


def why_disabled(cause: str | None) -> str:
    return _DISABLED.get(cause or "", "")


def standing(endpoint: EndpointView) -> Standing:
    if endpoint.disabled_at is not None:
        return "disabled"
    return "failing" if endpoint.failing_since is not None else "active"
