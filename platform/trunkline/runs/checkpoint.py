"""Where a pass stands, and which page comes next. Pure: no clock, no database, no network.

A pass goes through phases: `list` or `incremental`, then `deletions` (what the provider says is gone),
`weigh` (is that to be believed?) and `bury`. It ends after the last. What is held is mapped anew, by changed
recipes, in a pass of its own that has the phase `remap` alone.

An incremental read is re-anchored on every page: the next one asks for what was modified since the last
record's time, from its beginning, rather than for an offset. So a record that is modified while we read, and
thereby moves to the end, shifts nothing past us, and the provider's cap on results is never reached. Only
while more records share one time than a page holds does the provider's cursor lead on; if even that reaches
the cap, the pass becomes a full list, which has none; so it does when a page does not come in the order of
its times, because its last time then is no anchor. The price: one record a page is read twice.

A list is only as good as its end. A page that ends it without a record, where the one before said that
there are more, is not believed. A list that is whole, but not beyond doubt, is `doubtful`: it proves that
records are there, not that any is gone.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

import msgspec

from trunkline.runs.documents import Page
from trunkline.runs.moments import from_milliseconds, milliseconds, moment_values
from trunkline.runs.schemas import Mode
from trunkline.sdk.manifest import Deletions, Incremental, Read, StreamSpec
from trunkline.sdk.paging import ends_blank, may_repeat

Phase = Literal["remap", "list", "incremental", "deletions", "orphans", "weigh", "bury", "end"]
_DAY = 86_400_000
MAX_EMPTY = 20
"""Empty pages in a row that say there is more, before they are no answer."""
MAX_STEPS = 10_000_000
"""Pages of one list; more is a circle that no cursor tells of."""
MAX_RESTARTS = 3
"""Times that one pass begins its list anew, before it fails."""


class LostCursorError(ValueError):
    """The provider's cursor leads in a circle."""


class EmptyEndError(ValueError):
    """A page without records ends a list that should go on: an outage behind a success, until proven."""


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the last complete pass asked for and mapped by."""

    fields: list[str]
    recipes: dict[str, int]
    bookmark: str | None = None
    """The provider's cursor that the next run over what changed goes on from, where it keeps one."""


class Walk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a stream that is read for each record of another: which of them was reached."""

    passed: str | None = None
    """The last parent whose list was read to its end."""
    parent: str | None = None
    """The one whose page the cursor asks for; None: its list begins anew."""
    began: datetime | None = None
    """When that one was first asked, by the database's clock."""
    answered: int = 0
    missing: int = 0
    """Parents that the provider does not have any more."""
    found: int = 0
    """Records, of parents that were read to their end."""


