"""A tenant with many writers of its change log, and readers that are driven by real work."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.readers.jobs import ReadHandler
from trunkline.readers.reader import Reader
from trunkline.readers.repository import work_kind
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import Mapped
from trunkline.runs import writes
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.pages import PageWriter
from trunkline.runs.planning import Outcome
from trunkline.runs.prepared import Prepared
from trunkline.runs.writes import Place
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps
from trunkline.work.lease import Lease
from trunkline.work.repository import Claimed
from trunkline.work.together import Together

MODEL = "contact"


class Killed(BaseException):
    """The process ends here: what its transaction wrote is rolled back, its lease runs out."""


class Unruly:
    """A database in which some transactions end just before their commit, and others wait there."""

    def __init__(self, db: Database, chance: random.Random, *, killed: float) -> None:
        self._db = db
        self._chance = chance
        self._killed = killed

    @contextlib.asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[Any]:
        async with self._db.tenant(tenant_id) as session:
            yield session
            if self._chance.random() < self._killed:
                raise Killed
            if self._chance.random() < 0.3:
                await asyncio.sleep(self._chance.uniform(0, 0.01))


class Writer:
    """Real pages of one stream, through the page transaction."""

    def __init__(self, db: Any, tenant_id: UUID, connection_id: UUID, stream: str, lease: Lease) -> None:
        self.run_id, self.recipe_id = new_id(), new_id()
        self.place = Place(tenant_id, connection_id, stream)
        self.lease = lease
        nothing: Any = None
        recipe = RecipeInForce(
            recipe_id=self.recipe_id,
            name=stream,
            connection_id=connection_id,
            stream=stream,
            model=MODEL,
            enabled=True,
            version=1,
            schedule_seconds=60,
            definition=nothing,
            created_by="test",
            created_at=datetime.now(UTC),
        )
        self.pages = PageWriter(
            db=db,
            mapper=nothing,
            vault=nothing,
            lease=lease,
            place=self.place,
            run_id=self.run_id,
            recipes=[(recipe, nothing)],
            move=writes.move,
            spec=nothing,
        )

    async def write(self, made: Sequence[str], gone: Sequence[str], mark: int) -> None:
        outcome = Outcome(
            recipe_id=self.recipe_id,
            version=1,
            model=MODEL,
            results={one: Mapped(data={"mark": mark}) for one in made},
        )
        page = Prepared(
            asked=self.lease.now(),
            outcomes=[outcome],
            gone=[(one, None) for one in gone],
            mapped=[*made, *gone],
            counters={"pages": 1, "fetched": len(made)},
        )
        checkpoint = Checkpoint(
            mode="incremental", phase="list", fields=[], recipes={}, started=datetime.now(UTC)
        )
        await self.pages.commit(page, checkpoint, waiting=False)


async def furnish(db: Database, unruly: Any, tenant_id: UUID, count: int) -> list[Writer]:
    """An active connection with `count` streams, a run under way on each, and the lease of its work."""
    connection_id, client = uuid4(), uuid4()
    writers = []
    async with db.tenant(tenant_id) as session:

        async def run(sql: str, **values: Any) -> None:
            await session.execute(text(sql), {"t": tenant_id, "c": connection_id, **values})

        await run(
            "INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant,"
            " oauth_client_id, scopes, via, created_by)"
            " VALUES (:t, :c, 'hubspot', 'HubSpot', 'active', :t, :o, '{}', 'portal', 'test')",
            o=client,
        )
        for number in range(count):
            stream, work_id = f"s{number}", new_id()
            await run(
                "INSERT INTO work (tenant_id, id, kind, key, attempt, leased_by, lease_until)"
                " VALUES (:t, :w, 'sync', :k, 1, 'test', now() + interval '1 hour')",
                w=work_id,
                k=f"{connection_id}:{stream}",
            )
            claimed = Claimed(
                tenant_id=tenant_id,
                id=work_id,
                kind="sync",
                key=stream,
                args={},
                connection_id=connection_id,
                attempt=1,
                tries=0,
                now=datetime.now(UTC),
            )
            lease = Lease(claimed, holder="test", lease_seconds=3600)
            writer = Writer(unruly, tenant_id, connection_id, stream, lease)
            writers.append(writer)
            await run(
                "INSERT INTO runs (tenant_id, id, connection_id, stream, mode, trigger, state)"
                " VALUES (:t, :r, :c, :s, 'first', 'manual', 'running')",
                r=writer.run_id,
                s=stream,
            )
            await run(
                "INSERT INTO streams (tenant_id, connection_id, stream, schedule_seconds, freshness_seconds,"
                " run_id) VALUES (:t, :c, :s, 60, 900, :r)",
                r=writer.run_id,
                s=stream,
            )
            await run(
                "INSERT INTO recipes (tenant_id, id, connection_id, name, stream, model, version,"
                " schedule_seconds, created_by) VALUES (:t, :i, :c, :s, :s, :m, 1, 60, 'test')",
                i=writer.recipe_id,
                s=stream,
                m=MODEL,
            )
    return writers


class Readers:
    """Workers for readers: the dispatcher's choice, real claims, real handlers."""

    def __init__(self, db: Database, unruly: Any, readers: Sequence[Reader]) -> None:
        self._db = db
        self._handlers = {work_kind(reader.kind): ReadHandler(unruly, reader) for reader in readers}
        self._dispatcher = Dispatcher(
            db, list(self._handlers), lease_seconds=30, caps=Caps(tenant=1000, connection=1000)
        )
        self.kills = 0

    async def add(self, tenant_id: UUID, reader: Reader, name: str, gather: int = 0) -> None:
        async with self._db.tenant(tenant_id) as session:
            await session.execute(
                text("INSERT INTO readers (tenant_id, kind, name, gather_seconds) VALUES (:t, :k, :n, :g)"),
                {"t": tenant_id, "k": reader.kind, "n": name, "g": gather},
            )

    async def step(self) -> int:
        """Do what is due once; how much that was."""
        batch = await self._dispatcher.lease(16)
        if batch is None:
            return 0
        await asyncio.gather(*(self._one(handed) for handed in batch.handed))
        return len(batch.handed)

    async def _one(self, handed: Any) -> None:
        claimed = await Together(self._db, holder="reader", seconds=30).claim(handed)
        if claimed is None:
            return
        lease = Lease(claimed, holder="reader", lease_seconds=30)
        try:
            outcome = await self._handlers[claimed.kind](lease)
        except Killed:
            self.kills += 1
            async with self._db.tenant(handed.tenant_id) as session:
                await session.execute(
                    text(
                        "UPDATE work SET lease_until = now() - interval '1 s' WHERE tenant_id = :t AND id = :i"
                    ),
                    {"t": handed.tenant_id, "i": handed.work_id},
                )
            return
        if not lease.finished:
            async with self._db.tenant(handed.tenant_id) as session:
                await lease.finish(session, outcome)

    async def until_idle(self, tenant_id: UUID, seconds: float = 20) -> None:
        """Until every cursor that we move, but for those that failed, is at the head."""
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        while datetime.now(UTC) < end:
            await self.step()
            async with self._db.tenant(tenant_id) as session:
                behind = await session.scalar(
                    text(
                        "SELECT count(*) FROM readers r JOIN change_heads h ON h.tenant_id = r.tenant_id"
                        " WHERE r.tenant_id = :t AND r.kind <> 'feed' AND r.failures = 0"
                        " AND r.position < h.position"
                    ),
                    {"t": tenant_id},
                )
            if not behind:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def tenant() -> UUID:
    return uuid4()
