from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from trunkline.audit import repository
from trunkline.audit.chain import link
from trunkline.audit.service import append
from trunkline.audit.verification import Heads, Result, Signed, verify
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal

LENGTH = 12


class Log:
    """A tenant's log, and a superuser whom nothing holds back."""

    def __init__(self, db: Database, owner: asyncpg.Connection) -> None:
        self.db, self.owner, self.tenant = db, owner, new_id()
        self.ada = Principal(kind="member", id="1", role="owner", label="Ada Byron", tenant_id=self.tenant)

    async def write(self, entries: int) -> None:
        async with self.db.tenant(self.tenant) as session:
            for number in range(entries):
                await append(
                    session,
                    self.ada,
                    "recipe.saved",
                    "recipe",
                    str(number),
                    {"stream": "contacts"},
                    "Ticket 7 – wegen Ä",
                    before={"every": 60, "number": number},
                    after={"every": 300, "number": number},
                )

    async def save(self) -> None:
        await self.owner.execute("CREATE TABLE saved AS SELECT * FROM audit_entries")
        await self.owner.execute("CREATE TABLE saved_heads AS SELECT * FROM audit_heads")

    async def restore(self) -> None:
        """As it was saved, whatever was done to it since."""
        await self.owner.execute(
            "DELETE FROM audit_entries; INSERT INTO audit_entries SELECT * FROM saved;"
            "DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM saved_heads"
        )

    async def verify(self, signed: Heads | None = None, tenant: UUID | None = None) -> Result:
        return await verify(self.db, tenant or self.tenant, signed or {})

    async def faults(self, signed: Heads | None = None) -> list[tuple[int, str]]:
        return [(fault.sequence, fault.kind) for fault in (await self.verify(signed)).faults]

    async def signed(self) -> Heads:
        """What a file of signed heads would say of it now."""
        async with self.db.tenant(self.tenant) as session:
            head = await repository.head(session, self.tenant)
        assert head is not None
        return {head.sequence: [Signed(head.hash, now())]}

    async def rewrite(self, first: int) -> None:
        """Everything from there on linked anew, head included: as good a forgery as there can be."""
        async with self.db.tenant(self.tenant) as session:
            links = await repository.links(session, self.tenant, 0, 10_000)
        last = links[first - 2].hash if first > 1 else bytes(32)
        for one in links[first - 1 :]:
            made = link(last, self.tenant, one.sequence, one.at, one.fields)
            await self.owner.execute(
                "UPDATE audit_entries SET previous = $1, hash = $2 WHERE sequence = $3",
                last,
                made,
                one.sequence,
            )
            last = made
        await self.owner.execute("UPDATE audit_heads SET sequence = $1, hash = $2", len(links), last)


@pytest.fixture
async def log(db: Database, database_url: str) -> AsyncIterator[Any]:
    owner = await asyncpg.connect(database_url)
    await owner.execute("SET session_replication_role = replica")  # no trigger, no constraint
    made = Log(db, owner)
    await made.write(LENGTH)
    await made.save()
    yield made
    await owner.close()
