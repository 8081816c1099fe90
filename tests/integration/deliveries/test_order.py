"""The order that an endpoint asks for, kept by worker processes one of which is killed."""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from trunkline.deliveries import jobs
from trunkline.deliveries.schemas import EndpointChange


def names(harbor: Any, path: str) -> list[str]:
    return [one.json["data"]["name"] for one in harbor.receiver.of(path)]


@asynccontextmanager
async def two_workers(settings: Any) -> AsyncIterator[dict[int, asyncio.subprocess.Process]]:
    """By process id."""
    environment = {
        **os.environ,
        "TRUNKLINE_DATA": str(settings.data),
        "TRUNKLINE_DATABASE_URL": settings.database_url,
        "TRUNKLINE_VALKEY_URL": settings.valkey_url,
        "TRUNKLINE_LEASE_SECONDS": "2",
        "TRUNKLINE_HEARTBEAT_SECONDS": "1",
    }
    made = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline.main", "worker"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        yield {one.pid: one for one in made}
    finally:
        for one in made:
            if one.returncode is None:
                one.kill()
            await one.wait()


async def test_each_records_order_is_kept_by_two_workers_while_others_flow_past(harbor: Any) -> None:
    """The first of A fails until it is repaired. B, C and everything else of theirs arrive meanwhile; whoever
    sends is killed with a request under way, and the other goes on.
    """
    tenant, well, held, killed = await harbor.tenant(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    records = {name: uuid4() for name in "ABCD"}
    await harbor.endpoint(tenant, "/kept", ordering="record", concurrency=4)
    taken: list[str] = []

    def answer(got: Any) -> Any:
        name = got.json["data"]["name"]
        if name == "A0" and not well.is_set():
            return harbor.receiver_answer(status=503)
        if name == "D1" and not killed.is_set():
            held.set()
            return harbor.receiver_answer(then=killed.wait)
        taken.append(name)
        return harbor.receiver_answer()

    harbor.receiver.by["/kept"] = answer
    told = ["A0", *(f"{key}{n}" for n in range(6) for key in "BC"), "D0", "D1", "A1", "AB", "B7", "C7", "D2"]
    for name in told:
        await harbor.tell(
            tenant, subject=UUID(int=1), name=name, records=[records[one] for one in name if one in records]
        )
    held_up = {"A0", "A1", "AB", "B7"}  # B7 comes after AB, which comes after A0

    async def until(names: set[str]) -> None:
        async with asyncio.timeout(60):
            while not names <= set(taken):  # noqa: ASYNC110 - the receiver tells nobody
                await asyncio.sleep(0.02)

    async with two_workers(harbor.services.settings) as workers:
        await asyncio.wait_for(held.wait(), 60)
        sender = await harbor.owner.fetchval(
            "SELECT leased_by FROM work WHERE tenant_id = $1 AND kind = 'deliver'", tenant
        )
        pid = int(sender.split(":")[1])
        workers[pid].kill()
        await workers[pid].wait()
        killed.set()
        await until(set(told) - held_up)
        assert not held_up & set(taken)
        well.set()
        await harbor.forward(tenant)
        await until(set(told))
    of_key: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(taken):
        for key in records.keys() & set(name):
            of_key[key].append(name)
    for key, found in of_key.items():
        assert found == [name for name in told if key in name], "by when each was first taken"


async def test_an_order_of_all_holds_everything_up_but_a_test(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/all", ordering="tenant")
    harbor.receiver.answers["/all"] = [harbor.receiver_answer(status=500)]
    for name in ("first", "second", "third"):
        await harbor.tell(tenant, name=name)
    await harbor.settle("deliver")
    async with harbor.db.tenant(tenant) as session:
        await harbor.deliveries.test(session, tenant, view.id, harbor.who)
    await harbor.settle("deliver")
    got = [one.json["data"].get("name", "test") for one in harbor.receiver.of("/all")]
    assert got == ["first", "test"]
    await harbor.forward(tenant)
    await harbor.settle("deliver")
    got = [one.json["data"].get("name", "test") for one in harbor.receiver.of("/all")]
    assert got == ["first", "test", "first", "second", "third"]


async def test_one_that_is_given_up_holds_up_nothing(harbor: Any) -> None:
    tenant, record = await harbor.tenant(), uuid4()
    await harbor.endpoint(tenant, "/given-up", ordering="record")
    harbor.receiver.answers["/given-up"] = [harbor.receiver_answer(status=500)]
    await harbor.tell(tenant, name="first", records=[record])
    await harbor.tell(tenant, name="second", records=[record])
    await harbor.owner.execute("UPDATE deliveries SET tries = 9 WHERE tenant_id = $1 AND number = 1", tenant)
    await harbor.settle("deliver")
    assert names(harbor, "/given-up") == ["first", "second"]


async def test_the_way_on_is_found_behind_many_that_wait(
    harbor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOKED_AT", 3)
    tenant, one, other = await harbor.tenant(), uuid4(), uuid4()
    await harbor.endpoint(tenant, "/behind", ordering="record")
    harbor.receiver.answers["/behind"] = [harbor.receiver_answer(status=500)]
    await harbor.tell(tenant, name="first", records=[one])
    await harbor.settle("deliver")
    for number in range(10):
        await harbor.tell(tenant, name=f"waits {number}", records=[one])
    await harbor.tell(tenant, name="free", records=[other])
    await harbor.settle("deliver")
    assert names(harbor, "/behind") == ["first", "free"]


async def test_an_order_can_be_asked_for_and_given_up_while_something_waits(harbor: Any) -> None:
    tenant, record = await harbor.tenant(), uuid4()
    view, _ = await harbor.endpoint(tenant, "/changing")

    async def change(ordering: str) -> str:
        async with harbor.db.tenant(tenant) as session:
            wanted = EndpointChange(ordering=ordering)  # type: ignore[arg-type]
            changed = await harbor.deliveries.change(session, tenant, view.id, harbor.who, wanted)
        found: str = changed.ordering
        return found

    assert view.ordering == "none"
    assert await change("record") == "record"
    harbor.receiver.answers["/changing"] = [harbor.receiver_answer(status=500)]
    await harbor.tell(tenant, name="first", records=[record])
    await harbor.tell(tenant, name="second", records=[record])
    await harbor.settle("deliver")
    assert names(harbor, "/changing") == ["first"]
    assert await change("none") == "none"
    await harbor.tell(tenant, name="third", records=[record])
    await harbor.settle("deliver")
    assert names(harbor, "/changing") == ["first", "second", "third"]
