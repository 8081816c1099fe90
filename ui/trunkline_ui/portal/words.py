"""How the portal says things: what helps a connection, what a stream is doing, who did what. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from trunkline.audit.repository import Entry
from trunkline.health.assessment import Health
from trunkline.resilience.failures import failure
from trunkline.runs.drift import Drift
from trunkline.runs.schemas import ChangeView, RunView, StreamView
from trunkline_ui.filters import duration, number
from trunkline_ui.rendering import Tone

Remedy = Literal["none", "reconnect", "resume", "retry", "wait", "recipe", "review", "own"]

MODES = {
    "first": "First full read",
    "incremental": "Changes only",
    "full": "Full re-read",
    "remap": "Mapped anew",
    "retry": "Set-aside records again",
    "webhook": "Sent by the service",
}
TRIGGERS = {
    "schedule": "On schedule",
    "manual": "Started by hand",
    "recipe": "A recipe is new or changed",
    "reconnect": "After reconnecting or resuming",
    "review": "A deletion was approved",
    "webhook": "As it happened there",
}
ASIDE = {"full": "Full re-read", "remap": "Mapping what is held", "retry": "Trying set-aside records again"}
"""Modes of passes beside a stream's own runs, in the words of what goes on."""
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
    *,
    asks: bool = True,
    mapped: bool = True,
) -> Standing:
    """`label`: the connector's; `reading`: labels of the streams with a run under way; `asks`: it is no
    customer's own system; `mapped`: a recipe reads it.
    """
    if health is None:
        return _without_health(state, state_since, label) if asks else _own_system(state, state_since)
    remedy: Remedy = "none"
    until = health.waiting_until
    if health.action == "reconnect":
        remedy = "reconnect"
    elif health.action in {"wait", "retry"}:
        remedy = "wait" if health.action == "wait" else "retry"
        due = next((one.next_due_at for one in streams if one.stream == health.stream), None)
        until = until or due
    elif health.why == "review":
        remedy = "review"
    elif not streams or not mapped:
        remedy = "recipe"
    sentence = health.customer
    if not asks and not mapped:
        sentence = "What it sends is kept. Set up a recipe to have it in your product."
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


def _own_system(state: str, since: datetime) -> Standing:
    sentence, remedy, tone = {
        "paused": (
            "Paused: what it sends is kept, and waits until somebody resumes it.",
            "resume",
            "neutral",
        ),
        "disconnected": (
            "Disconnected: nothing is taken at its address any more. What came before is kept.",
            "none",
            "neutral",
        ),
    }.get(state, ("What it sends is kept. Choose how it is read, so that it becomes records.", "own", "info"))
    return Standing(badge=state, tone=tone, sentence=sentence, since=since, remedy=remedy)  # type: ignore[arg-type]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, for `ui.progress`. `maximum` None: nobody knows how much there is."""

    text: str
    value: int
    maximum: int | None


def progress(run: RunView) -> Progress:
    """Share, count, and about how long it still takes; without a known end what is done, and how fast.

    What a full re-read expects is what is held, so that it is about as much.
    """
    seen, total, rate = run.fetched, run.expected or 0, run.rate or 0.0
    going = run.state in {"running", "waiting"}
    if not total:
        speed = f" · {number(round(rate))} a second" if going and rate >= 1 else ""
        return Progress(text=f"{number(seen)} so far{speed}", value=0, maximum=None)
    about = "about " if run.mode == "full" else ""
    share = min(99 if run.active else 100, seen * 100 // total)
    text = f"{number(seen)} of {about}{number(total)} · {share} %"
    if going and rate > 0 and seen < total:
        text += f" · {_roughly((total - seen) / rate)} left"
    return Progress(text=text, value=min(seen, total), maximum=total)


def _roughly(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute"
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"about {count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError


class AsidePanel(msgspec.Struct, frozen=True, kw_only=True):
    """A pass beside the stream's own runs, as the live panel shows it."""

    run_id: UUID
    title: str
    sentence: str
    paused: bool
    """By a member, who can resume it."""
    progress: Progress
    tone: str = ""


def aside_panel(run: RunView, provider: str) -> AsidePanel:
    return AsidePanel(
        run_id=run.id,
        title=ASIDE.get(run.mode, MODES[run.mode]),
        sentence=aside_sentence(run, provider),
        paused=run.state == "paused" and run.cause == "paused_by_member",
        progress=progress(run),
        tone="warning" if run.state in {"waiting", "paused"} else "",
    )


def aside_sentence(run: RunView, provider: str) -> str:
    if run.state == "paused":
        if run.cause == "paused_by_member":
            return "Paused by a member. It goes on from where it stood when somebody resumes it."
        return "Stopped with its stream. It goes on from where it stood when the stream does."
    if run.state == "waiting":
        return f"Waiting for {provider}'s limit." if run.cause in LIMITS else cause_sentence(run.cause)
    if run.state == "queued":
        return "Waiting for its turn: what changed goes first."
    if run.mode == "full":
        return f"Reading everything from {provider} again, beside the syncs of what changed."
    return f"Working on what is held; {provider} is not asked."


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
    progress: Progress | None = None
    asides: Sequence[AsidePanel] = ()
    drift: Sequence[Drift] = ()
    """Fields that differ at the provider, worst first."""

    @property
    def drifted(self) -> bool:
        """Whether that stopped it."""
        return self.phase == "halted" and any(one.verdict == "pause" for one in self.drift)


def stream_panel(
    view: StreamView,
    run: RunView | None,
    label: str,
    provider: str,
    state: str,
    moment: datetime,
    *,
    asides: Sequence[RunView] = (),
    drift: Sequence[Drift] = (),
) -> StreamPanel:
    """`label`: the stream's; `provider`: the connector's; `state`: the connection's."""
    phase, sentence, until = _doing(view, run, provider, state, moment)
    badge, word = _PHASE_BADGES[phase]
    if phase == "idle" and view.last_success_at is None:
        badge, word = "queued", "Not yet read" if view.schedule_seconds else "Nothing yet"
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
        progress=progress(run) if run else None,
        asides=[aside_panel(one, provider) for one in asides],
        drift=drift,
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
        if view.schedule_seconds == 0:
            return "idle", "What your system sends is taken in as it comes.", None
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
