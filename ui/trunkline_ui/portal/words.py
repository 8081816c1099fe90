"""How the portal says things: what helps a connection, what a stream is doing. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.health.assessment import Health
from trunkline.resilience.failures import failure
from trunkline.runs.drift import Drift
from trunkline.runs.schemas import RunView, StreamView
from trunkline_ui.filters import number
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
    moment: datetime | None = None,
) -> Standing:
    """`label`: the connector's; `reading`: labels of the streams that are being read; `asks`: it is no
    customer's own system; `mapped`: a recipe reads it; `moment`: a time before it is no `until`.
    """
    if health is None:
        return _without_health(state, state_since, label) if asks else _own_system(state, state_since)
    remedy: Remedy = "none"
    until = health.waiting_until
    if health.action == "reconnect":
        remedy = "reconnect"
    elif health.why == "limit" and health.waiting_until and health.action == "none":
        remedy = "wait"
    elif health.action in {"wait", "retry"}:
        remedy = "wait" if health.action == "wait" else "retry"
        due = next((one.next_due_at for one in streams if one.stream == health.stream), None)
        until = until or due
        if until and moment and until < moment:
            until = None
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
    going = run.state == "running"  # nobody knows how long a wait adds to
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
    until: datetime | None = None
    """While it waits: when it goes on."""


def aside_panel(run: RunView, provider: str) -> AsidePanel:
    return AsidePanel(
        run_id=run.id,
        title=ASIDE.get(run.mode, MODES[run.mode]),
        sentence=aside_sentence(run, provider),
        paused=run.state == "paused" and run.cause == "paused_by_member",
        progress=progress(run),
        tone="warning" if run.state in {"waiting", "paused"} else "",
        until=run.waiting_until if run.state == "waiting" else None,
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
