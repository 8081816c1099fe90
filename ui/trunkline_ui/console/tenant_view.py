"""A tenant as support sees it: what a connection's state means, what each stream does, what waits. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from trunkline.health.across import AffectedRow, WorkRow
from trunkline.health.assessment import LEVELS, ConnectionFacts, StreamFacts, StreamHealth, assess_stream
from trunkline.health.lines import stream_lines
from trunkline.health.service import ConnectionHealth
from trunkline.readers.schemas import ReaderView
from trunkline.resilience.failures import failure
from trunkline.runs.schemas import RunView
from trunkline_ui.console.common import Cause, cause_of
from trunkline_ui.portal.words import progress

SENTENCES = {
    "pending": "Authorised at the provider, and waiting for the product's backend to confirm it with the"
    " completion code (POST /v1/connections/confirm). Its tokens are not used before.",
    "setup": "Connected, but a required choice is missing. The customer makes it in the portal.",
    "paused": failure("paused_by_member").support,
    "disconnected": failure("disconnected_by_member").support,
}
KINDS = {
    "act": "Writing to the provider",
    "backfill": "Full re-read",
    "check": "Check of the access",
    "deliver": "Delivery of webhooks",
    "examine_connector": "Examination of a partner's connector",
    "expire_hooks": "End of old events' payloads",
    "expire_pending": "End of an unfinished sign-in",
    "hook_registration": "Registration of the webhook at the provider",
    "hook_removal": "Removal of the webhook at the provider",
    "hooks": "Events that arrived",
    "purge_answers": "End of answers kept for repeated requests",
    "purge_deliveries": "End of old deliveries",
    "read:daily_changes": "Reader: daily changes",
    "read:webhooks": "Reader: webhooks",
    "recover_deliveries": "Deliveries sent again",
    "remap": "Re-mapping of what is held",
    "replay": "Replay of events",
    "retry": "Another try of what was set aside",
    "settle_connectors": "Approvals of partners' connectors",
    "sweep_hooks": "Look for events that nobody took up",
    "sync": "Sync",
    "watch_certificate": "Look for the end of a client certificate",
    "watch_health": "Look for changes of health",
}
"""Every kind of work in words."""


class StreamLine(msgspec.Struct, frozen=True, kw_only=True):
    facts: StreamFacts
    label: str
    badge: str
    word: str
    """In place of the badge's own; may be empty."""
    lag_seconds: int | None
    target_seconds: int
    doing: str
    """What is being done, or goes on."""
    waiting_until: datetime | None
    next_due_at: datetime | None
    """None while it is not meant to be read."""
    cause: Cause | None


