"""Readers see every change once, in commit order, without a gap, whatever writers and readers go through.

32 writers of one tenant commit real pages, some rolled back after their positions were taken; readers are
killed between their effects and their commit. A checker compares what the readers wrote with what the writers
know to be committed. CHANGE_LOG_PAGES and CHANGE_LOG_SEED make it longer, or repeat one.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.readers import repository
from trunkline.readers.daily import DailyChangesReader
from trunkline.readers.reader import Batch, Reader
from trunkline.runs import changelog

from .conftest import Killed, Readers, Unruly, furnish

WRITERS = 32
PAGES = int(os.environ.get("CHANGE_LOG_PAGES", "6"))
SEED = int(os.environ.get("CHANGE_LOG_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
EACH = 4
"""Changes of a page."""

_SEE = text("""
    INSERT INTO seen (tenant_id, reader, position, external_id, revision)
    SELECT CAST(:t AS uuid), :reader, * FROM unnest(
        CAST(:positions AS bigint[]), CAST(:externals AS text[]), CAST(:revisions AS integer[]))
""")


class Recorder(Reader):
    """Writes down what it is given; `numb` fails always."""

    size = 50

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.outwards: list[int] = []

    async def outside(self, batch: Batch) -> None:
        self.outwards += range(batch.after + 1, batch.up_to + 1)

    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        if self.kind == "numb":
            raise ValueError("this reader never works")
        await session.execute(
            _SEE,
            {
                "t": batch.tenant_id,
                "reader": f"{self.kind}:{batch.name}",
                "positions": [one.position for one in batch.changes],
                "externals": [f"{one.stream}/{one.external_id}" for one in batch.changes],
                "revisions": [one.revision for one in batch.changes],
            },
        )


class Naive(Recorder):
    """Takes what lies between two positions for everything there will ever be."""

    loads = False

    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        rows = await session.execute(
            text(
                "SELECT position, stream, external_id, revision FROM changes"
                " WHERE tenant_id = :t AND position > :a AND position <= :b ORDER BY position"
            ),
            {"t": batch.tenant_id, "a": batch.after, "b": batch.up_to},
        )
        found: list[Any] = list(rows)
        await super().handle(session, msgspec.structs.replace(batch, changes=found))


class Page(msgspec.Struct, frozen=True):
    """One that is known to be committed: what it changed, and when it began and was known to have ended."""

    changed: list[tuple[str, int]]
    began: float
    ended: float


class History(msgspec.Struct):
    pages: list[Page] = []
    rolled_back: int = 0


async def write_all(db: Database, tenant: UUID, chance: random.Random, history: History) -> None:
    writers = await furnish(db, Unruly(db, chance, killed=0.2), tenant, WRITERS)

    async def one(writer: Any) -> None:
        revisions: dict[str, int] = {}
        live: set[str] = set()
        for mark in range(PAGES):
            chosen = chance.sample([f"e{number}" for number in range(EACH * 2)], EACH)
            gone = [name for name in chosen if name in live and chance.random() < 0.2]
            made = [name for name in chosen if name not in gone]
            began = time.monotonic()
            try:
                await writer.write(made, gone, mark)
            except Killed:
                history.rolled_back += 1
                continue
            for name in chosen:
                revisions[name] = revisions.get(name, 0) + 1
            live = (live | set(made)) - set(gone)
            changed = [(f"{writer.place.stream}/{name}", revisions[name]) for name in chosen]
            history.pages.append(Page(changed, began, time.monotonic()))

    await asyncio.gather(*(one(writer) for writer in writers))


async def check(db: Database, tenant: UUID, reader: str, history: History) -> list[str]:
    """What is wrong with what a reader saw; nothing, if it saw every change once and in commit order."""
    async with db.tenant(tenant) as session:
        rows = list(
            await session.execute(
                text(
                    "SELECT position, external_id, revision FROM seen"
                    " WHERE tenant_id = :t AND reader = :r ORDER BY number"
                ),
                {"t": tenant, "r": reader},
            )
        )
    faults = []
    wanted = sum(len(page.changed) for page in history.pages)
    positions = [row.position for row in rows]
    if positions != sorted(positions):
        faults.append("not in order")
    if len(set(positions)) != len(positions):
        faults.append("a position twice")
    if positions and set(positions) != set(range(1, max(positions) + 1)):
        faults.append("a gap")
    at = {(row.external_id, row.revision): row.position for row in rows}
    if len(at) != len(rows):
        faults.append("a change twice")
    known = {change for page in history.pages for change in page.changed}
    if missing := known - set(at):
        faults.append(f"{len(missing)} of {wanted} changes never seen, such as {min(missing)}")
    if invented := set(at) - known:
        faults.append(f"{len(invented)} changes that were rolled back, such as {min(invented)}")
    # a page that was known to be committed before another began stands before it
    spans = sorted(history.pages, key=lambda page: page.began)
    by_end = sorted(history.pages, key=lambda page: page.ended)
    latest, index = 0, 0
    for page in spans:
        while by_end[index].ended < page.began:
            latest = max([latest, *(at.get(change, 0) for change in by_end[index].changed)])
            index += 1
        if any(at.get(change, latest + 1) <= latest for change in page.changed):
            faults.append("not in the order of the commits")
            break
    return faults


@pytest.fixture
async def owner(database_url: str) -> Any:
    """With a table for what readers see; beside the product's, so without its policies."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE TABLE seen (tenant_id uuid NOT NULL, reader text NOT NULL, position bigint NOT NULL,"
        " external_id text NOT NULL, revision integer NOT NULL, number bigserial)"
    )
    await connection.execute("GRANT SELECT, INSERT ON seen TO trunkline_app")
    await connection.execute("GRANT USAGE ON SEQUENCE seen_number_seq TO trunkline_app")
    yield connection
    await connection.close()


