"""Pages of a pass on their way into the database: those that are there together in one transaction.

While a batch is written the next one is made ready. What that is compared with is complete all the same: a
batch that names records of the one before it waits for it, and so does one of another phase. They begin with
one page and double as long as all goes well, so that progress shows at once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from trunkline.kernel.ids import new_id
from trunkline.resilience.failures import failure
from trunkline.runs.attempt import Attempt
from trunkline.runs.checkpoint import Checkpoint, reader, restarted, to_weigh
from trunkline.runs.documents import Item, MalformedPageError
from trunkline.runs.errors import OvertakenError, ProviderError
from trunkline.runs.fetching import ASKED_IN, Fetched, Fetcher
from trunkline.runs.pages import PageWriter
from trunkline.runs.parents import Asked
from trunkline.runs.prepared import Prepared
from trunkline.runs.untold import suspected
from trunkline.runs.walking import NONE_LEFT, names_all
from trunkline.runs.watching import FieldWatch
from trunkline.sdk.manifest import Deletions, Incremental
from trunkline.work.lease import Lease

MOST_PAGES: Final = 20
"""In one transaction."""


class Batches:
    """Of one attempt. `reached`: the last checkpoint that was committed."""

    def __init__(
        self, lease: Lease, run: Attempt, writer: PageWriter, fetcher: Fetcher, watch: FieldWatch
    ) -> None:
        self._lease = lease
        self._run = run
        self._writer = writer
        self._fetcher = fetcher
        self._watch = watch
        self._most = 1
        self._writing: asyncio.Task[None] | None = None
        self._in_hand: frozenset[str] = frozenset()
        """Records of the batch that is being written."""
        self.reached = run.checkpoint

    async def read(self, go_on: Callable[[Checkpoint], bool]) -> None:
        """From `reached` until the provider need not be asked any more, or `go_on` says no.

        Whatever is raised, the pages before it that were whole are written. Raises what `PageWriter.commit`
        does, and ProviderError.
        """
        ahead = self.reached
        await self._fetcher.begin(ahead)
        try:
            while ahead.phase in ASKED_IN and go_on(ahead):
                batch = await self._fetcher.take(self._most, self._lease.stopping)
                if not batch:
                    break
                ahead = await self._put(batch, ahead)
            await self._written()
        except ProviderError as error:
            await self._written()
            again = restarted(self.reached, new_id()) if error.failure.code == "cursor_expired" else None
            if again is None:
                raise
            await self._writer.commit(self._writer.nothing(), again)
            self.reached = again
        except OvertakenError:
            self._most = 1  # somebody else is at work here: what is asked for should soon be written
            raise
        finally:
            await self._end()

    # -- inside -----------------------------------------------------------------------------

    async def _put(self, batch: Sequence[Fetched], ahead: Checkpoint) -> Checkpoint:
        before, after = batch[0].before, msgspec.structs.replace(batch[-1].after)
        ids = frozenset().union(*(one.ids for one in batch))
        if before.phase != ahead.phase or not ids.isdisjoint(self._in_hand):
            await self._written()
        self._writer.caution = self._watch.caution
        try:
            prepared = await self._prepared(batch)
        except MalformedPageError as error:
            if len(batch) == 1:
                raise ProviderError(failure("malformed_answer"), detail={"error": str(error)}) from error
            for one in batch:  # those before it are whole
                ahead = await self._put([one], ahead)
            return ahead
        after.gone = ahead.gone + len(prepared.found_gone)
        after.late = ahead.late + prepared.late
        if after.phase == "weigh" and not to_weigh(after):
            after.phase = "end"
        await self._written()
        self._in_hand = ids
        self._writing = asyncio.create_task(self._write(prepared, after))
        return after

    async def _write(self, prepared: Prepared, after: Checkpoint) -> None:
        await self._writer.commit(prepared, after, waiting=self._fetcher.waiting)
        self.reached = after
        self._most = min(MOST_PAGES, self._most * 2)

    async def _written(self) -> None:
        """What is under way is, or raises why not."""
        task, self._writing = self._writing, None
        if task is not None:
            await task
            self._in_hand = frozenset()

    async def _end(self) -> None:
        task, self._writing = self._writing, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self._in_hand = frozenset()
        await self._fetcher.forget()

    async def _prepared(self, batch: Sequence[Fetched]) -> Prepared:
        before = batch[0].before
        asked = min(one.asked for one in batch)  # a parent's first page may have been asked for ahead
        pages = [one.page for one in batch if one.page is not NONE_LEFT]
        read = reader(before, self._run.spec)
        whole = before.phase == "list" or before.walk is not None  # of one parent, or of everything
        if before.phase == "deletions" and isinstance(read, Deletions):
            items = [item for page in pages for item in page.items]
            prepared = await self._writer.archived(items, read, asked=asked)
            prepared.counters["pages"] = len(pages)
        else:
            prepared = await self._writer.listed(
                pages, asked=asked, map_all=before.map_all, whole=whole, look=self._look
            )
            if before.walk is None:
                prepared.expected = next((page.total for page in pages if page.total is not None), None)
            gone = [item for page in pages for item in page.gone]
            if gone:
                prepared.found_gone = (await self._writer.archived(gone, None, asked=asked)).found_gone
            if isinstance(read, Incremental) and read.events is not None:
                prepared.late = 0  # of several events of one record the newest comes first
        prepared.untold = suspected(prepared.records, self._run.told_since, asked)
        prepared.owner = before.id
        if before.walk is not None:
            prepared.parents = _asked(batch)
        if whole and (before.watch or before.walk is not None):
            prepared.seen = [item.external_id for page in pages for item in page.items]
        return prepared

    async def _look(self, items: Sequence[Item]) -> None:
        await self._watch.differing(items)
        self._writer.caution = self._watch.caution


def _asked(batch: Sequence[Fetched]) -> list[Asked]:
    made: dict[str, Asked] = {}
    for one in batch:
        parent, walk = one.page.parent, one.before.walk
        if parent is None or walk is None:
            continue
        began = walk.began if walk.parent == parent else None
        before = made.get(parent)
        ids = tuple(item.external_id for item in one.page.items)
        made[parent] = Asked(
            parent_id=parent,
            ids=ids if before is None else before.ids + ids,
            asked=began or one.asked,
            at=one.page.at or one.asked,
            begun=began is not None if before is None else before.begun,
            ended=one.page.missing or one.page.next is None,
            whole=names_all(one.before, one.page),
        )
    return list(made.values())
