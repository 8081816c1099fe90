"""Asking for work: once a key, the earlier time wins, again while it runs."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import Database
from trunkline.work import backlog as sql
from trunkline.work import repository
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.errors import LeaseLostError
from trunkline.work.fairness import Candidate, Caps
from trunkline.work.lease import Done, HandBack, Lease, Retry
from trunkline.work.queue import CHANNEL, WorkQueue
from trunkline.work.together import Together

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def take(db: Database, *, holder: str = "me", kinds: tuple[str, ...] = ("note",)) -> Lease:
    """Lease and claim the one piece of work that is due."""
    batch = await Dispatcher(db, kinds, lease_seconds=15, caps=Caps()).lease(1)
    assert batch is not None
    (work,) = batch.handed
    lease = await claim(db, work, holder)
    assert lease is not None
    return lease


async def claim(db: Database, work: sql.HandOut, holder: str) -> Lease | None:
    claimed = await Together(db, holder=holder, seconds=15).claim(work)
    return Lease(claimed, holder=holder, lease_seconds=15) if claimed else None


async def test_a_claim_whose_reply_was_lost_is_made_again_by_its_own_holder_only(
    db: Database, backlog, tenant
) -> None:
    await backlog.add_many(tenant, 1, kind="note")
    batch = await Dispatcher(db, ("note",), lease_seconds=15, caps=Caps()).lease(1)
    assert batch is not None
    (work,) = batch.handed

    async def again(holder: str, *, again: bool) -> bool:
        return await Together(db, holder=holder, seconds=15).claim(work, again=again) is not None

    assert await again("me", again=False)
    assert not await again("me", again=False)
    assert await again("me", again=True)
    assert not await again("another", again=True)


async def finish(db: Database, lease: Lease, outcome: Any) -> None:
    async with db.tenant(lease.tenant_id) as session:
        await lease.finish(session, outcome)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(-500, 500)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("done"), st.none() | st.integers(-500, 500)),
        st.tuples(st.just("retry"), st.integers(1, 500)),
        st.tuples(st.just("back"), st.just(0)),
    ),
    max_size=12,
)


class Model:
    """What the row should be; `due` None: some time about now."""

    def __init__(self) -> None:
        self.due: datetime | None = None
        self.again: datetime | None = None
        self.exists = self.leased = False
        self.attempt = self.tries = 0

    def ask(self, at: datetime) -> None:
        if not self.exists:
            self.__init__()
            self.exists, self.due = True, at
        elif self.leased:
            self.again = min(self.again or at, at)
        else:
            self.due = min(self.due or at, at)

    def end(self, outcome: Any) -> None:
        self.leased = False
        match outcome:
            case Done(None) if self.again is None:
                self.exists = False
            case Done(again_at):
                self.due = min(at for at in (self.again, again_at) if at)
                self.again, self.tries = None, 0
            case Retry(_, at):
                self.due, self.tries = at, self.tries + 1
            case HandBack():
                self.due = None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
async def test_as_a_model_says(db: Database, backlog, script) -> None:
    tenant, model, lease = uuid4(), Model(), None
    for step, argument in script:
        at = None if argument is None else NOW + timedelta(seconds=argument)
        if step == "ask":
            await backlog.add(tenant, "k", due_at=at)
            model.ask(at)
        elif step == "take" and model.exists and not model.leased:
            row = await backlog.row(tenant)
            candidate = Candidate(
                tenant_id=tenant, id=row.id, connection_id=None, priority=0, due_at=row.due_at
            )
            async with db.system() as session:
                (work,) = await sql.hand_out(session, [candidate], 15)
                assert await sql.hand_out(session, [candidate], 15) == []
            lease = await claim(db, work, "me")
            model.leased, model.attempt = True, model.attempt + 1
            assert lease is not None
            assert (lease.attempt, lease.tries) == (model.attempt, model.tries)
        elif model.leased and step in {"done", "retry", "back"}:
            outcome = {"done": Done(at), "retry": Retry("provider_error", at), "back": HandBack()}[step]
            await finish(db, lease, outcome)
            model.end(outcome)
            with pytest.raises(LeaseLostError):
                await finish(db, lease, outcome)
        rows = await backlog.rows(tenant)
        assert len(rows) == model.exists
        for row in rows:
            assert row.leased is (True if model.leased else None)
            assert (row.attempt, row.tries, row.again_at) == (model.attempt, model.tries, model.again)
            assert row.due_at == model.due or model.due is None


async def test_one_row_however_many_ask_at_once(backlog, tenant: UUID) -> None:
    await asyncio.gather(*(backlog.add(tenant, "k", due_at=NOW + timedelta(seconds=n)) for n in range(20)))
    assert (await backlog.row(tenant)).due_at == NOW


async def test_arguments(db: Database, backlog, tenant: UUID) -> None:
    connection = uuid4()
    await backlog.add(tenant, "k", args={"a": 1}, connection_id=connection, priority=5)
    await backlog.add(tenant, "k", priority=9)
    row = await backlog.row(tenant)
    assert (row.args, row.connection_id, row.priority) == ({"a": 1}, connection, 5)
    await backlog.add(tenant, "k", args={"b": 2}, priority=1)
    lease = await take(db)
    assert (lease.args, lease.connection_id, lease.key) == ({"b": 2}, connection, "k")


async def test_tenants_may_use_the_same_key_and_do_not_see_each_other(db: Database, backlog) -> None:
    one, other = uuid4(), uuid4()
    await backlog.add(one, "k")
    await backlog.add(other, "k")
    async with db.tenant(one) as session:
        await backlog.queue.cancel(session, other, "note", "k")
    assert len(await backlog.rows(one)) == len(await backlog.rows(other)) == 1
    with pytest.raises(DBAPIError):
        async with db.tenant(one) as session:
            await backlog.queue.enqueue(session, tenant_id=other, kind="note", key="x")


async def test_a_late_writer_is_refused(db: Database, backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "k")
    old = await take(db, holder="old")
    await backlog.expire(tenant)
    new = await take(db, holder="new")
    assert new.attempt == old.attempt + 1

    async def write(last: Any) -> None:
        async with db.tenant(tenant) as session:
            await backlog.queue.enqueue(session, tenant_id=tenant, kind="note", key="side effect")
            await last(session)

    with pytest.raises(LeaseLostError):
        await write(old.fence)
    with pytest.raises(LeaseLostError):
        await write(partial(old.finish, outcome=Done()))
    assert old.lost.is_set()
    assert [row.key for row in await backlog.rows(tenant)] == ["k"], "what came before the fence is undone"
    async with db.tenant(tenant) as session:
        await new.fence(session)
    await finish(db, new, Done())
    assert await backlog.rows(tenant) == []


async def test_an_attempt_is_begun_once(db: Database, backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "k")
    batch = await Dispatcher(db, ["note"], lease_seconds=15, caps=Caps()).lease(5)
    (work,) = batch.handed
    claims = await asyncio.gather(*(claim(db, work, f"worker {number}") for number in range(5)))
    assert sum(lease is not None for lease in claims) == 1


async def test_a_fence_keeps_others_away_until_the_commit_and_heartbeats_do_not_wait_for_it(
    db: Database, backlog, tenant: UUID
) -> None:
    await backlog.add(tenant, "k")
    lease = await take(db)
    async with db.tenant(tenant) as session:
        await lease.fence(session)
        async with db.system() as other, asyncio.timeout(2):  # far less than any lock's time limit
            assert await repository.heartbeat(other, [lease], holder="me", seconds=15) == {lease.work_id}
    async with db.system() as other:
        assert await repository.heartbeat(other, [lease], holder="me", seconds=15) == {lease.work_id}
    await backlog.expire(tenant)
    await take(db, holder="other")
    async with db.system() as other:
        assert await repository.heartbeat(other, [lease], holder="me", seconds=15) == set()


async def test_cancelled_work_is_lost(db: Database, backlog, tenant: UUID) -> None:
    await backlog.add(tenant, "k")
    lease = await take(db)
    async with db.tenant(tenant) as session:
        await backlog.queue.cancel(session, tenant, "note", "k")
    with pytest.raises(LeaseLostError):
        async with db.tenant(tenant) as session:
            await lease.fence(session)


async def test_a_hint_follows_the_commit_and_only_that(
    db: Database, backlog, tenant: UUID, valkey_url: str
) -> None:
    client = Redis.from_url(valkey_url)
    queue = WorkQueue(client)
    async with client.pubsub() as channel:
        await channel.subscribe(CHANNEL)
        assert (await channel.get_message(timeout=5))["type"] == "subscribe"
        with contextlib.suppress(KeyError):
            async with db.tenant(tenant) as session:
                await queue.enqueue(session, tenant_id=tenant, kind="note", key="undone")
                raise KeyError
        async with db.tenant(tenant) as session:
            await queue.enqueue(session, tenant_id=tenant, kind="note", key="a")
            await queue.enqueue(session, tenant_id=tenant, kind="note", key="b")
            assert await channel.get_message(timeout=0.2) is None
        assert (await channel.get_message(timeout=5))["type"] == "message"
        assert await channel.get_message(timeout=0.2) is None
    await client.aclose()


async def test_a_hint_that_cannot_be_sent_harms_nothing(db: Database, backlog, tenant: UUID) -> None:
    client = Redis.from_url("unix:///nowhere/valkey.sock")
    queue = WorkQueue(client)
    async with db.tenant(tenant) as session:
        await queue.enqueue(session, tenant_id=tenant, kind="note", key="a")
    await queue.wake()
    assert len(await backlog.rows(tenant)) == 1
    await client.aclose()


async def test_what_is_due_when_it_is_asked_for_is_ready_at_once(db: Database, backlog, tenant: UUID) -> None:
    """And asleep again when its time has moved: so that a tenant at rest has nothing ready."""

    async def ready() -> bool:
        async with db.tenant(tenant) as session:
            return bool((await session.execute(text("SELECT ready FROM work"))).scalar_one())

    later = datetime.now(UTC) + timedelta(hours=1)
    await backlog.add(tenant, "k", due_at=later)
    assert not await ready()
    await backlog.add(tenant, "k")
    assert await ready()
    await finish(db, await take(db), Done(again_at=later))
    assert not await ready()
    await backlog.add(tenant, "k", due_at=later - timedelta(minutes=1))
    assert not await ready()
    await backlog.add(tenant, "k")
    lease = await take(db)
    await backlog.add(tenant, "k")  # again, while it runs
    await finish(db, lease, Done(again_at=later))
    assert await ready()
    await finish(db, await take(db), Retry("provider_error", later))
    assert not await ready()
