"""Who did what: entries of the audit log in words. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from trunkline.audit.repository import Entry
from trunkline.resilience.failures import failure
from trunkline_ui.filters import duration
from trunkline_ui.portal.changed import Difference, differences
from trunkline_ui.rendering import Tone

_DEEDS: dict[str, tuple[str, str, Tone]] = {
    "connection.connected": ("connected {target}", "link", "success"),
    "connection.reconnected": ("reconnected {target}", "link", "success"),
    "connection.reconnect_required": ("lost access to {target}", "unlink", "danger"),
    "connection.paused": ("paused {target}", "pause", "neutral"),
    "connection.resumed": ("resumed {target}", "play", "success"),
    "connection.moved": ("moved {target} to another version of its connector", "refresh", "info"),
    "connector.approved": ("made a further connector available", "plug", "success"),
    "connector.disapproved": ("took the leave to connect a connector back", "ban", "neutral"),
    "connection.renamed": ("renamed {target}", "gear", "neutral"),
    "connection.freshness_changed": ("changed how fresh {target} must be", "clock", "info"),
    "connection.disconnected": ("disconnected {target}", "ban", "neutral"),
    "connection.expired": ("removed {target}, which nobody confirmed", "ban", "neutral"),
    "connection.reconnect_expired": (
        "dropped a reconnect of {target} that nobody confirmed",
        "ban",
        "neutral",
    ),
    "endpoint.created": ("registered a webhook endpoint", "bolt", "success"),
    "endpoint.changed": ("changed a webhook endpoint", "gear", "neutral"),
    "endpoint.enabled": ("enabled a webhook endpoint", "play", "success"),
    "endpoint.disabled": ("disabled a webhook endpoint", "pause", "danger"),
    "endpoint.failing": ("noticed a webhook endpoint that takes nothing", "alert", "warning"),
    "endpoint.rotated": ("changed the secret of a webhook endpoint", "key", "info"),
    "endpoint.tested": ("sent a test to a webhook endpoint", "bolt", "neutral"),
    "endpoint.recovered": ("had webhooks that failed sent again", "refresh", "info"),
    "endpoint.removed": ("removed a webhook endpoint", "trash", "neutral"),
    "delivery.resent": ("had a webhook sent again", "refresh", "info"),
    "oauth_client.added": ("registered {target}", "key", "info"),
    "oauth_client.replaced": ("changed {target}", "key", "info"),
    "oauth_client.removed": ("removed {target}", "key", "neutral"),
    "connection.sync_requested": ("started a sync of {target}", "refresh", "info"),
    "connection.reread_requested": ("started a full re-read of {target}", "refresh", "info"),
    "action.asked": ("had something written through {target}", "external", "info"),
    "action.retried": ("had a failed write tried again through {target}", "refresh", "info"),
    "action.decided": ("said what became of a write through {target}", "check", "info"),
    "review.approved": ("approved the deletion of vanished records of {target}", "check", "info"),
    "review.rejected": ("kept the vanished records of {target}", "shield", "neutral"),
    "event.replayed": ("had an event of {target} processed again", "refresh", "info"),
    "replay.planned": ("planned a replay of events of {target}", "history", "neutral"),
    "replay.started": ("started a replay of events of {target}", "refresh", "info"),
    "replay.cancelled": ("cancelled a replay of events of {target}", "ban", "neutral"),
    "hook.added": ("made an address for what {target} sends", "plus", "info"),
    "connection.reading_chosen": ("chose how what {target} sends is read", "check", "info"),
    "hook.rotated": ("gave the address of {target} another secret", "key", "info"),
    "hook.registered": ("had {target} tell of changes as they happen", "bolt", "success"),
    "hook.repaired": (
        "registered the webhook of {target} anew, which was not as it should be",
        "bolt",
        "info",
    ),
    "hook.rotation_asked": ("asked for another secret of the webhook of {target}", "key", "info"),
    "hook.checked": ("had the webhook of {target} checked", "refresh", "neutral"),
    "hook.secret_pasted": ("pasted the secret by which webhooks of {target} are proven", "key", "info"),
    "hook.entered_by_hand": ("took the webhook of {target} into their own hands", "key", "info"),
    "connection.access_ended": ("ended the webhook of {target} and our access", "ban", "neutral"),
    "run.cancelled": ("cancelled a sync of {target}", "ban", "neutral"),
    "run.paused": ("paused a full re-read or re-mapping of {target}", "pause", "neutral"),
    "run.resumed": ("resumed a full re-read or re-mapping of {target}", "play", "success"),
    "record.retried": ("had set-aside records of {target} tried again", "refresh", "info"),
    "drift.accepted": ("accepted changed fields of {target}", "check", "info"),
    "connect_session.created": ("opened the connect widget for an end user", "plug", "info"),
    "audit.exported": ("downloaded this log", "external", "neutral"),
    "member.added": ("added {target} to the organisation", "users", "success"),
    "member.role_changed": ("changed the role of {target}", "users", "info"),
    "member.removed": ("removed {target} from the organisation", "users", "neutral"),
    "log.chained": ("began to chain the entries of this log", "shield", "info"),
    "recipe.created": ("created the recipe {target}", "plus", "success"),
    "recipe.saved": ("saved a new version of the recipe {target}", "flow", "info"),
    "recipe.enabled": ("switched the recipe {target} on", "play", "success"),
    "recipe.disabled": ("switched the recipe {target} off", "pause", "neutral"),
    "recipe.archived": ("removed the recipe {target}", "trash", "neutral"),
    "recipe.restored": ("brought the recipe {target} back", "history", "info"),
}


def changes(entry: Entry) -> list[Difference]:
    """What a deed changed, in words; nothing for one that made something or took it away."""
    if entry.before is None or entry.after is None:
        return []
    return [
        msgspec.structs.replace(row, field=row.field.replace("_", " ").capitalize())
        for row in differences(_worded(entry.before), _worded(entry.after))
    ]


def _worded(values: Mapping[str, Any]) -> dict[str, Any]:
    said = {"schedule_seconds": "every"}
    return {said.get(name, name.removesuffix("_seconds")): _word(name, one) for name, one in values.items()}


def _word(name: str, value: Any) -> Any:
    if name.endswith("_seconds"):
        return duration(value)
    if name == "state":
        return str(value).replace("_", " ")
    return ", ".join(str(one) for one in value) if isinstance(value, list) else value


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """An audit entry as `ui.timeline` shows it."""

    title: str
    at: datetime
    text: str
    tone: Tone
    icon: str
    href: str
    note: str = ""


def deed(entry: Entry, target: str, href: str, *, with_address: bool = False) -> Deed:
    """`target`: what the thing is called now; empty where it is gone."""
    called = f"“{target}”" if target else f"a {entry.target_kind.replace('_', ' ')}"
    fallback = f"{entry.action.replace('.', ': ').replace('_', ' ')} ({called})"
    known = _DEEDS.get(entry.action)
    words, icon, tone = known or ("", "dot", "neutral")
    if not target:  # "a recipe", not "the recipe a recipe"
        words = words.replace(f"the {entry.target_kind} {{target}}", "{target}")
    what = words.replace("{target}", called) if known else fallback
    notes = []
    notes += [f"{row.field}: {row.before or 'none'} → {row.after or 'none'}." for row in changes(entry)]
    if entry.action == "connection.reconnect_required":
        notes.append(failure(str(entry.detail.get("cause") or "grant_revoked")).customer)
    if entry.action in {"review.approved", "review.rejected"}:
        notes.append(f"Records: {entry.detail.get('records', 0):,}.")
    if entry.action == "replay.planned":
        notes.append(f"Events: {entry.detail.get('events', 0):,}.")
    if entry.reason:
        notes.append(f"Reason: {entry.reason}")
    actor = {"staff": "Support", "api_key": "API key"}.get(entry.actor_kind)
    who = f"{actor} ({entry.actor})" if actor else entry.actor
    small = [f"No. {entry.sequence}", f"{entry.at.astimezone(UTC):%d %b %Y %H:%M:%S} UTC"]
    if with_address and entry.address:
        small.append(f"from {entry.address}")
    return Deed(
        title=f"{who} {what}",
        at=entry.at,
        text=" ".join(notes),
        tone=tone,
        icon=icon,
        href=href,
        note=" · ".join(small),
    )
