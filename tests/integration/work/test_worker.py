"""Whole workers, in this process: what becomes of work when handlers, Valkey or the process' end intervene."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.settings import Settings
from trunkline.work import arq_link, repository
from trunkline.work.errors import LeaseLostError
from trunkline.work.fairness import Caps
from trunkline.work.lease import Done, HandBack, Handler, Lease, Outcome
from trunkline.work.queue import WorkQueue
from trunkline.work.worker import _Pace, run_worker

from .conftest import Backlog, eventually

SETTINGS = Settings(lease_seconds=2, heartbeat_seconds=1, worker_jobs=4, shutdown_seconds=2)


@asynccontextmanager
async def worker(
    db: Database, url: str, handlers: dict[str, Handler], *, settings: Settings = SETTINGS
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_worker(settings, db, handlers, valkey_url=url, stop=stop, caps=Caps(tenant=100, connection=100))
    )

    async def end() -> None:
        stop.set()
        async with asyncio.timeout(10):  # a deploy's promise
            await running

    try:
        yield end
    finally:
        stop.set()
        await running


async def test_a_database_that_blinks_at_the_claim_costs_no_lease(
    db: Database, backlog, tenant, valkey_url, monkeypatch
) -> None:
    claims, blinks, begun = repository.claims, 0, []

    async def blinking(*args, **options):
        nonlocal blinks
        blinks += 1
        if blinks <= 2:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return await claims(*args, **options)

    async def note(lease: Lease) -> Outcome:
        begun.append(lease.attempt)
        return Done()

    monkeypatch.setattr(repository, "claims", blinking)
    settings = msgspec.structs.replace(SETTINGS, lease_seconds=60)
    async with worker(db, valkey_url, {"note": note}, settings=settings):
        await backlog.add_many(tenant, 1)
        await eventually(lambda: _empty(backlog, tenant))
    assert begun == [1]


async def test_work_goes_through_arq_and_is_gone_when_done(
    db: Database, backlog, tenant, valkey_url, monkeypatch
) -> None:
    """All of it: whatever a handler is called by carries the mark of the job that arq ran."""
    of_arq: ContextVar[str] = ContextVar("of_arq", default="")
    seen: list[tuple[str, bool]] = []
    taken = arq_link.ArqLink._run_work

    async def note(lease: Lease) -> Outcome:
        seen.append((lease.key, of_arq.get().startswith("work:")))
        return Done()

    async def marked(self, context, *args, **options):
        of_arq.set(context["job_id"])
        await taken(self, context, *args, **options)

    monkeypatch.setattr(arq_link.ArqLink, "_run_work", marked)
    monkeypatch.setattr("trunkline.work.worker.FORGOTTEN_SECONDS", 3600.0)
    async with worker(db, valkey_url, {"note": note}):
        client = Redis.from_url(valkey_url)
        await eventually(lambda: _has(client, "trunkline:work:*"))
        await backlog.add_many(tenant, 30)
        await eventually(lambda: _empty(backlog, tenant))
        await client.aclose()
    assert sorted(seen) == [(f"{number:06d}", True) for number in range(30)]


async def test_one_job_of_arqs_begins_all_that_was_leased_at_once(
    db: Database, backlog, tenant, valkey_url, monkeypatch
) -> None:
    """A job is a dozen round trips, so a batch is worth one; whoever comes last in it waits for no others'."""
    monkeypatch.setattr("trunkline.work.worker.FORGOTTEN_SECONDS", 3600.0)
    together = asyncio.Barrier(SETTINGS.worker_jobs)
    ended: list[str] = []

    async def note(lease: Lease) -> Outcome:
        if lease.key != "first":
            await together.wait()
        ended.append(lease.key)
        return Done()

    client = Redis.from_url(valkey_url)
    async with worker(db, valkey_url, {"note": note}), asyncio.timeout(30):
        await eventually(lambda: _has(client, "trunkline:work:*"))
        await backlog.add(tenant, "first")
        await eventually(lambda: _empty(backlog, tenant))
        before = await _asked(client)
        await backlog.add_many(tenant, SETTINGS.worker_jobs)  # in one transaction, so seen at once
        await eventually(lambda: _empty(backlog, tenant))
        assert await _asked(client) - before == 1
    await client.aclose()
    assert len(ended) == 1 + SETTINGS.worker_jobs


async def _asked(client: Redis) -> int:
    """Jobs that were put into a queue of arq's."""
    return int((await client.info("commandstats")).get("cmdstat_zadd", {}).get("calls", 0))


async def _has(client: Redis, pattern: str) -> bool:
    return bool(await client.keys(pattern))


async def _empty(backlog: Backlog, tenant: UUID) -> bool:
    return not await backlog.rows(tenant)


