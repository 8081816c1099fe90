"""A stream's records as the engine would hold them: its own passes and pages, over a dictionary.

What decides is `runs.checkpoint` and `runs.documents`, as in the product; here is only what a database keeps.
"""

from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from trunkline.kit.harness import Connected, Line
from trunkline.resilience.failures import failure
from trunkline.runs.checkpoint import Checkpoint, Settled, Walk, begin, reader, restarted, watermark_of
from trunkline.runs.documents import Item, Page
from trunkline.runs.errors import ProviderError
from trunkline.runs.fetching import CODES
from trunkline.runs.moments import parse_moment
from trunkline.runs.walking import NONE_LEFT, names_all, next_of
from trunkline.sdk.manifest import Deletions, Manifest, Read, StreamSpec, point

MAX_PAGES = 2000


class EndlessError(Exception):
    """The pages do not end."""


class Copy:
    def __init__(
        self, harness: Line, connected: Connected, spec: StreamSpec, most: int | None = None
    ) -> None:
        """`most`: pages that are read of what it is read for."""
        self._harness = harness
        self._most = most
        self._connected = connected
        self.spec = spec
        self.records: dict[str, Item] = {}
        self.settled: Settled | None = None
        self.watermark: datetime | None = None
        self.pages = 0
        """Of the last run."""
        self.entries = 0
        self.last: Checkpoint | None = None
        self._parents: Copy | None = None
        self._changed: list[str] = []
        """Parents to ask, of a pass over what changed."""
        self._named: set[str] = set()
        """Records of the parent that is being read."""
        if spec.parent is not None:
            of = connected.target.manifest.stream(spec.parent.stream)
            assert of is not None
            self._parents = Copy(harness, connected, of, most)

    def use(self, connected: Connected) -> None:
        self._connected = connected
        if self._parents is not None:
            self._parents.use(connected)

    async def run(self, *, full: bool = False, stop_after: int | None = None) -> Checkpoint | None:
        """From a new checkpoint to the end of the pass; None: stopped before it. Raises ProviderError."""
        checkpoint = begin(
            self.spec,
            settled=self.settled,
            watermark=self.watermark,
            fields=list(self.spec.field_names),
            recipes={},
            forced="full" if full else None,
            started=self._harness.clock.now(),
            pass_id=uuid4(),
            held=bool(self.records),
        )
        self._seen: set[str] = set()
        if self._parents is not None:
            await self._follow(self._parents)
        return await self.go_on(checkpoint, stop_after=stop_after)

    async def go_on(self, checkpoint: Checkpoint, *, stop_after: int | None = None) -> Checkpoint | None:
        self.pages = self.entries = 0
        while checkpoint.phase in {"list", "incremental", "deletions"}:
            read = reader(checkpoint, self.spec)
            try:
                page = await self._page(read, checkpoint)
                after = _advanced(checkpoint, self.spec, page)
            except ProviderError as error:
                again = restarted(checkpoint, uuid4()) if error.failure.code == "cursor_expired" else None
                if again is None:
                    raise
                checkpoint = again
                continue
            self._apply(checkpoint, read, page)
            checkpoint = after
            self.pages += page is not NONE_LEFT
            self.entries += page.count
            if self.pages > MAX_PAGES:
                raise EndlessError(f"{MAX_PAGES} pages did not come to an end")
            if (
                stop_after is not None
                and self.pages >= stop_after
                and checkpoint.phase not in {"orphans", "weigh"}
            ):
                # as the database would give it back
                self.last = msgspec.convert(msgspec.to_builtins(checkpoint), Checkpoint)
                return None
        if checkpoint.walk is None and checkpoint.complete and checkpoint.watch and not checkpoint.doubtful:
            for missing in set(self.records) - self._seen:
                del self.records[missing]
        self.watermark = watermark_of(checkpoint, self.watermark)
        if checkpoint.mode != "incremental":
            self.settled = Settled(fields=checkpoint.fields, recipes={})
        elif self.settled is not None:
            self.settled = msgspec.structs.replace(self.settled, bookmark=checkpoint.bookmark)
        self.last = checkpoint
        return checkpoint

    async def _follow(self, parents: "Copy") -> None:
        """What their records are read for is read first; whoever is gone takes those along."""
        before = parents.documents()
        await parents.run(stop_after=self._most)
        now = parents.documents()
        self._changed = [one for one in now if now[one] != before.get(one)]
        gone = before.keys() - now.keys()
        self.records = {one: item for one, item in self.records.items() if item.parent not in gone}

    def _next_parent(self, checkpoint: Checkpoint) -> str | None:
        assert self._parents is not None
        walk = checkpoint.walk or Walk()
        everybody = self._parents.records if checkpoint.phase == "list" else self._changed
        return walk.parent or min((one for one in everybody if one > (walk.passed or "")), default=None)

    async def _page(self, read: Read, checkpoint: Checkpoint) -> Page:
        values = checkpoint.values(self.spec)
        if self.spec.parent is not None:
            parent = self._next_parent(checkpoint)
            if parent is None:
                return NONE_LEFT
            values[self.spec.parent.field] = parent
        return await self._connected.provider.page(self._connected.target, self.spec, read, values)

    def _apply(self, checkpoint: Checkpoint, read: Read, page: Page) -> None:
        if isinstance(read, Deletions):
            for item in page.items:
                self._bury(item, parse_moment(point(item.document, read.at)) if read.at else None)
            return
        for item in page.items:
            held = self.records.get(item.external_id)
            late = held and held.modified_at and item.modified_at and item.modified_at < held.modified_at
            if not late:
                self.records[item.external_id] = item
        for item in page.gone:
            self._bury(item, item.modified_at)
        if page.parent is not None:
            self._conclude(checkpoint, page)
        elif checkpoint.phase == "list":
            self._seen |= {item.external_id for item in page.items}

    def _conclude(self, checkpoint: Checkpoint, page: Page) -> None:
        """What a parent's whole list does not name is gone."""
        self._named |= {item.external_id for item in page.items}
        if page.next is not None:
            return
        whole = names_all(checkpoint, page)
        self.records = {
            one: item
            for one, item in self.records.items()
            if not whole or item.parent != page.parent or one in self._named
        }
        self._named = set()

    def _bury(self, item: Item, at: datetime | None) -> None:
        held = self.records.get(item.external_id)
        if held is not None and (at is None or held.modified_at is None or held.modified_at <= at):
            del self.records[item.external_id]

    def documents(self) -> dict[str, dict[str, Any]]:
        return {external_id: item.document for external_id, item in self.records.items()}


def _advanced(checkpoint: Checkpoint, spec: StreamSpec, page: Page) -> Checkpoint:
    """As in `runs.reading`."""
    try:
        return next_of(checkpoint, spec, page)
    except ValueError as error:
        code = CODES.get(type(error), "malformed_answer")
        raise ProviderError(failure(code), detail={"error": str(error)}) from error


def short(manifest: Manifest, size: int) -> Manifest:
    """With pages of at most `size`, so that a few records make several."""

    def cut(read: Any) -> Any:
        return msgspec.structs.replace(read, page_size=min(read.page_size, size))

    return msgspec.structs.replace(
        manifest,
        streams=tuple(
            msgspec.structs.replace(
                one,
                list=cut(one.list),
                also=tuple(map(cut, one.also)),
                incremental=None if one.incremental is None else cut(one.incremental),
                also_incremental=tuple(map(cut, one.also_incremental)),
                deletions=tuple(map(cut, one.deletions)),
            )
            for one in manifest.streams
        ),
    )
