"""Where a pass stands, and which page comes next. Pure: no clock, no database, no network.

A pass goes through phases: `remap` (what is held, by changed recipes), then `list` or `incremental`, then
`deletions`. It ends after the last.

An incremental read is re-anchored on every page: the next one asks for what was modified since the last
record's time, from its beginning, rather than for an offset. So a record that is modified while we read, and
thereby moves to the end, shifts nothing past us, and the provider's cap on results is never reached. Only
while more records share one time than a page holds does the provider's cursor lead on; if even that reaches
the cap, the pass becomes a full list, which has none. The price: one record a page is read twice.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from trunkline.runs.moments import milliseconds
from trunkline.runs.provider import Page
from trunkline.runs.schemas import Mode
from trunkline.sdk.manifest import Read, StreamSpec

Phase = Literal["remap", "list", "incremental", "deletions", "end"]
MAX_EMPTY = 20
"""Empty pages in a row that say there is more, before they are no answer."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What the last complete pass asked for and mapped by."""

    fields: list[str]
    recipes: dict[str, int]


class Checkpoint(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Kept as JSON in the stream's row. `started`: the provider's clock when the pass began, or ours."""

    mode: Mode
    phase: Phase
    fields: list[str]
    recipes: dict[str, int]
    """Recipe id -> version, as the pass began; a later change is seen by the next pass."""
    started: datetime
    map_all: bool = False
    """Also unchanged records are mapped: a recipe changed."""
    cursor: str | None = None
    since_ms: int | None = None
    read: int = 0
    """Results since the anchor, for the cap."""
    empty: int = 0
    latest: datetime | None = None
    """The latest modification seen."""
    clocked: bool = False
    """`started` is by the provider's clock."""

    def values(self) -> dict[str, Any]:
        """For the read's templates."""
        given: dict[str, Any] = {"cursor": self.cursor, "properties": self.fields}
        if self.phase == "incremental" and self.since_ms is not None:
            since = datetime.fromtimestamp(self.since_ms // 1000, UTC)
            iso = f"{since:%Y-%m-%dT%H:%M:%S}.{self.since_ms % 1000:03d}Z"
            given |= {"since_ms": self.since_ms, "since_iso": iso}
        return given


def begin(
    spec: StreamSpec,
    *,
    settled: Settled | None,
    watermark: datetime | None,
    fields: list[str],
    recipes: dict[str, int],
    forced: Mode | None,
    started: datetime,
) -> Checkpoint:
    """A new pass. First where none was completed; full where more is asked for than was; else incremental."""
    mode: Mode = "incremental"
    if settled is None:
        mode = "first"
    elif (
        forced == "full"
        or spec.incremental is None
        or watermark is None
        or not set(fields) <= set(settled.fields)
    ):
        mode = "full"
    changed = settled is not None and settled.recipes != recipes
    checkpoint = Checkpoint(
        mode=mode, phase="list", fields=fields, recipes=recipes, started=started, map_all=changed
    )
    if mode == "incremental" and spec.incremental is not None and watermark is not None:
        checkpoint.phase = "remap" if changed else "incremental"
        checkpoint.map_all = False
        since = watermark - timedelta(seconds=spec.incremental.overlap_seconds)
        checkpoint.since_ms = max(0, milliseconds(since))
    return checkpoint


def reader(checkpoint: Checkpoint, spec: StreamSpec) -> Read:
    if checkpoint.phase == "incremental" and spec.incremental is not None:
        return spec.incremental
    if checkpoint.phase == "deletions" and spec.deletions is not None:
        return spec.deletions
    return spec.list


def advance(checkpoint: Checkpoint, spec: StreamSpec, page: Page) -> Checkpoint:
    """The checkpoint after this page of a provider. ValueError: the page leads nowhere."""
    after = msgspec.structs.replace(checkpoint)
    if page.at is not None and not checkpoint.clocked:
        after.started, after.clocked = page.at, True
    times = [item.modified_at for item in page.items if item.modified_at is not None]
    if checkpoint.phase != "deletions" and times:
        after.latest = max(times) if checkpoint.latest is None else max(*times, checkpoint.latest)
    if page.next is None:
        return _next_phase(after, spec)
    after.empty = 0 if page.items else checkpoint.empty + 1
    if after.empty > MAX_EMPTY or page.next == checkpoint.cursor:
        raise ValueError("the page names itself as the next one")
    after.cursor = page.next
    after.read = checkpoint.read + len(page.items)
    if checkpoint.phase == "incremental" and spec.incremental is not None:
        anchor = milliseconds(max(times)) if times else None
        if anchor is not None and (checkpoint.since_ms is None or anchor > checkpoint.since_ms):
            after.since_ms, after.cursor, after.read = anchor, None, 0
        elif (
            spec.incremental.cap is not None
            and after.read + spec.incremental.page_size > spec.incremental.cap
        ):
            after.mode, after.phase = "full", "list"
            after.cursor, after.since_ms, after.read = None, None, 0
    return after


def after_remap(checkpoint: Checkpoint, last: str | None) -> Checkpoint:
    """After a batch of held records; `last` None: that was the last batch."""
    after = msgspec.structs.replace(checkpoint, cursor=last)
    if last is None:
        after.phase = "incremental"
    return after


def _next_phase(checkpoint: Checkpoint, spec: StreamSpec) -> Checkpoint:
    done = checkpoint.phase == "deletions" or spec.deletions is None
    checkpoint.phase = "end" if done else "deletions"
    checkpoint.cursor, checkpoint.read, checkpoint.empty, checkpoint.since_ms = None, 0, 0, None
    return checkpoint


def watermark_of(checkpoint: Checkpoint, before: datetime | None) -> datetime | None:
    """Up to where everything has been read, by the provider's clock; never goes back.

    The earlier of the latest modification seen and the provider's time when the pass began. The second
    because a record that a list has already passed may be modified before the list ends; the first because
    stamps may lag behind the provider's clock, and because an index that is late must not be overtaken. None
    while no record was ever seen: then the next pass lists again, which costs a page, and trusts no clock.
    """
    if checkpoint.latest is None:
        return before
    reached = min(checkpoint.latest, checkpoint.started)
    return reached if before is None else max(reached, before)
