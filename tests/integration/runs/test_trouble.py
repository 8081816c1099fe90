"""What goes wrong on the way, and what is left afterwards: nothing lost, nothing doubled, and a cause in words."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from trunkline.kernel.errors import ConflictError
from trunkline.kernel.principal import SYSTEM
from trunkline.runs.provider import Page

WORKER = Path(__file__).with_name("worker_for_tests.py")


async def test_pages_that_fail_half_way_leave_nothing_of_themselves(northwind: Any, monkeypatch: Any) -> None:
    await northwind.recipe()
    from trunkline.runs import changelog

    put, batches = changelog.put, 0

    async def fails_once(*args: Any, **named: Any) -> None:
        nonlocal batches
        batches += 1
        await put(*args, **named)
        if batches == 4:
            raise OSError("the machine went away")

    monkeypatch.setattr(changelog, "put", fails_once)
    await northwind.work()
    run = (await northwind.all_runs())[0]
    assert (run.state, run.retries) == ("waiting", 1)
    held = await northwind.one("SELECT count(*) AS n FROM records WHERE tenant_id = :tenant")
    assert held.n == run.fetched == 100 * run.pages
    assert 3 <= run.pages <= 7  # of three batches, the first with one page and each at most twice the last
    positions = await northwind.positions()
    assert positions == list(range(1, run.changes + 1))

    await northwind.due_now()
    await northwind.work()
    run = (await northwind.all_runs())[0]
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert run.fetched == run.created == len(northwind.sandbox.truth(northwind.account))
    await northwind.stands()


async def start_worker(rig: Any, **more: str) -> asyncio.subprocess.Process:
    settings = rig.settings
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        env={
            **os.environ,
            "TRUNKLINE_DATA": str(settings.data),
            "TRUNKLINE_DATABASE_URL": settings.database_url,
            "TRUNKLINE_VALKEY_URL": settings.valkey_url,
            "TRUNKLINE_SANDBOX_URL": settings.sandbox_url,
            "TRUNKLINE_LEASE_SECONDS": "3",
            "TRUNKLINE_HEARTBEAT_SECONDS": "1",
            **more,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def until(check: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.05)


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.parametrize("flush", [False, True], ids=["kill -9", "kill -9 and FLUSHALL"])
async def test_a_killed_worker_loses_and_doubles_nothing(northwind: Any, flush: bool) -> None:
    await northwind.recipe()
    northwind.sandbox.hubspot.faults.add("latency", requests=500, latency_ms=60)

    async def pages(number: int) -> bool:
        return (await northwind.all_runs())[0].pages >= number

    async def done() -> bool:
        return (await northwind.all_runs())[0].state == "succeeded"

    first = await start_worker(northwind.rig)
    try:
        await until(lambda: pages(5))
    finally:
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
    stood = (await northwind.all_runs())[0]
    assert stood.state == "running"
    assert stood.pages < 50
    if flush:
        valkey = Redis.from_url(northwind.rig.settings.valkey_url)
        await valkey.flushall()
        await valkey.aclose()
    second = await start_worker(northwind.rig)
    try:
        await until(lambda: pages(stood.pages + 1), 30)
        if flush:
            valkey = Redis.from_url(northwind.rig.settings.valkey_url)
            await valkey.flushall()
            await valkey.aclose()
        await until(done)
    finally:
        await stop(second)
    run = (await northwind.all_runs())[0]
    assert run.attempt == 2
    assert run.created == run.fetched == len(northwind.sandbox.truth(northwind.account))
    await northwind.stands()


async def test_a_worker_that_is_told_to_stop_hands_back_between_pages(northwind: Any) -> None:
    await northwind.recipe()
    batch = await northwind.rig.dispatcher.lease(1)
    task = northwind.rig.executor.start(batch.handed[0])

    async def begun() -> bool:
        return bool(northwind.rig.executor._running)

    await until(begun)
    await northwind.rig.executor.drain(10)
    await task
    run = (await northwind.all_runs())[0]
    assert run.state in {"queued", "running"}
    row = await northwind.one(
        "SELECT lease_until, due_at <= now() AS due FROM work WHERE tenant_id = :tenant"
    )
    assert (row.lease_until, row.due) == (None, True)


@pytest.mark.parametrize(("fault", "cause"), [("500", "provider_error"), ("truncated", "malformed_answer")])
async def test_a_passing_fault_is_waited_out(harbor: Any, fault: Any, cause: str) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.faults.add(fault, requests=2, path="/crm/")
    for expected in (1, 2):
        await harbor.due_now()
        await harbor.work()
        run = (await harbor.all_runs())[0]
        assert (run.state, run.cause, run.retries) == ("waiting", cause, expected)
        assert run.waiting_until is not None
        stream = await harbor.one("SELECT failures, cause, cause_detail, cause_since FROM streams")
        assert (stream.failures, stream.cause) == (expected, cause)
        assert stream.cause_detail["status"] == (500 if fault == "500" else 200)
        assert stream.cause_since is not None
    await harbor.due_now()
    await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause, run.waiting_until, run.attempt) == ("succeeded", None, None, 3)
    stream = await harbor.one("SELECT failures, cause FROM streams")
    assert (stream.failures, stream.cause) == (0, None)
    await harbor.stands()


async def test_empty_pages_during_an_outage_lose_nothing(harbor: Any) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.faults.add("empty", requests=3, path="/crm/")
    await harbor.work()
    assert (await harbor.all_runs())[0].state == "succeeded"
    await harbor.stands()


async def test_a_lasting_fault_fails_the_run_opens_one_issue_and_ends_by_itself(harbor: Any) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.faults.add("500", seconds=600, path="/crm/")
    for _ in range(8):
        await harbor.due_now()
        await harbor.work()
        await harbor.rig.valkey.flushdb()  # or the breaker would hold the next try back
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause) == ("failed", "provider_error")
    issues = await harbor.rows(
        "SELECT cause, stream, resolved_at, detail FROM issues WHERE tenant_id = :tenant"
    )
    assert [(i.cause, i.stream, i.resolved_at) for i in issues] == [("provider_error", "contacts", None)]
    assert issues[0].detail["correlation_id"]
    work = await harbor.one(
        "SELECT due_at > now() AS later FROM work WHERE tenant_id = :tenant AND kind = 'sync'"
    )
    assert work.later
    harbor.sandbox.hubspot.faults.clear()
    assert (await harbor.sync()).state == "succeeded"
    issues = await harbor.rows("SELECT resolved_at FROM issues WHERE tenant_id = :tenant")
    assert all(issue.resolved_at is not None for issue in issues)
    await harbor.stands()


async def test_a_short_limit_is_waited_for_in_sight(harbor: Any, monkeypatch: Any) -> None:
    await harbor.recipe()
    slept: list[float] = []
    seen: list[Any] = []
    sleep = asyncio.sleep

    async def quick(seconds: float, *args: Any) -> None:
        if seconds > 1:
            slept.append(seconds)
            seen.append((await harbor.all_runs())[0])
            harbor.rig.limiter._penalties.clear()
            await harbor.rig.valkey.flushdb()
        else:
            await sleep(seconds)

    monkeypatch.setattr(harbor.rig.provider.calls, "_sleep", quick)
    harbor.sandbox.hubspot.faults.add("429", requests=1, path="/crm/")
    await harbor.work()
    assert len(slept) == 1
    assert 1 < slept[0] <= 20
    assert (seen[0].state, seen[0].cause) == ("waiting", "rate_limited")
    assert seen[0].waiting_until is not None
    assert (await harbor.all_runs())[0].state == "succeeded"
    await harbor.stands()


async def test_a_long_limit_gives_the_work_back(harbor: Any) -> None:
    await harbor.recipe()
    await harbor.rig.limiter.penalise(await harbor.budget(), 300)
    await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause, run.retries) == ("waiting", "rate_limited", 0)
    stream = await harbor.one("SELECT waiting_until, failures FROM streams")
    assert (stream.waiting_until, stream.failures) == (run.waiting_until, 0)
    work = await harbor.one(
        "SELECT due_at, lease_until FROM work WHERE tenant_id = :tenant AND kind = 'sync'"
    )
    assert work.lease_until is None
    assert work.due_at == run.waiting_until


async def test_an_expired_token_is_renewed_on_the_way(harbor: Any) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.oauth.expire_access()
    await harbor.work()
    assert (await harbor.all_runs())[0].state == "succeeded"
    held = await harbor.one("SELECT generation FROM credentials WHERE tenant_id = :tenant")
    assert held.generation > 1


async def test_a_revoked_grant_asks_for_a_reconnect_and_the_run_resumes_after_it(northwind: Any) -> None:
    await northwind.recipe()
    fetched, page = 0, northwind.rig.provider.page

    async def revoked_midway(*args: Any, **more: Any) -> Page:
        nonlocal fetched
        fetched += 1
        if fetched == 10:
            northwind.sandbox.hubspot.oauth.revoke_grant(northwind.grant.id)
        return await page(*args, **more)

    northwind.rig.provider.page = revoked_midway
    await northwind.work()
    run = (await northwind.all_runs())[0]
    assert (run.state, run.cause) == ("failed", "grant_revoked")
    state = await northwind.one("SELECT state, cause FROM connections WHERE tenant_id = :tenant")
    assert tuple(state) == ("reconnect_required", "grant_revoked")
    assert await northwind.rows("SELECT 1 FROM work WHERE tenant_id = :tenant AND kind = 'sync'") == []
    issues = await northwind.rows(
        "SELECT cause FROM issues WHERE tenant_id = :tenant AND resolved_at IS NULL"
    )
    assert [issue.cause for issue in issues] == ["grant_revoked"]
    assert run.pages >= 1  # those that were written by then; a connection that is lost takes no more

    from trunkline.connections.models import Connection
    from trunkline.connections.schemas import Tokens

    grant = northwind.grant
    grant.revoked_at = None
    issued = northwind.sandbox.hubspot.oauth._issue(grant, None)
    async with northwind.rig.db.tenant(northwind.tenant_id) as session:
        connection = await session.get_one(Connection, (northwind.tenant_id, northwind.connection_id))
        tokens = Tokens(
            access_token=issued.access_token, refresh_token=issued.refresh_token, expires_at=None, scopes=None
        )
        await northwind.rig.connections._tokens.store(
            session, northwind.tenant_id, northwind.connection_id, tokens
        )
        connection.state, connection.cause = "active", None
        await session.flush()
        await northwind.rig.connections._events.reconnected(session, connection)
    await northwind.work()
    second = (await northwind.all_runs())[0]
    assert (second.state, second.trigger, second.mode) == ("succeeded", "reconnect", "first")
    assert second.created + run.created == len(northwind.sandbox.truth(northwind.account))
    await northwind.stands()


async def test_a_revoked_grant_is_noticed_without_any_sync(harbor: Any) -> None:
    async with harbor.rig.db.tenant(harbor.tenant_id) as session:
        await harbor.rig.runs.ensure_check(session, harbor.tenant_id, harbor.connection_id)
    await harbor.work()
    found = await harbor.one("SELECT last_call_at, state FROM connections WHERE tenant_id = :tenant")
    assert found.last_call_at is not None
    again = await harbor.one("SELECT due_at FROM work WHERE tenant_id = :tenant AND kind = 'check'")
    assert again.due_at > found.last_call_at
    harbor.sandbox.hubspot.oauth.revoke_grant(harbor.grant.id)
    await harbor.rows("UPDATE connections SET last_call_at = last_call_at - interval '1 minute' RETURNING id")
    await harbor.due_now()
    await harbor.work()
    found = await harbor.one("SELECT state, cause FROM connections WHERE tenant_id = :tenant")
    assert tuple(found) == ("reconnect_required", "grant_revoked")
    assert await harbor.rows("SELECT 1 FROM work WHERE tenant_id = :tenant") == []


async def test_a_missing_scope_asks_for_a_reconnect(harbor: Any) -> None:
    harbor.grant.scopes = ("oauth",)
    await harbor.recipe()
    await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause) == ("failed", "missing_scope")
    found = await harbor.one("SELECT state, cause FROM connections WHERE tenant_id = :tenant")
    assert tuple(found) == ("reconnect_required", "missing_scope")


async def test_a_cancelled_run_commits_no_further_page(northwind: Any) -> None:
    await northwind.recipe()
    rig, page, fetched = northwind.rig, northwind.rig.provider.page, 0

    async def cancelled_midway(*args: Any, **more: Any) -> Page:
        nonlocal fetched
        fetched += 1
        if fetched == 10:
            run = (await northwind.all_runs())[0]
            async with rig.db.tenant(northwind.tenant_id) as session:
                await rig.runs.cancel_run(session, northwind.tenant_id, run.id, SYSTEM)
        return await page(*args, **more)

    rig.provider.page = cancelled_midway
    await northwind.work()
    run = (await northwind.all_runs())[0]
    assert run.state == "cancelled"
    held = await northwind.one("SELECT count(*) AS n FROM records WHERE tenant_id = :tenant")
    assert held.n == run.fetched < 1100
    rig.provider.page = page
    second = await northwind.sync()
    assert (second.state, second.created) == (
        "succeeded",
        len(northwind.sandbox.truth(northwind.account)) - held.n,
    )
    await northwind.stands()


async def test_a_cancel_that_meets_a_page_in_the_middle_ends_in_order(northwind: Any) -> None:
    """Both lock the stream's row before the run's; the other way round one of them would be a deadlock's victim."""
    await northwind.recipe()
    rig, page, fetched, cancelling = northwind.rig, northwind.rig.provider.page, 0, None

    async def cancel() -> None:
        async with rig.db.tenant(northwind.tenant_id) as session:
            lock = "SELECT run_id FROM streams WHERE tenant_id = :tenant FOR UPDATE"
            run_id = await session.scalar(text(lock), {"tenant": northwind.tenant_id})
            held.set()
            for _ in range(1000):
                if await northwind.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
                    break
                await asyncio.sleep(0.01)
            # what it needs now nobody may hold; without this the page might be the deadlock's victim
            await session.execute(text("SET LOCAL lock_timeout = '300ms'"))
            await rig.runs.cancel_run(session, northwind.tenant_id, run_id, SYSTEM)

    held = asyncio.Event()

    async def page_while_cancelling(*args: Any, **more: Any) -> Page:
        nonlocal fetched, cancelling
        fetched += 1
        if fetched == 3:
            cancelling = asyncio.create_task(cancel())
            await held.wait()
        return await page(*args, **more)

    rig.provider.page = page_while_cancelling
    await northwind.work()
    assert cancelling is not None
    await cancelling
    assert (await northwind.all_runs())[0].state == "cancelled"
    rig.provider.page = page
    assert (await northwind.sync()).state == "succeeded"
    await northwind.stands()