class ConnectionPanel(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    label: str
    account_id: str
    state: str
    badge: str
    """Health where it has a meaning, else the state."""
    since: datetime
    cause: Cause | None
    sentence: str
    stream: str
    """Label of the stream that decides; empty where the connection as a whole does."""
    streams: Sequence[StreamLine]
    records: int


class WorkLine(msgspec.Struct, frozen=True, kw_only=True):
    row: WorkRow
    what: str
    whose: str
    leased: bool
    overdue: bool
    cause: Cause | None


class IssueLine(msgspec.Struct, frozen=True, kw_only=True):
    row: AffectedRow
    cause: Cause
    stream: str


class ReaderLine(msgspec.Struct, frozen=True, kw_only=True):
    row: ReaderView
    what: str
    lag_seconds: int
    cause: Cause | None


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    row: RunView
    connection: str
    stream: str
    cause: Cause | None
    progress: str
    """How far it is, with an estimate; empty where it has ended, or nobody knows how much there is."""


Labels = Mapping[UUID, tuple[str, Mapping[str, str]]]
"""Of a connection: its name, and the labels of its streams."""


def connection_panel(
    one: ConnectionHealth,
    label: str,
    streams: Mapping[str, str],
    parents: Mapping[str, str],
    now: datetime,
) -> ConnectionPanel:
    """`label`: the connector's; `streams`: labels by name; `parents`: as `stream_lines` takes them."""
    lines = stream_lines(one.row.facts, parents, now)
    facts, health = one.row.facts, one.health
    code = (health.cause if health else None) or None
    stream = health.stream if health and health.level != "healthy" else None
    return ConnectionPanel(
        id=one.row.id,
        name=one.row.name,
        label=label,
        account_id=one.row.account_id or "",
        state=facts.state,
        badge=health.level if health else facts.state,
        since=health.since if health else facts.state_since,
        cause=cause_of(code) if code else None,
        sentence=health.support if health else SENTENCES.get(facts.state, ""),
        stream=streams.get(stream, stream) if stream else "",
        streams=[_stream_line(facts, found, lines[found.stream], streams, now) for found in facts.streams],
        records=sum(found.records for found in facts.streams),
    )


def severity(one: ConnectionHealth) -> tuple[int, float]:
    """Sorts the worst first, then what is not judged, the disconnected last."""
    if one.health is not None:
        return LEVELS.index(one.health.level), one.health.since.timestamp()
    return len(LEVELS) + (one.row.facts.state == "disconnected"), 0.0


def _stream_line(
    connection: ConnectionFacts,
    facts: StreamFacts,
    line: StreamHealth,
    labels: Mapping[str, str],
    now: datetime,
) -> StreamLine:
    state = connection.state
    health = assess_stream(facts, now)
    code = facts.cause or (health.cause if health.why == "review" else None)
    badge, word = ("running", "") if facts.running and health.level == "healthy" else (health.level, "")
    if state != "active":
        badge, word = "disconnected", "Stopped"
    elif facts.paused_at is not None:
        badge, word = "paused", "" if facts.cause else "No recipe"
    elif health.level == "healthy" and facts.last_success_at is None and not facts.running:
        badge, word = "queued", "Not yet read"
    elif line.why == "parent":
        other = labels.get(line.waits_for or "", "")
        badge, word = (line.level, "") if line.level else ("paused", f"Waits for {other}")
    return StreamLine(
        facts=facts,
        label=labels.get(facts.stream, facts.stream),
        badge=badge,
        word=word,
        lag_seconds=line.lag_seconds if line.why == "parent" else health.lag_seconds,
        target_seconds=line.target_seconds,
        doing=line.doing,
        waiting_until=health.waiting_until,
        next_due_at=facts.next_due_at if state == "active" and facts.paused_at is None else None,
        cause=cause_of(code) if code else None,
    )


def work_line(row: WorkRow, labels: Labels, now: datetime) -> WorkLine:
    """A connection that nobody has finished signing in to is not named."""
    name, streams = labels.get(row.connection_id, ("", {})) if row.connection_id else ("", {})
    stream = row.key.removeprefix(f"{row.connection_id}:") if name and ":" in row.key else ""
    leased = row.lease_until is not None and row.lease_until > now
    return WorkLine(
        row=row,
        what=KINDS.get(row.kind, row.kind.replace("_", " ").capitalize()),
        whose=" · ".join(part for part in (name, streams.get(stream, stream)) if part),
        leased=leased,
        overdue=not leased and row.due_at < now,
        cause=cause_of(row.cause) if row.cause else None,
    )


def reader_line(row: ReaderView, now: datetime) -> ReaderLine:
    """A feed's name is the product's choice; it names a consumer, not a person."""
    what = row.kind.replace("_", " ").capitalize()
    return ReaderLine(
        row=row,
        what=what if row.name == row.kind else f"{what}: {row.name}",
        lag_seconds=row.lag_seconds(now),
        cause=cause_of(row.cause) if row.failures and row.cause else None,
    )


def issue_line(row: AffectedRow, streams: Mapping[str, str]) -> IssueLine:
    stream = streams.get(row.stream, row.stream) if row.stream else ""
    return IssueLine(row=row, cause=cause_of(row.cause), stream=stream)


def run_line(row: RunView, labels: Labels) -> RunLine:
    name, streams = labels.get(row.connection_id, ("", {}))
    return RunLine(
        row=row,
        connection=name,
        stream=streams.get(row.stream, row.stream),
        cause=cause_of(row.cause) if row.cause else None,
        progress=progress(row).text if row.active and row.expected else "",
    )


def labels_of(found: Sequence[ConnectionHealth], streams: Mapping[str, Mapping[str, str]]) -> Labels:
    """`streams`: labels of streams by the connector's name."""
    empty: dict[str, Any] = {}
    return {one.row.id: (one.row.name, streams.get(one.row.connector, empty)) for one in found}
