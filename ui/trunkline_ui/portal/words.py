"""How the portal says things: what helps a connection, what a stream is doing, who did what. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from trunkline.audit.repository import Entry
from trunkline.health.assessment import Health
from trunkline.resilience.failures import failure
from trunkline.runs.schemas import ChangeView, RunView, StreamView
from trunkline_ui.rendering import Tone

Remedy = Literal["none", "reconnect", "resume", "retry", "wait", "recipe"]

MODES = {"first": "First full read", "incremental": "Changes only", "full": "Full re-read"}
TRIGGERS = {
    "schedule": "On schedule",
    "manual": "Started by hand",
    "recipe": "A recipe is new or changed",
    "reconnect": "After reconnecting or resuming",
}
LIMITS = frozenset({"rate_limited", "daily_limit"})
"""Causes that are a provider's limit, not a problem."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection stands, in one line, and the one thing that helps."""

    badge: str
    """Health where it has a meaning, else the state."""
    tone: Tone
    sentence: str
    since: datetime | None
    remedy: Remedy = "none"
    until: datetime | None = None
    """For `wait`: when it goes on by itself."""
    stream: str | None = None


_TONES: dict[str, Tone] = {
    "healthy": "success",
    "delayed": "warning",
    "degraded": "warning",
    "failing": "danger",
    "reconnect_needed": "danger",
}


def standing(
    state: str,
    state_since: datetime,
    health: Health | None,
    label: str,
    streams: Sequence[StreamView] = (),
    reading: Sequence[str] = (),
) -> Standing:
    """`label`: the connector's; `reading`: labels of the streams with a run under way."""
    if health is None:
        return _without_health(state, state_since, label)
    remedy: Remedy = "none"
    until = health.waiting_until
    if health.action == "reconnect":
        remedy = "reconnect"
    elif health.action in {"wait", "retry"}:
        remedy = "wait" if health.action == "wait" else "retry"
        due = next((one.next_due_at for one in streams if one.stream == health.stream), None)
        until = until or due
    elif not streams:
        remedy = "recipe"
    sentence = health.customer
    if health.level == "healthy" and reading:
        sentence = f"Syncing now: {', '.join(reading)}."
    return Standing(
        badge=health.level,
        tone=_TONES[health.level],
        sentence=sentence,
        since=health.since,
        remedy=remedy,
        until=until,
        stream=health.stream,
    )


def _without_health(state: str, since: datetime, label: str) -> Standing:
    sentence, remedy, tone = {
        "paused": ("Paused: nothing is read until somebody resumes it.", "resume", "neutral"),
        "disconnected": (
            f"Disconnected: we hold no access to {label}. What was read before is kept.",
            "reconnect",
            "neutral",
        ),
        "setup": ("One more choice is needed before anything is read.", "none", "info"),
    }.get(state, ("Waiting for the application you connected from to confirm it.", "none", "info"))
    return Standing(badge=state, tone=tone, sentence=sentence, since=since, remedy=remedy)  # type: ignore[arg-type]


Phase = Literal["running", "waiting", "queued", "idle", "paused", "retrying", "halted", "stopped"]

_PHASE_BADGES: dict[Phase, tuple[str, str]] = {
    "running": ("running", "Running"),
    "waiting": ("waiting", "Waiting"),
    "queued": ("queued", "Starting"),
    "idle": ("healthy", "Up to date"),
    "paused": ("paused", "Paused"),
    "retrying": ("degraded", "Retrying"),
    "halted": ("failing", "Halted"),
    "stopped": ("disconnected", "Stopped"),
}


