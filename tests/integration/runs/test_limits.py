"""Whole syncs against a provider that limits, refuses and falls over: its limits are kept, and nothing is lost."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from trunkline.resilience.breaker import FAILURES
from trunkline.runs.calling import PATIENCE_SECONDS
from trunkline.runs.errors import ProviderError
from trunkline.sdk.manifest import Manifest, Rate
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_gate import Reply
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.hubspot.simulator_errors import rate_limited
from trunkline_connectors.hubspot.simulator_seed import PORTALS

HUBSPOT = next(manifest for manifest in manifests() if manifest.name == "hubspot")
BLUE_HARBOR = PORTALS[1].id
LIMIT, SECONDS = 20, 1


def limited() -> Manifest:
    """As it is, with a window that passes quickly, and small pages."""
    burst = msgspec.structs.replace(HUBSPOT.rates[0], requests=LIMIT, seconds=SECONDS)
    assert burst.scope == "account"
    assert burst.headers is not None
    contacts = HUBSPOT.streams[0]
    small = msgspec.structs.replace(contacts.list, page_size=4)
    streams = (msgspec.structs.replace(contacts, list=small), *HUBSPOT.streams[1:])
    return msgspec.structs.replace(HUBSPOT, rates=(burst, *HUBSPOT.rates[1:]), streams=streams)


async def test_two_workers_and_another_app_on_one_account_never_exceed_its_limit(
    sandboxes: Callable[..., Any], make_rig: Callable[..., Any]
) -> None:
    """Two tenants have connected the same account; somebody else's app uses it too."""
    sandbox = sandboxes()
    crm = sandbox.hubspot.crm
    crm.burst = RateWindow(sandbox.hubspot.now, LIMIT, SECONDS)
    rigs = [make_rig(sandbox, limited()) for _ in range(2)]
    both = [await rig.connect(sandbox, BLUE_HARBOR, uuid4()) for rig in rigs]
    for one in both:
        await one.recipe()
    token = sandbox.hubspot.oauth._issue(both[0].grant, None).access_token
    others: list[int] = []

    async def another_app() -> None:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as client:
            while True:
                answer = await client.get(f"{sandbox.url}/hubspot/crm/objects/2026-03/contacts?limit=1")
                others.append(answer.status_code)
                await asyncio.sleep(0.2)

    elsewhere = asyncio.create_task(another_app())
    before = sandbox.hubspot.log.total
    try:
        await work_all(both)
    finally:
        elsewhere.cancel()
        await asyncio.gather(elsewhere, return_exceptions=True)
    ours = sandbox.hubspot.log.total - before - len(others)
    assert ours >= 60
    assert sandbox.hubspot.log.by_status[429] == others.count(429)
    for one in both:
        run = (await one.all_runs())[0]
        assert (run.state, run.retries) == ("succeeded", 0)
        await one.stands()
    for rig in rigs:
        await rig.close()


async def work_all(both: list[Any]) -> None:
    """Both runs at once, each by its own worker."""
    handed = []
    while len(handed) < len(both):
        batch = await both[0].rig.dispatcher.lease(10)
        handed += batch.handed if batch else []
    workers = {one.tenant_id: one.rig.executor for one in both}
    await asyncio.gather(*(workers[work.tenant_id].start(work) for work in handed))


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "3"}, 3, 9),
        ({"Retry-After": "0"}, 0, 6),
        ({}, 1, 12),
        ({"Retry-After": "99999999"}, 1, 12),
        ({"Retry-After": "-1"}, 1, 12),
        ({"Retry-After": "tomorrow"}, 1, 12),
    ],
    ids=["seconds", "none", "absent", "absurd", "negative", "words"],
)
async def test_a_refusal_is_waited_out_as_it_asks(
    harbor: Any, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], least: float, most: float
) -> None:
    await harbor.recipe()
    refuse_with(harbor, rate_limited("TEN_SECONDLY_ROLLING", headers))
    slept: list[float] = []

    async def at_once(patience: Any, seconds: float, cause: str) -> bool:
        slept.append(seconds)
        harbor.rig.limiter._penalties.clear()
        await harbor.rig.valkey.flushdb()
        return seconds <= PATIENCE_SECONDS

    monkeypatch.setattr("trunkline.runs.calling.Patience.sleep", at_once)
    harbor.sandbox.hubspot.faults.add("429", requests=1, path="/crm/")
    await harbor.work()
    assert least <= sum(slept) <= most
    run = (await harbor.all_runs())[0]
    assert (run.state, run.retries) == ("succeeded", 0)
    await harbor.stands()


