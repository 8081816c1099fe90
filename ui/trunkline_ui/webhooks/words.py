"""What became of an attempt, a delivery, an endpoint: in words."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from trunkline.deliveries.schedule import CERTIFICATE_NOTICE, CERTIFICATE_URGENT
from trunkline.deliveries.schemas import DeliveryView, EndpointView
from trunkline_ui.filters import pluralize
from trunkline_ui.rendering import Tone

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

ORDERINGS = (
    {"value": "none", "label": "Any order", "hint": "Fastest. Nothing waits for anything else."},
    {"value": "record", "label": "By record", "hint": "What happens to a record arrives in order."},
    {"value": "connection", "label": "By connection", "hint": "What happens in an account arrives in order."},
    {"value": "tenant", "label": "All in order", "hint": "One event at a time for a tenant. Slowest."},
)
_ORDERS = {
    "record": "kept for each record",
    "connection": "kept for each connection",
    "tenant": "kept for everything",
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


def order(ordering: str) -> str:
    return _ORDERS.get(ordering, "any")


def in_turn(delivery: DeliveryView, ordering: str, moment: datetime) -> bool:
    """Its time has come, and it waits for one before it."""
    return ordering != "none" and delivery.next_at is not None and delivery.next_at < moment


def standing(endpoint: EndpointView) -> Standing:
    if endpoint.disabled_at is not None:
        return "disabled"
    return "failing" if endpoint.failing_since is not None else "active"


class Notice(msgspec.Struct, frozen=True):
    badge: str
    title: str
    text: str
    tone: Tone


def certificate_notice(ends: datetime | None, moment: datetime) -> Notice | None:
    """That a client certificate ends within 30 days, that it is urgent, or that it has ended."""
    if ends is None or ends - moment > CERTIFICATE_NOTICE:
        return None
    day, left = f"{ends.astimezone(UTC):%-d %B %Y}", ends - moment
    if left <= timedelta(0):
        text = f"It ended on {day} (UTC). A receiver that checks it takes nothing until you give a new one."
        return Notice("expired", "The client certificate has expired.", text, "danger")
    text = f"It ends on {day} (UTC). Give a new one before, so that nothing is refused."
    within = pluralize(left.days, "day") if left >= timedelta(days=1) else "less than a day"
    tone: Tone = "danger" if left <= CERTIFICATE_URGENT else "warning"
    return Notice("expiring", f"The client certificate expires in {within}.", text, tone)
