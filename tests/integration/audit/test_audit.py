"""The audit log: added to in the deed's transaction, read newest first, changed by nobody."""

import pytest
from sqlalchemy import text

from trunkline.audit.service import append, history
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import SYSTEM, Principal

A, B = new_id(), new_id()
ADA = Principal(kind="member", id="1", role="owner", label="Ada Byron", tenant_id=A)


async def note(db: Database, number: int) -> None:
    async with db.tenant(A) as session:
        await append(session, ADA, "connection.renamed", "connection", str(number % 2), {"number": number})


async def test_entries_read_newest_first_and_page_without_gaps(db: Database) -> None:
    for number in range(5):
        await note(db, number)
    async with db.tenant(A) as session:
        first = await history(session, A, limit=2)
        last = (first[-1].at, first[-1].id)
        rest = await history(session, A, before=last)
        of_one = await history(session, A, target=("connection", "1"))
    assert [one.detail["number"] for one in first + rest] == [4, 3, 2, 1, 0]
    assert [one.detail["number"] for one in of_one] == [3, 1]
    assert (first[0].actor, first[0].actor_kind, first[0].reason) == ("Ada Byron", "member", None)


async def test_entries_of_one_transaction_page_without_gaps(db: Database) -> None:
    async with db.tenant(A) as session:
        for number in range(4):
            await append(session, ADA, "recipe.saved", "recipe", "1", {"number": number})
        first = await history(session, A, limit=3)
        rest = await history(session, A, before=(first[-1].at, first[-1].id))
    assert sorted(one.detail["number"] for one in first + rest) == [0, 1, 2, 3]


async def test_a_deed_that_fails_leaves_no_entry(db: Database) -> None:
    async def deed() -> None:
        async with db.tenant(A) as session:
            await append(session, ADA, "connection.paused", "connection", "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await deed()
    async with db.tenant(A) as session:
        assert await history(session, A) == []


async def test_no_tenant_reads_or_writes_anothers(db: Database) -> None:
    await note(db, 1)
    async with db.tenant(B) as session:
        assert await history(session, A) == []
        assert await history(session, B) == []
    with pytest.raises(Exception, match="row-level security"):
        async with db.tenant(B) as session:
            await append(session, ADA, "connection.paused", "connection", "1")


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"])
async def test_nobody_rewrites_history(db: Database, statement: str) -> None:
    for scope in (db.tenant(A), db.system()):
        with pytest.raises(Exception, match="permission denied"):
            async with scope as session:
                await session.execute(text(statement))


async def test_mistakes_of_the_caller_are_refused(db: Database) -> None:
    async with db.tenant(A) as session:
        for wrong in ("paused", "Connection.paused", "connection.paused; drop"):
            with pytest.raises(ValueError, match=r"noun\.verb"):
                await append(session, ADA, wrong, "connection", "1")
        with pytest.raises(ValueError, match="needs a tenant"):
            await append(session, SYSTEM, "connection.paused", "connection", "1")
        with pytest.raises(ValueError, match="must not carry"):
            await append(session, ADA, "connection.paused", "connection", "1", {"access_token": "x"})
        await append(session, SYSTEM, "connection.paused", "connection", "1", reason="r" * 900, tenant_id=A)
        [entry] = await history(session, A)
    assert entry.actor == "Trunkline"
    assert entry.reason == "r" * 500
