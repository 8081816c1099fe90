"""Places in the product at which one process of a rig is killed, once: laid by a file, sprung by whoever comes by.

Each replaces what it stands at by name, so it fails loudly when that is no longer there.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AFTER_INSERT = "after the insert"
"""Web: the events are durable, nobody was answered."""
IN_INSERT = "in the insert"
"""Web: the statement that keeps the events of several requests is under way."""
IN_BATCH = "in a batch"
"""Worker: what a batch of events makes is written, and not committed."""
AFTER_SENDING = "after sending"
"""Worker: an endpoint has taken an event, and that is not noted."""
UNDER_WAY_SECONDS = 0.001


def file_of(folder: Path, name: str, point: str) -> Path:
    return folder / "traps" / f"{name}.{point}"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stand_at_all(folder: Path, name: str) -> None:
    """In the process `name`, before it starts."""
    from trunkline.deliveries.sender import Sender, Sent
    from trunkline.webhooks import event_repository, repository

    def sprung(point: str) -> bool:
        try:
            file_of(folder, name, point).unlink()
        except FileNotFoundError:
            return False
        return True

    keep, mark, send = repository.keep, event_repository.mark, Sender.send

    async def kept(db: Any, rows: Sequence[Any]) -> Any:
        if sprung(IN_INSERT):
            asyncio.get_running_loop().call_later(UNDER_WAY_SECONDS, _die)
        touched = await keep(db, rows)
        if sprung(AFTER_INSERT):
            _die()
        return touched

    async def marked(session: Any, tenant_id: Any, run_id: Any, made: Sequence[Any]) -> None:
        await mark(session, tenant_id, run_id, made)
        if made and sprung(IN_BATCH):
            _die()

    async def sent(self: Any, *given: Any, **named: Any) -> Sent:
        answer = await send(self, *given, **named)
        if answer.cause is None and sprung(AFTER_SENDING):
            _die()
        return answer

    repository.keep = kept
    event_repository.mark = marked
    Sender.send = sent  # type: ignore[method-assign]
