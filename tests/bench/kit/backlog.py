"""Work for a measurement's worker: written in bulk, or asked for one by one as a product would."""

import asyncio
import random
import subprocess
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
from redis.asyncio import Redis

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.work.queue import WorkQueue

_FILL = """
    INSERT INTO work (tenant_id, id, kind, key, due_at, ready)
    SELECT tenant, gen_random_uuid(), $4, 'item-' || number, now() + make_interval(secs => $3), $3 <= 0
    FROM unnest($1::uuid[]) AS tenant, generate_series(1, $2) AS number
"""


async def fill(
    url: str, tenants: Sequence[UUID], each: int, *, due_in: float = 0, kind: str = "bench"
) -> None:
    owner = await asyncpg.connect(url)
    try:
        await owner.execute(_FILL, list(tenants), each, due_in, kind)
        await owner.execute("ANALYZE work")
    finally:
        await owner.close()


async def clear(url: str) -> None:
    owner = await asyncpg.connect(url)
    try:
        await owner.execute("DELETE FROM work")
        await owner.execute("VACUUM ANALYZE work")
    finally:
        await owner.close()


async def starts(
    settings: Settings, worker: "subprocess.Popen[str]", number: int, *, pause: float, tenants: int = 1
) -> list[float]:
    """Milliseconds from the commit that asked for an item to its beginning, for each of `number` items."""
    db, valkey = Database(settings.database_url, application="bench"), Redis.from_url(settings.valkey_url)
    queue, ids = WorkQueue(valkey), [uuid4() for _ in range(tenants)]
    assert worker.stdout is not None
    asked: dict[str, float] = {}
    begun = asyncio.create_task(asyncio.to_thread(_read, worker, number))
    try:
        for index in range(number):
            key = f"!{index}"
            async with db.tenant(ids[index % tenants]) as session:
                await queue.enqueue(session, tenant_id=ids[index % tenants], kind="bench", key=key)
            asked[key] = time.monotonic()
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        found = await begun
    finally:
        await valkey.aclose()
        await db.dispose()
    return sorted(max(0.0, at - asked[key]) * 1000 for key, at in found.items())


def _read(worker: "subprocess.Popen[str]", number: int) -> dict[str, float]:
    assert worker.stdout is not None
    found: dict[str, float] = {}
    while len(found) < number:
        line = worker.stdout.readline()
        if not line:
            raise RuntimeError("the worker of this measurement ended")
        key, _, at = line.strip().partition(" ")
        if key.startswith("!"):
            found[key] = float(at)
    return found


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