async def test_a_hint_starts_work_that_polling_would_not_see_yet(
    db: Database, backlog, tenant, valkey_url, monkeypatch
) -> None:
    monkeypatch.setattr("trunkline.work.worker.IDLE_SECONDS", 3600.0)
    began = asyncio.Event()

    async def note(_lease: Lease) -> Outcome:
        began.set()
        return Done()

    client = Redis.from_url(valkey_url)
    backlog.queue = WorkQueue(client)
    async with worker(db, valkey_url, {"note": note}), asyncio.timeout(30):
        while not began.is_set():  # again and again, as the subscription may not be there yet
            await backlog.add(tenant, "k")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(began.wait(), 0.5)
    await client.aclose()


async def test_an_error_is_a_retry_with_its_cause(db: Database, backlog, tenant, valkey_url, caplog) -> None:
    async def note(lease: Lease) -> Outcome:
        match lease.key:
            case "provider":
                raise httpx2.ConnectError("no route")
            case "ours":
                raise KeyError("ada@example.com")
            case _:
                return Done()

    async def failed() -> bool:
        return all(row.tries >= 1 and not row.leased for row in await backlog.rows(tenant))

    async with worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "provider")
        await backlog.add(tenant, "ours")
        await eventually(failed)
    causes = {row.key: row.cause for row in await backlog.rows(tenant)}
    assert causes == {"provider": "provider_unreachable", "ours": "internal_error"}


async def test_asked_for_while_it_runs_it_runs_again(db: Database, backlog, tenant, valkey_url) -> None:
    runs = 0

    async def note(_lease: Lease) -> Outcome:
        nonlocal runs
        runs += 1
        if runs == 1:
            await backlog.add(tenant, "k")
        return Done()

    async with worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "k")
        await eventually(lambda: _empty(backlog, tenant))
    assert runs == 2


async def test_finishing_in_the_handlers_own_transaction(db: Database, backlog, tenant, valkey_url) -> None:
    runs = 0

    async def note(lease: Lease) -> Outcome:
        nonlocal runs
        runs += 1
        outcome = Done()
        async with db.tenant(tenant) as session:
            await backlog.queue.enqueue(session, tenant_id=tenant, kind="other", key="follows")
            await lease.finish(session, outcome)
        return outcome

    async with worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "k")

        async def only_the_other() -> bool:
            return [row.kind for row in await backlog.rows(tenant)] == ["other"]

        await eventually(only_the_other)
    assert runs == 1


async def test_cancelled_work_is_stopped(db: Database, backlog, tenant, valkey_url) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    leases: list[Lease] = []

    async def note(lease: Lease) -> Outcome:
        leases.append(lease)
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Done()

    async with worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "k")
        await asyncio.wait_for(began.wait(), 30)
        async with db.tenant(tenant) as session:
            await backlog.queue.cancel(session, tenant, "note", "k")
        await asyncio.wait_for(ended.wait(), 30)
        assert leases[0].lost.is_set()
    assert await backlog.rows(tenant) == []


async def test_leases_outlive_their_length_while_the_handler_works(
    db: Database, backlog, tenant, valkey_url
) -> None:
    attempts: list[int] = []
    release = asyncio.Event()

    async def note(lease: Lease) -> Outcome:
        attempts.append(lease.attempt)
        await release.wait()
        return Done()

    async with worker(db, valkey_url, {"note": note}), worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "k")
        seen: set[object] = set()

        async def renewed_often() -> bool:
            rows = await backlog.rows(tenant)
            seen.update(row.lease_until for row in rows)
            return len(seen) >= 5  # claimed, and well beyond the two seconds of one lease

        await eventually(renewed_often)
        release.set()
        await eventually(lambda: _empty(backlog, tenant))
    assert attempts == [1]


async def test_flushall_loses_nothing(db: Database, backlog, tenant, valkey_url) -> None:
    done: list[str] = []

    async def note(lease: Lease) -> Outcome:
        await asyncio.sleep(0.01)
        done.append(lease.key)
        return Done()

    client = Redis.from_url(valkey_url)
    async with worker(db, valkey_url, {"note": note}), worker(db, valkey_url, {"note": note}):
        await backlog.add_many(tenant, 200)

        async def drained() -> bool:
            await client.flushdb()
            return not await backlog.rows(tenant)

        await eventually(drained)
    await client.aclose()
    assert sorted(done) == [f"{number:06d}" for number in range(200)], "nothing lost, nothing twice"


