"""The pages of a pass in their order, fetched ahead of whoever writes them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import msgspec

from trunkline.resilience.failures import failure
from trunkline.runs.checkpoint import Checkpoint, EmptyEndError, LostCursorError, reader
from trunkline.runs.errors import ProviderError
from trunkline.runs.parents import Parents
from trunkline.runs.provider import OnWait, Page, ProviderClient, Target
from trunkline.runs.walker import Walker
from trunkline.runs.walking import ParentsMissingError, next_of
from trunkline.sdk.manifest import StreamSpec

AHEAD_PAGES: Final = 24
AHEAD_BYTES: Final = 4 * 1024 * 1024
"""Of answers that lie here; beyond either the provider is not asked further."""
BATCH_RECORDS: Final = 2000
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of pages that are taken together; a single page may be larger."""
GATHER_SECONDS: Final = 0.1
"""How long pages that are there wait for the next ones."""
ASKED_IN: Final = frozenset({"list", "incremental", "deletions"})
"""Phases of a pass that ask a provider."""
CODES: dict[type[ValueError], str] = {
    EmptyEndError: "empty_page",
    LostCursorError: "cursor_expired",
    ParentsMissingError: "not_found",
}


class Fetched(msgspec.Struct, frozen=True):
    """A page, and when it was asked for, by the database's clock: it may be older than what came since.

    It leads from the checkpoint `before` it to the one `after` it.
    """

    page: Page
    asked: datetime
    before: Checkpoint
    after: Checkpoint
    ids: frozenset[str]

    def goes_with(self, other: "Fetched") -> bool:
        """Whether both are read in the same way."""
        ours, theirs = self.before, other.before
        return (ours.phase, ours.part, ours.mode, ours.id) == (
            theirs.phase,
            theirs.part,
            theirs.mode,
            theirs.id,
        )


class Fetcher:
    def __init__(
        self,
        provider: ProviderClient,
        target: Target,
        spec: StreamSpec,
        now: Callable[[], datetime],
        on_wait: OnWait,
        parents: Parents | None = None,
    ) -> None:
        """`parents`: of a stream that is read for each record of another."""
        self._walker = None if parents is None else Walker(parents, self._ask, now)
        self._provider = provider
        self._target = target
        self._spec = spec
        self._now = now
        self._tell = on_wait
        self._task: asyncio.Task[None] | None = None
        self._ready: deque[Fetched] = deque()
        self._bytes = 0
        self._error: Exception | None = None
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self.waiting = False
        """The page after these waits for a limit."""

    async def begin(self, checkpoint: Checkpoint) -> None:
        """From this checkpoint on. What was fetched before is forgotten."""
        await self.forget()
        self._task = asyncio.create_task(self._fetch_on(checkpoint))

    async def take(self, most: int, stop: asyncio.Event) -> list[Fetched]:
        """The next pages, up to `most` that go together. Nothing: `stop` was set first, or this is the end.

        Raises what kept the next page from being fetched, once those before it are taken.
        """
        async with _either(stop) as stopped:
            if not await self._arrived(1, None, stopped):
                if self._error is not None:
                    raise self._error
                return []
            if most > 1:
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_SECONDS):
                        await self._arrived(most, BATCH_BYTES, stopped)
        return self._batch(most)

    async def forget(self) -> None:
        """What was fetched ahead; nothing more is asked for."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._walker is not None:
            await self._walker.forget()
        self._ready.clear()
        self._bytes, self._error, self.waiting = 0, None, False

    # -- inside -----------------------------------------------------------------------------

    async def _arrived(self, number: int, size: int | None, stopped: "asyncio.Task[bool]") -> bool:
        """Waits until so many pages, or so many bytes, are there; whether any is."""
        while len(self._ready) < number and not (size is not None and self._bytes >= size):
            if stopped.done() or self._task is None or self._task.done():
                break
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({news, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
        return bool(self._ready) and not stopped.done()

    def _batch(self, most: int) -> list[Fetched]:
        made = [self._ready.popleft()]
        seen, size = set(made[0].ids), made[0].page.size
        while self._ready and len(made) < most:
            following = self._ready[0]
            size += following.page.size
            if len(seen) + len(following.ids) > BATCH_RECORDS or size > BATCH_BYTES:
                break
            # a record that is named twice is compared with what its first page made of it
            if not following.goes_with(made[0]) or not seen.isdisjoint(following.ids):
                break
            seen |= following.ids
            made.append(self._ready.popleft())
        self._bytes -= sum(one.page.size for one in made)
        self._room.set()
        return made

    async def _fetch_on(self, checkpoint: Checkpoint) -> None:
        try:
            while checkpoint.phase in ASKED_IN:
                fetched = await self._fetch(checkpoint)
                if _is_cancelled():
                    break
                self._ready.append(fetched)
                self._bytes += fetched.page.size
                self._news.set()
                checkpoint = fetched.after
                while len(self._ready) >= AHEAD_PAGES or self._bytes >= AHEAD_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - raised again by whoever comes to that page
            self._error = error
        finally:
            self.waiting = False
            self._news.set()

    async def _fetch(self, checkpoint: Checkpoint) -> Fetched:
        try:
            if self._walker is None:
                asked = self._now()
                page = await self._ask(checkpoint, None, self._on_wait)
            else:
                page, asked = await self._walker.page(checkpoint, self._on_wait)
        finally:
            self.waiting = False
        ids = frozenset(item.external_id for item in (*page.items, *page.gone))
        after = self._after(checkpoint, page)
        if after.walk is not None and after.walk.parent is not None and after.walk.began is None:
            after.walk = msgspec.structs.replace(after.walk, began=asked)
        return Fetched(page, asked, checkpoint, after, ids)

    async def _ask(self, checkpoint: Checkpoint, parent: str | None, on_wait: OnWait) -> Page:
        read, values = reader(checkpoint, self._spec), checkpoint.values(self._spec)
        if self._spec.parent is not None:
            values[self._spec.parent.field] = parent
        # of a list most records are those that are held, unless nothing is, or all are to be mapped
        skim = checkpoint.phase == "list" and checkpoint.watch and not checkpoint.map_all
        return await self._provider.page(self._target, self._spec, read, values, on_wait=on_wait, skim=skim)

    def _after(self, checkpoint: Checkpoint, page: Page) -> Checkpoint:
        try:
            return next_of(checkpoint, self._spec, page)
        except ValueError as error:
            code = CODES.get(type(error), "malformed_answer")
            raise ProviderError(failure(code), detail={"error": str(error)}) from error

    async def _on_wait(self, until: datetime, cause: str) -> None:
        self.waiting = True
        await self._tell(until, cause)


def _is_cancelled() -> bool:
    """Also where a call that ended in the same moment kept the cancellation to itself, as time-outs may."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def _either(event: asyncio.Event) -> AsyncIterator["asyncio.Task[bool]"]:
    """Done as soon as the event is set."""
    task = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()


@asynccontextmanager
async def fetching(fetcher: Fetcher) -> AsyncIterator[Fetcher]:
    try:
        yield fetcher
    finally:
        await fetcher.forget()