@pytest.fixture
async def wide(database_url: str) -> Any:
    """A pool in which every writer has a connection of its own."""
    database = Database(database_url, pool_size=20, application="test")
    yield database
    await database.dispose()


async def through(
    db: Database, tenant: UUID, readers: list[Reader], chance: random.Random
) -> tuple[Any, Any]:
    """Writers and readers side by side, then the readers to the end."""
    running = Readers(db, Unruly(db, chance, killed=0.15), readers)
    for reader in readers:
        for name in ("one", "two") if reader.kind == "steady" else (reader.kind,):
            await running.add(tenant, reader, name)
    history = History()
    writing = asyncio.create_task(write_all(db, tenant, chance, history))
    while not writing.done():
        await running.step()
        await asyncio.sleep(0.002)
    await writing
    await running.until_idle(tenant)
    return history, running


async def test_every_change_is_seen_once_and_in_commit_order(
    wide: Database, owner: Any, tenant: UUID
) -> None:
    chance = random.Random(SEED)
    steady, numb, daily = Recorder("steady"), Recorder("numb"), DailyChangesReader()
    history, running = await through(wide, tenant, [steady, numb, daily], chance)
    said = f"CHANGE_LOG_SEED={SEED}"
    assert history.rolled_back > WRITERS * PAGES // 20, said
    assert running.kills > 0, said
    for name in ("steady:one", "steady:two"):
        assert await check(wide, tenant, name, history) == [], said
    head = sum(len(page.changed) for page in history.pages)
    assert set(steady.outwards) == set(range(1, head + 1)), said
    async with wide.tenant(tenant) as session:
        views = {view.name: view for view in await repository.views(session, tenant)}
        counted = await repository.days(session, tenant, 2)
    assert views["one"].position == views["one"].head == head, said
    assert views["numb"].failures > 0, "it holds up nobody"
    assert views["numb"].unread == head
    assert views["numb"].waiting_since is not None
    assert sum(day.created + day.updated + day.deleted for day in counted) == head, said
    assert sum(day.deleted for day in counted) > 0


class Late:
    """A database whose transactions wait once their positions are given out, until they may go on."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.given, self.may = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[AsyncSession]:
        async with self._db.tenant(tenant_id) as session:
            execute = session.execute

            async def late(statement: Any, *values: Any) -> Any:
                if statement in (changelog._ADD, changelog._CHANGE):
                    await execute(text("SELECT set_config('planted.given', nextval('planted')::text, true)"))
                    self.given.set()
                    await self.may.wait()
                return await execute(statement, *values)

            session.execute = late  # type: ignore[method-assign,assignment]
            yield session


async def test_the_checker_sees_a_position_that_comes_late(
    wide: Database, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: positions from a sequence, which are given out before the commit and not in its order."""
    await owner.execute(f"CREATE SEQUENCE planted INCREMENT {EACH} START {EACH}")
    await owner.execute("GRANT USAGE ON SEQUENCE planted TO trunkline_app")
    planted = """
        SELECT coalesce(nullif(current_setting('planted.given', true), '')::bigint, nextval('planted'))
            AS position
    """
    for name, written in (("_ADD", changelog._ADDED), ("_CHANGE", changelog._CHANGED)):
        monkeypatch.setattr(changelog, name, changelog._logged(written, planted))
    newest = text("""
        SELECT r.position, (SELECT coalesce(max(c.position), 0) FROM changes c WHERE c.tenant_id = :tenant) AS head
        FROM readers r WHERE r.tenant_id = :tenant AND r.kind = :kind AND r.name = :name
    """)
    monkeypatch.setattr(repository, "_POSITION", newest)
    tenant, naive, waiting = uuid4(), Naive("naive"), Late(wide)
    (slow,) = await furnish(wide, waiting, tenant, 1)
    (quick,) = await furnish(wide, wide, tenant, 1)
    running = Readers(wide, wide, [naive])
    await running.add(tenant, naive, "naive")
    history = History()

    async def write(writer: Any, word: str) -> None:
        made, began = [f"{word}{number}" for number in range(EACH)], time.monotonic()
        await writer.write(made, [], 1)
        changed = [(f"{writer.place.stream}/{name}", 1) for name in made]
        history.pages.append(Page(changed, began, time.monotonic()))

    async def read_up_to(position: int) -> None:
        async with asyncio.timeout(30):
            while await owner.fetchval("SELECT coalesce(max(position), 0) FROM seen") < position:
                await running.step()

    writing = asyncio.create_task(write(slow, "slow"))
    await asyncio.wait_for(waiting.given.wait(), 30)
    await write(quick, "quick")
    await read_up_to(2 * EACH)
    waiting.may.set()
    await writing
    await write(quick, "more")
    await read_up_to(3 * EACH)
    first = min(history.pages[1].changed)
    assert await check(wide, tenant, "naive:naive", history) == [
        "a gap",
        f"{EACH} of {3 * EACH} changes never seen, such as {first}",
    ]