class Checkpoint(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Kept as JSON in the stream's row. `started`: the provider's clock when the pass began, or ours."""

    mode: Mode
    phase: Phase
    fields: list[str]
    recipes: dict[str, int]
    """Recipe id -> version, as the pass began; a later change is seen by the next pass."""
    started: datetime
    map_all: bool = False
    """Also unchanged records are mapped: a recipe uses fields that they were not read with."""
    cursor: str | None = None
    since_ms: int | None = None
    read: int = 0
    """Results since the anchor, for the cap."""
    empty: int = 0
    latest: datetime | None = None
    """The latest modification seen."""
    clocked: bool = False
    """`started` is by the provider's clock."""
    id: UUID | None = None
    """Of the pass: what it saw and found gone is kept under it."""
    began: datetime | None = None
    """By the database's clock: a record that came later than this cannot be missing from the list."""
    watch: bool = False
    """What the list names is noted, so that afterwards it is known what it did not name."""
    doubtful: bool = False
    gone: int = 0
    """Records found gone so far."""
    late: int = 0
    """Records that came in an older form than the one held."""
    restarts: int = 0
    last_id: str | None = None
    """Of a list in ascending order."""
    steps: int = 0
    """Cursors followed since the phase or anchor began."""
    mark: str | None = None
    """The cursor at the last power of two of them: a circle comes by it again (Brent's algorithm)."""
    part: int = 0
    """Which of the phase's reads."""
    floor_ms: int | None = None
    """Up to where everything had been read before this pass, with the overlap."""
    bookmark: str | None = None
    """The last cursor of a read that keeps one for the next run."""
    walk: Walk | None = None

    @property
    def complete(self) -> bool:
        """Whether its list is one of everything, from which absences follow."""
        return self.mode in {"first", "full"}

    def values(self, spec: StreamSpec) -> dict[str, Any]:
        """For the read's templates."""
        given: dict[str, Any] = {"cursor": self.cursor, "properties": self.fields}
        read, since = reader(self, spec), None
        if self.phase == "incremental":
            since = self.since_ms
            if isinstance(read, Incremental) and read.granularity == "day" and since is not None:
                given["floor_ms"] = since
                since = max(0, (since // _DAY - 1) * _DAY)
        elif self.phase == "deletions" and isinstance(read, Deletions):
            since = self.floor_ms or 0
            if read.window_seconds is not None:
                since = max(since, milliseconds(self.started) - read.window_seconds * 1000)
        return given if since is None else given | moment_values("since", from_milliseconds(since))


def begin(
    spec: StreamSpec,
    *,
    settled: Settled | None,
    watermark: datetime | None,
    fields: list[str],
    recipes: dict[str, int],
    forced: Mode | None,
    started: datetime,
    pass_id: UUID | None = None,
    began: datetime | None = None,
    held: bool = False,
) -> Checkpoint:
    """A stream's own new pass. First where none was completed; full where there is no other way; else
    incremental: what every record must be read for is a pass beside it. `held`: there are live records, which
    a list may not name any more.
    """
    mode: Mode = "incremental"
    if settled is None:
        mode = "first"
    elif forced == "full" or (spec.parent is None and (spec.incremental is None or watermark is None)):
        mode = "full"
    checkpoint = Checkpoint(
        mode=mode,
        phase="list",
        fields=fields,
        recipes=recipes,
        started=started,
        id=pass_id,
        began=began,
        watch=held,
        walk=None if spec.parent is None else Walk(),
    )
    if settled is not None:
        checkpoint.map_all = mode == "full" and not set(fields) <= set(settled.fields)
    if watermark is not None:
        overlap = 0 if spec.incremental is None else spec.incremental.overlap_seconds
        checkpoint.floor_ms = max(0, milliseconds(watermark - timedelta(seconds=overlap)))
    if mode == "incremental" and spec.parent is not None:
        checkpoint.phase, checkpoint.watch = "incremental", False
    elif mode == "incremental" and spec.incremental is not None and settled is not None:
        checkpoint.phase, checkpoint.watch = "incremental", False
        checkpoint.bookmark = settled.bookmark
        _begin_part(checkpoint, spec)
    return checkpoint


def aside(
    kind: Literal["backfill", "remap", "retry"],
    *,
    fields: list[str],
    recipes: dict[str, int],
    started: datetime,
    map_all: bool,
    pass_id: UUID | None = None,
    began: datetime | None = None,
    held: bool = False,
    walks: bool = False,
) -> Checkpoint:
    """The beginning of a pass beside the stream's own. `walks`: it is read for each record of another."""
    mode: Mode = "full" if kind == "backfill" else kind
    phase: Phase = "list" if kind == "backfill" else "remap"
    return Checkpoint(
        mode=mode,
        phase=phase,
        fields=fields,
        recipes=recipes,
        started=started,
        map_all=map_all,
        id=pass_id,
        began=began,
        watch=held and kind == "backfill",
        walk=Walk() if walks and kind == "backfill" else None,
    )


def reader(checkpoint: Checkpoint, spec: StreamSpec) -> Read:
    """A part that the manifest no longer has: the last it has."""
    reads = _reads(checkpoint, spec) or (spec.list,)
    return reads[min(checkpoint.part, len(reads) - 1)]


def _reads(checkpoint: Checkpoint, spec: StreamSpec) -> tuple[Read, ...]:
    if checkpoint.phase == "incremental":
        return spec.incrementals
    return spec.deletions if checkpoint.phase == "deletions" else spec.lists


def advance(checkpoint: Checkpoint, spec: StreamSpec, page: Page) -> Checkpoint:
    """The checkpoint after this page of a provider. ValueError: the page leads nowhere."""
    after = msgspec.structs.replace(checkpoint)
    times = notice(after, page)
    read = reader(checkpoint, spec)
    if (
        not times
        and checkpoint.phase == "list"
        and spec.incremental is not None
        and spec.incremental.events is not None
    ):
        after.latest = after.started  # its records have no time, its events do
    after.bookmark = page.bookmark or checkpoint.bookmark
    after.read = checkpoint.read + page.count
    if checkpoint.phase == "list":
        _doubt(after, read, page)
    if page.next is None:
        _believe_end(checkpoint, read, page)
        return _next_part(after, spec)
    after.empty = 0 if page.count else checkpoint.empty + 1
    if after.empty > MAX_EMPTY:
        raise ValueError("the pages are empty and name a next one without end")
    follow(after, page.next, repeats=may_repeat(read))
    if isinstance(read, Incremental):
        anchor = milliseconds(max(times)) if times else None
        if read.anchored and times != sorted(times):
            _list_all(after)
        elif (
            read.anchored
            and anchor is not None
            and (checkpoint.since_ms is None or anchor > checkpoint.since_ms)
        ):
            begin_at(after, since_ms=anchor)
        elif read.cap is not None and after.read + read.page_size > read.cap:
            _list_all(after)
    return after


def notice(after: Checkpoint, page: Page) -> list[datetime]:
    """The provider's clock and the latest modification; the times of the page's records."""
    if page.at is not None and not after.clocked:
        after.started, after.clocked = page.at, True
    times = [item.modified_at for item in (*page.items, *page.gone) if item.modified_at is not None]
    if after.phase != "deletions" and times:
        after.latest = max(times) if after.latest is None else max(*times, after.latest)
    return times


def restarted(checkpoint: Checkpoint, pass_id: UUID) -> Checkpoint | None:
    """After the provider no longer takes the cursor: from the last point that is safe without one.

    What is gone is asked for from its beginning; changes are asked for from the anchor; a list, and changes
    that the anchor did not help, begin anew as a full list. None: that was tried often enough, or there is
    no cursor that could be at fault.
    """
    if checkpoint.cursor is None or checkpoint.restarts >= MAX_RESTARTS or checkpoint.phase == "remap":
        return None
    after = msgspec.structs.replace(checkpoint, restarts=checkpoint.restarts + 1)
    if checkpoint.walk is not None:  # that parent's list alone
        after.walk = msgspec.structs.replace(checkpoint.walk, parent=None, began=None)
        begin_at(after, since_ms=None)
        return after
    if checkpoint.phase == "deletions" or (checkpoint.phase == "incremental" and not checkpoint.restarts):
        begin_at(after, since_ms=checkpoint.since_ms)
        after.bookmark = None
    else:
        _list_all(after)
        after.id = pass_id
    return after


def anew(raw: dict[str, Any] | None, pass_id: UUID) -> dict[str, Any] | None:
    """As `restarted`, from and to what the database keeps."""
    again = None if raw is None else restarted(msgspec.convert(raw, Checkpoint), pass_id)
    return None if again is None else msgspec.to_builtins(again)


def _doubt(after: Checkpoint, read: Read, page: Page) -> None:
    """Signs that a list may have passed over records: out of order, fewer than it says, nothing at all."""
    if read.ascending and page.items:
        ids = [item.external_id for item in page.items]
        order = [_rank(one) for one in (ids if after.last_id is None else [after.last_id, *ids])]
        if any(later <= earlier for earlier, later in pairwise(order)):
            after.doubtful = True
        after.last_id = ids[-1]
    if page.next is None and page.total is not None and after.read < page.total:
        after.doubtful = True
    if page.next is None and after.read == 0 and after.part == 0 and (after.watch or after.restarts):
        after.doubtful = True


def _rank(external_id: str) -> tuple[int, str]:
    """Ids that are numbers sort as such."""
    return len(external_id), external_id


def _believe_end(checkpoint: Checkpoint, read: Read, page: Page) -> None:
    if page.count:
        return
    if checkpoint.phase == "list" and checkpoint.cursor is not None and not ends_blank(read):
        raise EmptyEndError("an empty page ends a list that was to go on")
    if page.total is not None and page.total > checkpoint.read:
        raise EmptyEndError("an empty page says that there are records")


def follow(after: Checkpoint, cursor: str, *, repeats: bool) -> None:
    if after.steps > MAX_STEPS or (cursor in {after.cursor, after.mark} and not repeats):
        raise LostCursorError("the page names one as the next that we come from")
    after.cursor = cursor
    after.steps += 1
    if after.steps.bit_count() == 1:
        after.mark = cursor


def begin_at(after: Checkpoint, *, since_ms: int | None) -> None:
    after.since_ms, after.cursor, after.read, after.empty = since_ms, None, 0, 0
    after.steps, after.mark, after.last_id = 0, None, None


def _list_all(after: Checkpoint) -> None:
    if after.mode == "incremental":
        after.mode, after.watch = "full", True
    after.phase, after.doubtful, after.part, after.bookmark = "list", False, 0, None
    begin_at(after, since_ms=None)


def after_remap(checkpoint: Checkpoint, last: str | None) -> Checkpoint:
    """After a batch of held records; `last` None: that was the last batch."""
    after = msgspec.structs.replace(checkpoint, cursor=last)
    if last is None:
        after.phase = "end"
    return after


def _next_part(checkpoint: Checkpoint, spec: StreamSpec) -> Checkpoint:
    """Of the phase, or of the next one that has any."""
    if checkpoint.part + 1 < len(_reads(checkpoint, spec)):
        checkpoint.part += 1
    elif checkpoint.phase != "deletions" and spec.deletions:
        checkpoint.phase, checkpoint.part = "deletions", 0
    else:
        checkpoint.phase, checkpoint.part = "weigh", 0
    _begin_part(checkpoint, spec)
    return checkpoint


def _begin_part(checkpoint: Checkpoint, spec: StreamSpec) -> None:
    begin_at(checkpoint, since_ms=None)
    read = reader(checkpoint, spec)
    if checkpoint.phase == "incremental" and isinstance(read, Incremental):
        since = checkpoint.floor_ms or 0
        if read.lag_seconds:
            since = min(since, milliseconds(checkpoint.started) - read.lag_seconds * 1000)
        checkpoint.since_ms = max(0, since)
        if read.bookmark:
            checkpoint.cursor = checkpoint.bookmark


def to_weigh(checkpoint: Checkpoint) -> bool:
    """Whether a pass that has read everything found, or may find, that something is gone."""
    if checkpoint.walk is not None and (checkpoint.walk.answered or checkpoint.walk.missing):
        return True  # whose children are gone is known as they are written
    return checkpoint.gone > 0 or (checkpoint.watch and checkpoint.complete)


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
