"""Four bugs, put into a process from outside: the checker must see each of them.

Each replaces what it breaks by name, so it fails loudly when that is no longer there.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

LOOSE_SECONDS = 6.0
"""How long the checkpoint is ahead of its page: long enough to be killed there, on a busy machine too."""
WHOLE_PAGES = 2
"""Before that: somebody must have seen pages be written."""


def _page_by_page() -> None:
    """These are seen between two pages; a batch would hold all that there is."""
    from trunkline.runs import batches

    batches.MOST_PAGES = 1  # type: ignore[misc]


def fencing_off() -> None:
    """Every write passes and every heartbeat says yes, whoever has the work by now."""
    _page_by_page()
    from trunkline.runs import writes
    from trunkline.work import repository

    async def passes(*_: Any, **__: Any) -> bool:
        return True

    async def all_mine(_session: Any, held: Sequence[Any], **_: Any) -> set[Any]:
        return {lease.work_id for lease in held}

    assert callable(repository.renew)
    held_records = writes.held_records

    async def unaware(*args: Any, **options: Any) -> Any:
        """A page is also compared with what came since it was asked for: that alone would stop this one."""
        found = await held_records(*args, **options)
        return {key: msgspec.structs.replace(held, since=False) for key, held in found.items()}

    writes.held_records = unaware
    assert callable(repository.heartbeat)
    repository.renew = passes
    repository.heartbeat = all_mine


def dedupe_off() -> None:
    """What was read again counts as changed: fingerprints are not compared."""
    from trunkline.runs import writes

    records, entities = writes.held_records, writes.held_entities

    async def changed_records(*args: Any, **options: Any) -> Any:
        found = await records(*args, **options)
        return {key: msgspec.structs.replace(held, fingerprint=b"another") for key, held in found.items()}

    async def changed_entities(*args: Any, **options: Any) -> Any:
        found = await entities(*args, **options)
        return {key: msgspec.structs.replace(held, fingerprint=b"another") for key, held in found.items()}

    writes.held_records = changed_records
    writes.held_entities = changed_entities


def checkpoint_first() -> None:
    """The checkpoint is committed by itself, and its page a little later."""
    _page_by_page()
    from trunkline.runs import writes
    from trunkline.runs.pages import PageWriter

    commit = PageWriter.commit
    written = 0

    async def torn(self: Any, page: Any, checkpoint: Any, **options: Any) -> None:
        nonlocal written
        written += 1
        if written <= WHOLE_PAGES:
            await commit(self, page, checkpoint, **options)
            return
        state = msgspec.json.encode(checkpoint)
        async with self._db.tenant(self._place.tenant_id) as session:
            await writes.move(session, self._place, self._run_id, state, 0, waiting=False)
        await asyncio.sleep(LOOSE_SECONDS)
        await commit(self, page, checkpoint, **options)

    PageWriter.commit = torn  # type: ignore[method-assign]


def intake_dedupe_off() -> None:
    """What is delivered again counts as another event."""
    import os

    from trunkline.webhooks import events

    plain = events._event

    def always_new(*given: Any) -> Any:
        return msgspec.structs.replace(plain(*given), identity=os.urandom(events.IDENTITY_BYTES))

    events._event = always_new


PLANTS: dict[str, Callable[[], None]] = {
    "fencing": fencing_off,
    "dedupe": dedupe_off,
    "checkpoint": checkpoint_first,
    "intake": intake_dedupe_off,
}
