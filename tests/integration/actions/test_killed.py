"""A worker that is killed between sending and the answer: nothing is lost, and nothing is there twice."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from trunkline.actions.service import ACT
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.executor import Executor
from trunkline.work.fairness import Caps

WORKER = Path(__file__).with_name("worker_that_acts.py")


async def worked(acting: Any) -> None:
    """Whatever is due of this tenant's calls, as another worker's dispatcher finds it."""
    handlers = {ACT: acting.service.handler()}
    dispatcher = Dispatcher(acting.services.db, [ACT], lease_seconds=15, caps=Caps())
    executor = Executor(
        acting.services.db, handlers, holder="second", lease_seconds=15, heartbeat_seconds=5,
        ended=lambda: None,
    )  # fmt: skip
    open_calls = "SELECT 1 FROM action_calls WHERE tenant_id = :tenant AND finished_at IS NULL"
    for _ in range(400):
        batch = await dispatcher.lease(20)
        if batch is not None and batch.handed:
            await asyncio.gather(*(executor.start(one) for one in batch.handed))
        if not await acting.rows(open_calls):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the calls do not end")


async def test_a_worker_is_killed_before_the_answers(scene):
    """One call of each way to go on: asked again, looked up first, sent under the same key."""
    stage = await scene("hubspot", "stripe")
    hubspot, stripe = stage["hubspot"], stage["stripe"]
    contact = next(hubspot.simulator.store.walk(hubspot.row.account, "contacts")).id
    before = {acting: len(acting.ledger) for acting in (hubspot, stripe)}
    asked = {
        "same": (hubspot, await hubspot.ask("upsert_contact", {"email": "new@acts.example"}, now_and_here=False)),
        "find": (hubspot, await hubspot.ask(
            "add_note", {"contact_id": contact, "body": "Called."}, now_and_here=False)),
        "look": (hubspot, await hubspot.ask("upsert_company", {"domain": "acts.example"}, now_and_here=False)),
        "key": (stripe, await stripe.ask("create_customer", {"name": "Nora"}, now_and_here=False)),
    }  # fmt: skip
    stage.wire.holding.set()
    settings = hubspot.services.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        env={
            **os.environ,
            "TRUNKLINE_DATA": str(settings.data),
            "TRUNKLINE_DATABASE_URL": settings.database_url,
            "TRUNKLINE_VALKEY_URL": settings.valkey_url,
            "TRUNKLINE_SANDBOX_URL": settings.sandbox_url,
            "TRUNKLINE_PUBLIC_URL": settings.public_url,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while (len(hubspot.ledger) - before[hubspot], len(stripe.ledger) - before[stripe]) != (3, 1):
            assert process.returncode is None
            assert time.monotonic() < deadline, "the worker does not write"
            await asyncio.sleep(0.02)
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        stage.wire.holding.clear()

    for acting, call_id in asked.values():
        call = await acting.service.look(acting.tenant, call_id)
        assert (call.state, call.cause) == ("sending", None)
        # in its hold nobody else touches it
        assert (await acting.attempt(call_id)).state == "sending"
        await acting.later(call_id, 120)
        async with acting.services.db.tenant(acting.tenant) as session:
            await session.execute(
                text(
                    "UPDATE work SET lease_until = now() - interval '1 s', due_at = now() WHERE kind = 'act'"
                )
            )
    for acting in (hubspot, stripe):
        await worked(acting)
    for way, (acting, call_id) in asked.items():
        call = await acting.service.look(acting.tenant, call_id)
        assert (call.state, call.cause) == ("done", None), way
        assert call.result_id, way
    assert (len(hubspot.ledger) - before[hubspot], len(stripe.ledger) - before[stripe]) == (3, 1)
    assert len(set(stage.wire.keys)) == 1
    assert len(stage.wire.keys) == 2


async def test_killed_before_anything_went_out_it_is_written_after_all(scene, monkeypatch):
    hubspot = (await scene("hubspot"))["hubspot"]
    contact = next(hubspot.simulator.store.walk(hubspot.row.account, "contacts")).id
    before = len(hubspot.ledger)
    call_id = await hubspot.ask("add_note", {"contact_id": contact, "body": "Called."})

    async def never(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    reached = asyncio.Event()
    with monkeypatch.context() as patch:
        patch.setattr("trunkline.actions.running.send", never)
        task = asyncio.create_task(hubspot.runner.run(hubspot.tenant, call_id))
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (await hubspot.service.look(hubspot.tenant, call_id)).state == "sending"
    await hubspot.later(call_id, 120)
    call = await hubspot.ended(call_id)
    assert (call.state, len(hubspot.ledger) - before) == ("done", 1)


async def test_whoever_lost_the_call_meanwhile_writes_nothing_down(scene, monkeypatch):
    """Its machine slept between the claim and the sending, and between the answer and the note of it."""
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    call_id = await hubspot.ask("upsert_contact", {"email": "new@acts.example"})

    slept, wake = asyncio.Event(), asyncio.Event()
    true_settle = hubspot.runner._settled

    async def sleeps(held: Any, step: Any) -> None:
        slept.set()
        await wake.wait()
        await true_settle(held, step)

    with monkeypatch.context() as patch:
        patch.setattr(hubspot.runner, "_settled", sleeps)
        task = asyncio.create_task(hubspot.runner.run(hubspot.tenant, call_id))
        await slept.wait()
    await hubspot.later(call_id, 120)
    ended = await hubspot.ended(call_id)
    wake.set()
    await task
    assert (await hubspot.service.look(hubspot.tenant, call_id)) == ended
    assert (ended.state, len(hubspot.ledger) - before) == ("done", 1)


async def test_the_hold_begins_anew_with_the_sending(scene, monkeypatch):
    """However long the look before it took: else another would find it free while it is under way."""
    hubspot = (await scene("hubspot"))["hubspot"]
    call_id = await hubspot.ask("upsert_contact", {"email": "new@acts.example"})
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> Any:
        reached.set()
        await go.wait()
        raise TimeoutError

    left = (
        "SELECT extract(epoch FROM held_until - clock_timestamp()) AS left FROM action_calls WHERE id = :id"
    )
    true_target = hubspot.services.provider.target

    async def long_before(tenant_id: Any, connection_id: Any) -> Any:
        async with hubspot.services.db.tenant(hubspot.tenant) as session:
            await session.execute(
                text(
                    "UPDATE action_calls SET held_until = clock_timestamp() + interval '5 s' WHERE id = :id"
                ),
                {"id": call_id},
            )
        return await true_target(tenant_id, connection_id)

    monkeypatch.setattr("trunkline.actions.running.send", slow)
    monkeypatch.setattr(hubspot.services.provider, "target", long_before)
    task = asyncio.create_task(hubspot.runner.run(hubspot.tenant, call_id))
    await reached.wait()
    async with hubspot.services.db.tenant(hubspot.tenant) as session:
        seconds = (await session.execute(text(left), {"id": call_id})).scalar_one()
    go.set()
    await task
    assert seconds > 60