async def test_valkey_gone_and_back(db: Database, backlog, tenant, tmp_path: Path, servers) -> None:
    async def note(_lease: Lease) -> Outcome:
        await asyncio.sleep(0.05)
        return Done()

    with EmbeddedServers(tmp_path, with_postgres=False) as own:
        async with worker(db, own.valkey_url, {"note": note}) as end:
            await backlog.add_many(tenant, 10)
            await eventually(lambda: _empty(backlog, tenant))
            await backlog.add_many(tenant, 20)
            own.stop()
            await backlog.add_many(tenant, 40)
            await eventually(lambda: _empty(backlog, tenant))
            own.start()
            client = Redis.from_url(own.valkey_url)
            await eventually(lambda: _has(client, "trunkline:work:*"))
            await backlog.add_many(tenant, 10)
            await eventually(lambda: _empty(backlog, tenant))
            await client.aclose()
            await end()


async def test_ending_hands_back_and_takes_back(db: Database, backlog, tenant, valkey_url) -> None:
    began = 0

    async def polite(lease: Lease) -> Outcome:
        nonlocal began
        began += 1
        await lease.stopping.wait()
        return HandBack()

    async def stubborn(_lease: Lease) -> Outcome:
        nonlocal began
        began += 1
        await asyncio.Event().wait()
        return Done()

    async with worker(db, valkey_url, {"polite": polite, "stubborn": stubborn}) as end:
        await backlog.add(tenant, "a", kind="polite")
        await backlog.add(tenant, "b", kind="stubborn")

        async def both() -> bool:
            return began == 2

        await eventually(both)
        await end()
    rows = await backlog.rows(tenant)
    assert [(row.leased, row.leased_by, row.due, row.tries) for row in rows] == [(None, None, True, 0)] * 2


async def test_what_was_leased_ahead_is_given_back_when_the_slots_are_busy_after_all(
    db: Database, backlog, tenant, valkey_url, monkeypatch
) -> None:
    paces = iter([5])
    monkeypatch.setattr(_Pace, "measure", lambda pace: setattr(pace, "ahead", next(paces, 0)))
    release, begun = asyncio.Event(), []

    async def slow(lease: Lease) -> Outcome:
        begun.append(lease.attempt)
        await release.wait()
        return Done()

    await backlog.add_many(tenant, 9)

    async def four_run_and_nobody_has_the_others() -> bool:
        rows = await backlog.rows(tenant)
        given_back = [row for row in rows if row.attempt == 1 and row.lease_until is None]
        return len(given_back) == 5 and sum(bool(row.leased_by) for row in rows) == 4

    async with worker(db, valkey_url, {"note": slow}):
        await eventually(four_run_and_nobody_has_the_others)
        assert begun == [1] * 4
        release.set()
        await eventually(lambda: _empty(backlog, tenant))
    assert sorted(begun) == [1] * 4 + [2] * 5


async def test_postgres_cutting_every_connection_is_survived(
    db: Database, backlog, tenant, valkey_url, database_url: str
) -> None:
    committed: list[int] = []

    async def note(lease: Lease) -> Outcome:
        for page in range(int(lease.args["pages"])):
            async with db.tenant(tenant) as session:
                await lease.fence(session)
            committed.append(page)
            await asyncio.sleep(0.05)
        return Done()

    async with worker(db, valkey_url, {"note": note}):
        await backlog.add(tenant, "k", args={"pages": 10})

        async def some() -> bool:
            return len(committed) > 2

        await eventually(some)
        admin = await asyncpg.connect(database_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await admin.close()

        async def answers() -> bool:  # a connection that was used a moment ago is not tried out first
            with contextlib.suppress(DBAPIError):
                async with db.tenant(tenant) as session:
                    await session.execute(text("SELECT 1"))
                    return True
            return False

        await eventually(answers)
        await eventually(lambda: _empty(backlog, tenant))


async def test_two_workers_never_run_an_attempt_twice(db: Database, backlog, valkey_url) -> None:
    begun: list[tuple[UUID, int]] = []
    now_running: dict[UUID, int] = {}

    async def note(lease: Lease) -> Outcome:
        begun.append((lease.work_id, lease.attempt))
        assert lease.work_id not in now_running
        now_running[lease.work_id] = lease.attempt
        await asyncio.sleep(0.005)
        del now_running[lease.work_id]
        return Done()

    tenants = [uuid4() for _ in range(5)]
    async with (
        worker(db, valkey_url, {"note": note}),
        worker(db, valkey_url, {"note": note}),
    ):
        for tenant in tenants:
            await backlog.add_many(tenant, 40)
        for tenant in tenants:
            await eventually(lambda tenant=tenant: _empty(backlog, tenant))
    assert len(begun) == len(set(begun)) == 200


def test_lease_lost_is_classified() -> None:
    assert LeaseLostError.failure_code == "lease_lost"