class StreamPanel(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in the live panel. Every field is always there, so that nothing moves when it changes."""

    stream: str
    label: str
    phase: Phase
    badge: str
    word: str
    now: str
    """What it does this moment; a clock time `until` may follow it."""
    until: datetime | None
    run_id: UUID | None
    fetched: int | None
    pages: int | None
    rate: float | None
    expected: int | None
    records: int
    schedule_seconds: int
    next_due_at: datetime | None
    last_success_at: datetime | None
    lag_seconds: float | None
    tone: str = ""


def stream_panel(
    view: StreamView, run: RunView | None, label: str, provider: str, state: str, moment: datetime
) -> StreamPanel:
    """`label`: the stream's; `provider`: the connector's; `state`: the connection's."""
    phase, sentence, until = _doing(view, run, provider, state, moment)
    badge, word = _PHASE_BADGES[phase]
    if phase == "idle" and view.last_success_at is None:
        badge, word = "queued", "Not yet read"
    lag = None if view.last_success_at is None else (moment - view.last_success_at).total_seconds()
    active = run is not None
    return StreamPanel(
        stream=view.stream,
        label=label,
        phase=phase,
        badge=badge,
        word=word,
        now=sentence,
        until=until,
        run_id=view.run_id,
        fetched=run.fetched if run else None,
        pages=run.pages if run else None,
        rate=run.rate if run else None,
        expected=run.expected if run else None,
        records=view.records,
        schedule_seconds=view.schedule_seconds,
        next_due_at=None if active or state != "active" else view.next_due_at,
        last_success_at=view.last_success_at,
        lag_seconds=None if lag is None else max(0.0, lag),
        tone="warning" if phase in {"waiting", "retrying"} else "",
    )


def _doing(
    view: StreamView, run: RunView | None, provider: str, state: str, moment: datetime
) -> tuple[Phase, str, datetime | None]:
    if state != "active":
        return "stopped", "Stopped with the connection; it goes on from where it stood.", None
    if view.paused_at is not None:
        if view.cause == "paused_by_member":
            return "paused", "Paused by a member.", None
        if view.cause is not None:
            return "halted", failure(view.cause).customer, None
        return "paused", "No recipe reads this stream.", None
    if run is None:
        if view.cause is not None and view.failures:
            return "retrying", failure(view.cause).customer, None
        if view.last_success_at is None:
            return "idle", "Waiting for its first run.", None
        return "idle", "Everything that changed has been read.", None
    if run.state == "queued":
        return "queued", "Waiting for a worker to begin.", None
    if run.state == "waiting":
        until = run.waiting_until if run.waiting_until and run.waiting_until > moment else None
        if run.cause in LIMITS:
            return "waiting", f"Waiting for {provider}'s limit", until
        if run.cause:
            return "retrying", f"{failure(run.cause).customer} Next try", until
        return "waiting", "Waiting to go on", until
    return "running", f"Reading from {provider}", None


def cause_sentence(cause: str | None) -> str:
    """Empty without a cause."""
    return failure(cause).customer if cause else ""


def headline(data: Mapping[str, Any]) -> tuple[str, str]:
    """What people know a mapped record by: a name, and a second line; either may be empty."""
    texts = {name: value.strip() for name, value in data.items() if isinstance(value, str) and value.strip()}
    person = " ".join(texts[part] for part in ("first_name", "last_name") if part in texts)
    named = [texts[name] for name in ("full_name", "name", "title", "subject") if name in texts]
    seconds = [
        texts[name]
        for name in (
            "email",
            "requester_email",
            "domain",
            "website",
            "stage",
            "status",
            "company_name",
            "phone",
        )
        if name in texts
    ]
    first = person or next(iter(named), "") or next(iter(seconds), "") or next(iter(texts.values()), "")
    second = next((text for text in seconds if text != first), "")
    return first[:160], second[:160]


class Difference(msgspec.Struct, frozen=True):
    """A row of `ui.diff`."""

    field: str
    before: str | None
    after: str | None
    change: Literal["added", "removed", "changed", "same"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Only what differs, in the order of `after`; null and absent are the same."""
    rows = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        change: Literal["added", "removed", "changed"] = (
            "added" if old is None else "removed" if new is None else "changed"
        )
        rows.append(Difference(name, shown(old), shown(new), change))
    return rows


def shown(value: Any) -> str | None:
    """A mapped value as text; None for no value."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode()


class ChangeStep(msgspec.Struct, frozen=True, kw_only=True):
    """A change with what it changed."""

    change: ChangeView
    title: str
    tone: Tone
    icon: str
    differences: list[Difference]


def change_steps(changes: Sequence[ChangeView], limit: int) -> list[ChangeStep]:
    """`changes`: newest first, one more than `limit` where there is one, as the base of the last shown."""
    steps = []
    for index, change in enumerate(changes[:limit]):
        older = changes[index + 1].data if index + 1 < len(changes) else {}
        if change.operation == "created":
            older = {}
        title, tone, icon = {
            "created": ("Created", "success", "plus"),
            "deleted": ("Deleted", "danger", "trash"),
        }.get(change.operation, ("Changed", "info", "refresh"))
        rows = [] if change.operation == "deleted" else differences(older, change.data)
        steps.append(ChangeStep(change=change, title=title, tone=tone, icon=icon, differences=rows))  # type: ignore[arg-type]
    return steps


_DEEDS: dict[str, tuple[str, str, Tone]] = {
    "connection.connected": ("connected {target}", "link", "success"),
    "connection.reconnected": ("reconnected {target}", "link", "success"),
    "connection.reconnect_required": ("lost access to {target}", "unlink", "danger"),
    "connection.paused": ("paused {target}", "pause", "neutral"),
    "connection.resumed": ("resumed {target}", "play", "success"),
    "connection.renamed": ("renamed {target}", "gear", "neutral"),
    "connection.disconnected": ("disconnected {target}", "ban", "neutral"),
    "connection.expired": ("removed {target}, which nobody confirmed", "ban", "neutral"),
    "connection.reconnect_expired": (
        "dropped a reconnect of {target} that nobody confirmed",
        "ban",
        "neutral",
    ),
    "oauth_client.added": ("registered {target}", "key", "info"),
    "oauth_client.replaced": ("changed {target}", "key", "info"),
    "oauth_client.removed": ("removed {target}", "key", "neutral"),
    "connection.sync_requested": ("started a sync of {target}", "refresh", "info"),
    "connection.reread_requested": ("started a full re-read of {target}", "refresh", "info"),
    "run.cancelled": ("cancelled a sync of {target}", "ban", "neutral"),
    "recipe.created": ("created the recipe {target}", "plus", "success"),
    "recipe.saved": ("saved a new version of the recipe {target}", "flow", "info"),
    "recipe.enabled": ("switched the recipe {target} on", "play", "success"),
    "recipe.disabled": ("switched the recipe {target} off", "pause", "neutral"),
    "recipe.archived": ("removed the recipe {target}", "trash", "neutral"),
    "recipe.restored": ("brought the recipe {target} back", "history", "info"),
}


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """An audit entry as `ui.timeline` shows it."""

    title: str
    at: datetime
    text: str
    tone: Tone
    icon: str
    href: str


def deed(entry: Entry, target: str, href: str) -> Deed:
    """`target`: what the thing is called now; empty where it is gone."""
    called = f"“{target}”" if target else f"a {entry.target_kind.replace('_', ' ')}"
    fallback = f"{entry.action.replace('.', ': ').replace('_', ' ')} ({called})"
    known = _DEEDS.get(entry.action)
    words, icon, tone = known or ("", "dot", "neutral")
    what = words.replace("{target}", called) if known else fallback
    notes = []
    if entry.action == "connection.renamed":
        notes.append(f"From “{entry.detail.get('before', '')}” to “{entry.detail.get('after', '')}”.")
    if entry.action == "connection.reconnect_required":
        notes.append(failure(str(entry.detail.get("cause") or "grant_revoked")).customer)
    if entry.action == "recipe.saved" and "version" in entry.detail:
        notes.append(f"Version {entry.detail['version']}.")
    if entry.reason:
        notes.append(f"Reason: {entry.reason}")
    actor = {"staff": "Support", "api_key": "API key"}.get(entry.actor_kind)
    who = f"{actor} ({entry.actor})" if actor else entry.actor
    return Deed(title=f"{who} {what}", at=entry.at, text=" ".join(notes), tone=tone, icon=icon, href=href)