async def test_a_long_refusal_gives_the_work_back_and_nobody_asks_meanwhile(harbor: Any) -> None:
    await harbor.recipe()
    refuse_with(harbor, rate_limited("TEN_SECONDLY_ROLLING", {"Retry-After": "120"}))
    harbor.sandbox.hubspot.faults.add("429", requests=1, path="/crm/")
    began = datetime.now(UTC)
    await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause) == ("waiting", "rate_limited")
    assert timedelta(seconds=119) < run.waiting_until - began < timedelta(seconds=200)
    asked = harbor.sandbox.hubspot.log.total
    for _ in range(3):
        await harbor.due_now()
        await harbor.work()
    assert harbor.sandbox.hubspot.log.total == asked
    assert (await harbor.one("SELECT failures FROM streams WHERE tenant_id = :tenant")).failures == 0


async def test_an_outage_opens_the_circuit_and_its_end_closes_it(harbor: Any) -> None:
    """No call is made meanwhile: by runs, nor by people, who are told at once."""
    await harbor.recipe()
    refuse_with(harbor, Reply(503, {"message": "down for maintenance"}))
    harbor.sandbox.hubspot.faults.add("500", seconds=600, path="/crm/")
    for _ in range(FAILURES):
        await harbor.due_now()
        await harbor.work()
    assert (await harbor.all_runs())[0].cause == "provider_error"
    since = (await harbor.one("SELECT cause_since FROM streams WHERE tenant_id = :tenant")).cause_since
    asked = harbor.sandbox.hubspot.log.total
    for _ in range(4):
        await harbor.due_now()
        await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.state, run.cause, run.retries) == ("waiting", "circuit_open", FAILURES)
    assert run.waiting_until > datetime.now(UTC) + timedelta(seconds=5)
    stream = await harbor.one("SELECT cause, failures, cause_since FROM streams WHERE tenant_id = :tenant")
    assert (stream.cause, stream.failures, stream.cause_since) == ("circuit_open", FAILURES, since)
    with pytest.raises(ProviderError) as refused:
        await harbor.rig.provider.sample(harbor.tenant_id, harbor.connection_id, "contacts", 3, [])
    assert refused.value.failure.code == "circuit_open"
    assert harbor.sandbox.hubspot.log.total == asked

    harbor.sandbox.hubspot.faults.clear()
    own = (await harbor.budget()).breakers[0]
    failures, _, period = (await harbor.rig.valkey.get(own)).split()
    await harbor.rig.valkey.set(own, b" ".join((failures, b"1", period)))  # its period has passed
    await harbor.due_now()
    await harbor.work()
    assert (await harbor.all_runs())[0].state == "succeeded"
    assert await harbor.rig.valkey.get(own) is None
    await harbor.stands()


async def test_errors_inside_successes_open_the_circuit_too(harbor: Any) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.faults.add("error_body", seconds=600, path="/crm/")
    for _ in range(FAILURES):
        await harbor.due_now()
        await harbor.work()
    asked = harbor.sandbox.hubspot.log.total
    await harbor.due_now()
    await harbor.work()
    assert (await harbor.all_runs())[0].cause == "circuit_open"
    assert harbor.sandbox.hubspot.log.total == asked


async def test_people_get_through_while_syncs_have_spent_their_share(harbor: Any) -> None:
    """Of a manifest's budget; the last of it too is theirs."""
    rate = Rate(bucket="default", requests=40, seconds=6000)
    limiter = harbor.rig.limiter
    made = limiter.budget([rate], (await harbor.budget()).caller, "default")
    harbor.rig.provider.calls._budgets[harbor.connection_id, "default", 1] = (float("inf"), made)
    while (await limiter.acquire(made)).wait == 0:
        pass
    await harbor.recipe()
    await harbor.work()
    assert (await harbor.all_runs())[0].cause == "rate_limited"
    documents = await harbor.rig.provider.sample(harbor.tenant_id, harbor.connection_id, "contacts", 3, [])
    assert len(documents) == 3
    assert (await harbor.rig.provider.account(harbor.tenant_id, harbor.connection_id)).id == harbor.account
    assert len(await harbor.rig.provider.discover(harbor.tenant_id, harbor.connection_id, "contacts")) > 10


def refuse_with(harbor: Any, reply: Reply) -> None:
    harbor.sandbox.hubspot.fault_reply = lambda kind: reply
