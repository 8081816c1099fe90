"""A list that is long is read by a query job of Salesforce: whole, once, broken off, slow, given up."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from journey_kit.journey import Journey, quick
from journey_kit.rows import ROWS
from journey_kit.way import Ahead, live
from sqlalchemy import text

from trunkline.runs.pages import PageWriter
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline.work.errors import LeaseLostError
from trunkline_connectors.catalogue import hooks, manifests
from trunkline_connectors.salesforce import hooks as bulk
from trunkline_connectors.salesforce import simulator_bulk
from trunkline_connectors.salesforce.simulator import SalesforceSimulator
from trunkline_connectors.salesforce.simulator_seed import ORGS, Org

CONTACTS = "contacts"
PAGE = 10


class Sales(Journey):
    """A Salesforce org whose contacts are read."""

    def asked(self) -> Counter[str]:
        """Calls so far: query, more (its further pages), describe, create, look, results. Of descriptions one
        is asked for by whoever watches the fields.
        """
        made: Counter[str] = Counter()
        for run in self.simulator.log.runs():
            parts = run.path.rstrip("/").split("/")
            if parts[-1] in {"query", "describe", "results"}:
                kind = "create" if run.method == "POST" else parts[-1]
            elif "jobs" in parts:
                kind = "look"
            elif parts[-2] == "query":
                kind = "more"
            else:
                continue
            made[kind] += run.count
        return made

    @property
    def people(self) -> int:
        return len(live(self.simulator, self.row.account, CONTACTS))

    async def agrees(self) -> None:
        held, truth = await self.documents(), self.row.truth(self.simulator, self.row.account)
        assert held[CONTACTS] == truth[CONTACTS]

    async def told(self) -> Counter[str]:
        """Lines of the change log."""
        rows = await self.rows(
            "SELECT operation, count(*) AS n FROM changes WHERE tenant_id = :tenant GROUP BY 1"
        )
        return Counter({row.operation: row.n for row in rows})

    async def standing(self) -> Any:
        """Of the stream: checkpoint, cause."""
        rows = await self.rows(
            f"SELECT checkpoint, cause FROM streams WHERE tenant_id = :tenant AND stream = '{CONTACTS}'"
        )
        return rows[0]

    async def start(self) -> None:
        """One round of work, whatever comes of it."""
        batch = await self.dispatcher.lease(20)
        for one in batch.handed:
            await self.executor.start(one)

    async def hurry(self) -> None:
        """What waits is due."""
        async with self.services.db.tenant(self.tenant) as session:
            await session.execute(
                text(
                    "UPDATE work SET due_at = now(), lease_until = NULL WHERE due_at > now() + interval '5 s'"
                )
            )

    async def lost(self) -> None:
        """The worker's lease is over."""
        async with self.services.db.tenant(self.tenant) as session:
            await session.execute(
                text("UPDATE work SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
            )


def soon(manifest: Manifest) -> Manifest:
    """Long is what has more than ten records."""
    streams = tuple(
        msgspec.structs.replace(
            one,
            list=msgspec.structs.replace(one.list, large=msgspec.structs.replace(one.list.large, above=10)),
        )
        for one in manifest.streams
    )
    return msgspec.structs.replace(quick(manifest), streams=streams)


@pytest.fixture
async def opened(settings_for) -> AsyncIterator[Callable[..., Any]]:
    running = []

    async def make(org: Org, change: Callable[[Manifest], Manifest], known: Any) -> Sales:
        clock = Ahead()
        simulator = SalesforceSimulator(now=clock, orgs=[org])
        own = [change(one) for one in manifests() if one.name == "salesforce"]
        services = build_services(settings_for(simulator), Connectors(own, hooks=known), application="test")
        running.append(services)
        await services.start()
        made = Sales(replace(ROWS["salesforce"], account=org.id), "salesforce", services, simulator, clock)
        await made.register()
        await made.connect()
        return made

    yield make
    for services in running:
        await services.close()


@pytest.fixture
async def small(opened, monkeypatch) -> Sales:
    """Some forty contacts, in a job's pages of ten and a query's of fifteen."""
    monkeypatch.setattr(bulk, "ROWS", PAGE)
    made: Sales = await opened(ORGS[1], soon, hooks())
    made.simulator.change_setting("batch", 15)
    return made


async def test_more_than_ten_thousand_are_read_once_each_in_few_calls(opened):
    sales = await opened(Org("00DTL0000000009AAA", "Long", "long.my.salesforce.com", 10_500), quick, hooks())
    await sales.install([CONTACTS])
    await sales.work()
    await sales.holds()
    assert sales.people > 10_000
    assert sales.asked() == {"query": 1, "describe": 2, "create": 1, "look": 1, "results": 3}
    assert await sales.told() == {"created": sales.people}

    # what a query says of the same records is the same
    await sales.sync()
    await sales.sync("full")
    await sales.holds()
    assert sales.asked()["create"] == 2
    assert await sales.told() == {"created": sales.people}


async def test_pages_of_a_query_change_nothing_in_what_a_job_gave(small, monkeypatch):
    await small.install([CONTACTS])
    await small.work()
    monkeypatch.setattr(small.services.connectors, "hook", lambda *_: None)
    before = small.asked()
    await small.sync("full")
    await small.holds()
    assert (small.asked() - before)["more"] == 2
    assert await small.told() == {"created": small.people}


async def test_without_the_hook_or_below_the_limit_pages_are_followed(opened):
    for change, known in ((soon, {}), (quick, hooks())):
        sales = await opened(ORGS[1], change, known)
        sales.simulator.change_setting("batch", 15)
        await sales.install([CONTACTS])
        await sales.work()
        await sales.holds()
        assert sales.asked() == {"query": 1, "more": 2, "describe": 1}


@pytest.mark.parametrize("commits", [1, 2, 3])
async def test_a_worker_that_is_lost_leaves_the_job_to_the_next(small, monkeypatch, commits):
    await small.install([CONTACTS])
    commit, left = PageWriter.commit, [commits]

    async def dying(self, page, checkpoint, **more):
        if not left[0]:
            raise LeaseLostError
        left[0] -= 1
        await commit(self, page, checkpoint, **more)

    monkeypatch.setattr(PageWriter, "commit", dying)
    await small.start()
    monkeypatch.setattr(PageWriter, "commit", commit)
    checkpoint = (await small.standing()).checkpoint
    before = small.asked()
    assert before["create"] == 1
    await small.lost()
    await small.work()
    await small.holds()
    assert checkpoint["cursor"].startswith("large:")
    assert checkpoint.get("read", 0) % PAGE == 0
    assert (checkpoint.get("read", 0) > 0) == (commits > 1)
    assert (small.asked()["create"], small.asked()["query"]) == (1, 1)
    assert await small.told() == {"created": small.people}


async def test_somebody_who_waits_for_an_example_makes_no_job(small):
    found = await small.services.provider.sample(small.tenant, small.connection, CONTACTS, 3, [])
    assert len(found) == 3
    assert small.asked() == {"query": 1}


async def test_a_slow_job_is_waited_for_and_not_made_anew(small):
    small.simulator.change_setting("bulk_seconds", 600)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    small.services.provider.large.sleep = sleep
    await small.install([CONTACTS])
    await small.start()
    assert slept == [1, 2, 4, 8]
    standing = await small.standing()
    assert standing.cause == "provider_preparing"
    assert standing.checkpoint["cursor"].startswith("large:")
    small.clock.seconds += 600
    await small.hurry()
    await small.work()
    await small.holds()
    assert small.asked()["create"] == 1
    assert await small.told() == {"created": small.people}


async def test_a_job_that_is_gone_begins_the_list_anew(small, monkeypatch):
    await small.install([CONTACTS])
    commit, left = PageWriter.commit, [2]

    async def forgetting(self, page, checkpoint, **more):
        left[0] -= 1
        if not left[0]:
            small.simulator.bulk.jobs.clear()
            raise LeaseLostError
        await commit(self, page, checkpoint, **more)

    monkeypatch.setattr(PageWriter, "commit", forgetting)
    await small.start()
    monkeypatch.setattr(PageWriter, "commit", commit)
    await small.lost()
    await small.work()
    await small.holds()
    assert small.asked()["create"] == 2
    assert await small.told() == {"created": small.people}


async def test_a_job_that_somebody_aborted_leaves_the_list_to_its_pages(small, monkeypatch):
    monkeypatch.setattr(small.simulator.bulk, "state", lambda job: "Aborted")
    await small.install([CONTACTS])
    await small.work()
    await small.holds()
    assert small.asked() == {"query": 2, "more": 2, "describe": 2, "create": 1, "look": 1}


async def test_an_org_that_refuses_jobs_is_read_by_pages(small, monkeypatch):
    monkeypatch.setattr(simulator_bulk, "_DELIMITERS", {})
    await small.install([CONTACTS])
    await small.work()
    await small.holds()
    assert small.asked() == {"query": 1, "more": 2, "describe": 2, "create": 1}


async def test_a_page_that_breaks_off_is_asked_for_again(small, monkeypatch):
    whole, broken = simulator_bulk._csv, []

    def cut(job, rows):
        content = whole(job, rows)
        if len(broken) < 2:
            broken.append(1)
            return content[: len(content) // 2]
        return content

    monkeypatch.setattr(simulator_bulk, "_csv", cut)
    await small.install([CONTACTS])
    await small.work()
    for _ in range(2):
        await small.hurry()
        await small.work()
    await small.holds()
    assert len(broken) == 2
    assert small.asked()["create"] == 1
    assert await small.told() == {"created": small.people}
