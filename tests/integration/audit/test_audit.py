"""The audit log: added to in the deed's transaction, read newest first, changed by nobody."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from trunkline.audit import repository
from trunkline.audit.service import Wanted, append, history
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import CLIENT_ADDRESS, SYSTEM, Principal

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
        rest = await history(session, A, Wanted(older_than=first[-1].sequence))
        back = await history(session, A, Wanted(newer_than=rest[0].sequence), limit=2)
        of_one = await history(session, A, Wanted(target_kind="connection", target_id="1"))
    assert [one.detail["number"] for one in first + rest] == [4, 3, 2, 1, 0]
    assert back == first
    assert [one.detail["number"] for one in of_one] == [3, 1]
    assert (first[0].actor, first[0].actor_kind, first[0].reason) == ("Ada Byron", "member", None)


async def test_entries_are_found_by_who_what_and_when(db: Database) -> None:
    eve = Principal(kind="api_key", id="2", role="product", label="Backend", tenant_id=A)
    for who, action in ((ADA, "recipe.saved"), (eve, "recipe.saved"), (eve, "connection.paused")):
        async with db.tenant(A) as session:
            await append(session, who, action, action.partition(".")[0], "9")
    async with db.tenant(A) as session:
        newest, middle, oldest = await history(session, A)
        assert await history(session, A, Wanted(actor_kind="api_key", action="recipe.saved")) == [middle]
        assert await history(session, A, Wanted(actor_kind="member", actor_id="1")) == [oldest]
        assert await history(session, A, Wanted(target_kind="connection")) == [newest]
        assert await history(session, A, Wanted(since=middle.at, until=newest.at)) == [middle]
        assert await history(session, A, Wanted(since=newest.at + timedelta(seconds=1))) == []
        assert await repository.count(session, A, Wanted(actor_kind="api_key"), 100) == 2
        assert await repository.count(session, A, Wanted(), 2) == 2
        assert await repository.actions(session, A) == ["connection.paused", "recipe.saved"]
        assert await repository.actors(session, A, 9) == [
            ("api_key", "2", "Backend"),
            ("member", "1", "Ada Byron"),
        ]


async def test_entries_of_one_transaction_are_in_the_order_of_its_deeds(db: Database) -> None:
    async with db.tenant(A) as session:
        for number in range(4):
            await append(session, ADA, "recipe.saved", "recipe", "1", {"number": number})
    async with db.tenant(A) as session:
        found = await history(session, A)
    assert [(one.sequence, one.detail["number"]) for one in found] == [(4, 3), (3, 2), (2, 1), (1, 0)]


async def test_what_changed_and_from_where_is_kept(db: Database) -> None:
    known = CLIENT_ADDRESS.set("203.0.113.7")
    async with db.tenant(A) as session:
        for who in (ADA, SYSTEM):
            await append(
                session,
                who,
                "recipe.saved",
                "recipe",
                "1",
                before={"every": 60},
                after={"every": 300},
                tenant_id=A,
            )
    CLIENT_ADDRESS.reset(known)
    async with db.tenant(A) as session:
        by_system, by_ada = await history(session, A)
    assert (by_ada.before, by_ada.after, by_ada.address) == ({"every": 60}, {"every": 300}, "203.0.113.7")
    assert by_system.address is None


async def test_a_deed_that_fails_leaves_no_entry(db: Database) -> None:
    async def deed() -> None:
        async with db.tenant(A) as session:
            await append(session, ADA, "connection.paused", "connection", "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await deed()
    async with db.tenant(A) as session:
        assert await history(session, A) == []


async def test_a_savepoint_that_is_undone_takes_its_entries_along(db: Database) -> None:
    async def undone(session: object) -> None:
        async with session.begin_nested():  # type: ignore[attr-defined]
            await append(session, ADA, "recipe.saved", "recipe", "outer")  # type: ignore[arg-type]
            async with session.begin_nested():  # type: ignore[attr-defined]
                await append(session, ADA, "recipe.saved", "recipe", "inner")  # type: ignore[arg-type]
            raise RuntimeError

    async with db.tenant(A) as session:
        await append(session, ADA, "recipe.saved", "recipe", "first")
        with pytest.raises(RuntimeError):
            await undone(session)
        async with session.begin_nested():
            await append(session, ADA, "recipe.saved", "recipe", "kept")
    async with db.tenant(A) as session:
        assert [one.target_id for one in await history(session, A)] == ["kept", "first"]


async def test_no_tenant_reads_or_writes_anothers(db: Database) -> None:
    await note(db, 1)
    async with db.tenant(B) as session:
        assert await history(session, A) == []
        assert await history(session, B) == []
    with pytest.raises(Exception, match="row-level security"):
        async with db.tenant(B) as session:
            await append(session, ADA, "connection.paused", "connection", "1")


async def test_a_deed_of_the_installation_is_in_its_own_log(db: Database) -> None:
    await note(db, 1)
    async with db.system() as session:
        await db.hand_over(session, OPERATOR)
        await append(session, SYSTEM, "api_key.created", "api_key", "1", tenant_id=OPERATOR)
    async with db.tenant(OPERATOR) as session:
        assert [one.sequence for one in await history(session, OPERATOR)] == [1]
    async with db.system() as session:
        assert await repository.tenants(session) == [OPERATOR, A]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'x'",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET tenant_id = tenant_id",
    ],
)
async def test_nobody_rewrites_history(db: Database, statement: str) -> None:
    for scope in (db.tenant(A), db.system(), db.console()):
        with pytest.raises(Exception, match="permission denied"):
            async with scope as session:
                await session.execute(text(statement))


@pytest.mark.parametrize("change", ["sequence = 1", "sequence = 2", "sequence = 9", "hash = sha256('x')"])
async def test_a_head_moves_forward_only_and_to_an_entry_that_is_there(db: Database, change: str) -> None:
    for number in range(2):
        await note(db, number)
    with pytest.raises(Exception, match="only moves forward"):
        async with db.tenant(A) as session:
            await session.execute(text(f"UPDATE audit_heads SET {change}"))
    with pytest.raises(Exception, match="only moves forward"):
        async with db.tenant(B) as session:
            await session.execute(text(f"INSERT INTO audit_heads VALUES ('{B}', 3, sha256('x'), now())"))


async def test_the_console_reads_what_was_done_and_not_by_whom(db: Database) -> None:
    await note(db, 1)
    async with db.console() as session:
        [entry] = await history(session, A, people=False)
    assert (entry.action, entry.actor_kind, entry.actor) == ("connection.renamed", "member", "")
    for column in ("actor", "actor_id", "reason", "address"):
        with pytest.raises(Exception, match="permission denied"):
            async with db.console() as session:
                await session.execute(text(f"SELECT {column} FROM audit_entries"))


async def test_mistakes_of_the_caller_are_refused(db: Database) -> None:
    async with db.tenant(A) as session:
        for wrong in ("paused", "Connection.paused", "connection.paused; drop"):
            with pytest.raises(ValueError, match=r"noun\.verb"):
                await append(session, ADA, wrong, "connection", "1")
        with pytest.raises(ValueError, match="needs a tenant"):
            await append(session, SYSTEM, "connection.paused", "connection", "1")
        for secret in ({"access_token": "x"}, {"client": {"secret": "x"}}, {"all": [{"Password": "x"}]}):
            for place in ("detail", "before", "after"):
                with pytest.raises(ValueError, match="must not carry"):
                    await append(session, ADA, "connection.paused", "connection", "1", **{place: secret})
        with pytest.raises(ValueError, match="8192 bytes"):
            await append(session, ADA, "connection.paused", "connection", "1", after={"name": "x" * 9000})
        await append(session, SYSTEM, "connection.paused", "connection", "1", reason="r" * 900, tenant_id=A)
    async with db.tenant(A) as session:
        [entry] = await history(session, A)
    assert entry.actor == "Trunkline"
    assert entry.reason == "r" * 500


async def test_deeds_that_lock_in_any_order_wait_for_nobodys_entry(db: Database) -> None:
    """An entry written where the deed asks for it would hold the head while the other deed needs it."""
    async with db.tenant(A) as session:
        await session.execute(text(f"INSERT INTO change_heads VALUES ('{A}', 1)"))
    lock, asked, held = text("SELECT FROM change_heads FOR UPDATE"), asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with db.tenant(A) as session:
            await append(session, ADA, "recipe.saved", "recipe", "1")
            asked.set()
            await held.wait()
            await session.execute(lock)

    async def second() -> None:
        async with db.tenant(A) as session:
            await asked.wait()
            await session.execute(lock)
            held.set()
            await append(session, ADA, "recipe.saved", "recipe", "2")

    await asyncio.gather(first(), second())
    async with db.tenant(A) as session:
        assert [one.target_id for one in await history(session, A)] == ["1", "2"]
