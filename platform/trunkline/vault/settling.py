"""Waiting until nobody can still hold what was read before."""

import asyncio
import time

from trunkline.kernel.db import Database
from trunkline.vault import repository

LONGEST_WAIT = 120.0
"""Seconds; our own transactions end earlier, by their statement and idle time-outs. A dump may not."""


async def settled(db: Database, *, longest: float = LONGEST_WAIT) -> bool:
    """Waits for the end of every transaction that is open now; False if one outlasts `longest`."""
    async with db.system() as system:
        waiting = await repository.open_transactions(system)
    deadline = time.monotonic() + longest
    while waiting:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
        async with db.system() as system:
            waiting &= await repository.open_transactions(system)
    return True