async def test_a_paused_stream_and_a_stopped_connection_rest(harbor: Any) -> None:
    await harbor.recipe()
    rig = harbor.rig
    pending = "SELECT 1 FROM work WHERE tenant_id = :tenant AND connection_id IS NOT NULL"
    place = (harbor.tenant_id, harbor.connection_id)
    async with rig.db.tenant(harbor.tenant_id) as session:
        await rig.runs.pause_stream(session, *place, "contacts")
    assert (await harbor.all_runs())[0].state == "cancelled"
    assert await harbor.rows(pending) == []
    async with rig.db.tenant(harbor.tenant_id) as session:
        await rig.runs.ensure_stream(session, *place, "contacts", 60, 900)
    assert await harbor.rows(pending) == []
    async with rig.db.tenant(harbor.tenant_id) as session:
        await rig.runs.resume_stream(session, *place, "contacts")
    await harbor.work()
    assert (await harbor.all_runs())[0].state == "succeeded"
    await harbor.stands()
    async with rig.db.tenant(harbor.tenant_id) as session:
        await rig.runs.stop_streams(session, *place)
    assert await harbor.rows(pending) == []


async def test_a_stream_that_a_failure_paused_is_tried_again_on_request(harbor: Any) -> None:
    await harbor.recipe()
    rig, place = harbor.rig, (harbor.tenant_id, harbor.connection_id)
    await harbor.work()
    await harbor.rows(
        """UPDATE streams SET paused_at = now(), cause = 'forbidden', cause_since = now(), failures = 1
           WHERE tenant_id = :tenant RETURNING stream"""
    )
    async with rig.db.tenant(harbor.tenant_id) as session:
        (asked,) = await rig.runs.sync_now(session, *place, "contacts")
    await harbor.work()
    runs = {run.id: run.state for run in await harbor.all_runs()}
    assert runs[asked.id] == "succeeded"
    stream = await harbor.one("SELECT paused_at, cause, failures FROM streams WHERE tenant_id = :tenant")
    assert tuple(stream) == (None, None, 0)
    async with rig.db.tenant(harbor.tenant_id) as session:
        await rig.runs.pause_stream(session, *place, "contacts")
        with pytest.raises(ConflictError, match="resume it first"):
            await rig.runs.sync_now(session, *place, "contacts")
        assert await rig.runs.sync_now(session, *place) == []


async def test_a_worker_that_ends_waits_for_no_call(harbor: Any) -> None:
    """A provider may take half a minute to answer; a deploy hands back what waits for it, at once."""
    await harbor.recipe()
    asked, never = asyncio.Event(), asyncio.Event()

    async def hangs(*_args: Any, **_more: Any) -> Page:
        asked.set()
        await never.wait()
        raise AssertionError

    harbor.rig.provider.page = hangs
    batch = await harbor.rig.dispatcher.lease(10)
    for work in batch.handed:
        harbor.rig.executor.start(work)
    await asked.wait()
    async with asyncio.timeout(10):  # what a deploy is promised; without, the call is waited for
        await harbor.rig.executor.drain(60)
    work = await harbor.one(
        "SELECT lease_until, tries FROM work WHERE tenant_id = :tenant AND kind = 'sync' AND due_at <= now()"
    )
    assert (work.lease_until, work.tries) == (None, 0)
