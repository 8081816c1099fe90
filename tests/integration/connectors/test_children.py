"""A stream that is read for each record of another: whole, only what changed, broken off, deleted."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from journey_kit.journey import Journey, quick
from journey_kit.rows import ROWS
from journey_kit.way import Ahead, live
from sqlalchemy import text

from trunkline.runs.pages import PageWriter
from trunkline.runs.provider import ProviderClient
from trunkline.runs.walker import AT_ONCE
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline.work.errors import LeaseLostError
from trunkline_connectors.catalogue import manifests

TICKETS, CHILDREN = "tickets", "conversations"
PAGE = 2


class Desk(Journey):
    """A Freshdesk, whose tickets and conversations are read; conversations in pages of two."""

    @property
    def account(self) -> str:
        return str(self.row.account)

    def asked(self) -> Counter[str]:
        """Calls for conversations so far, by ticket."""
        made: Counter[str] = Counter()
        for run in self.simulator.log.runs():
            if run.method == "GET" and run.path.endswith("/conversations"):
                made[run.path.rstrip("/").split("/")[-2]] += run.count
        return made

    async def agrees(self) -> None:
        """Of what is read here."""
        held, truth = await self.documents(), self.row.truth(self.simulator, self.row.account)
        for stream in (TICKETS, CHILDREN):
            assert held[stream] == truth[stream], stream

    def of(self, ticket: str) -> list[str]:
        return [
            one.id
            for one in live(self.simulator, self.account, CHILDREN)
            if str(one.values["ticket_id"]) == ticket
        ]

    def say(self, ticket: str, count: int = 1) -> None:
        for _ in range(count):
            self.simulator.desk.say(self.account, ticket, {"body": "<div>Hello</div>"}, note=True)

    async def held(self) -> dict[str, str]:
        """Conversations that are held -> their ticket."""
        return {one: str(body["ticket_id"]) for one, body in (await self.documents())[CHILDREN].items()}

    async def sync(self, mode: Any = None, stream: str | None = None) -> None:
        """A minute later."""
        async with self.services.db.tenant(self.tenant) as session:
            await session.execute(
                text("UPDATE changed_parents SET noted_at = noted_at - interval '1 minute'")
            )
        await super().sync(mode, stream)

    async def notes(self) -> list[str]:
        rows = await self.rows("SELECT parent_id FROM changed_parents WHERE tenant_id = :tenant ORDER BY 1")
        return [row.parent_id for row in rows]

    async def runs(self) -> list[tuple[str, str, int]]:
        """Of conversations, oldest first: mode, state, attempts."""
        rows = await self.rows(
            "SELECT mode, state, attempt FROM runs WHERE tenant_id = :tenant"
            f" AND stream = '{CHILDREN}' ORDER BY id"
        )
        return [(row.mode, row.state, row.attempt) for row in rows]

    async def doubled(self) -> list[str]:
        """Entities that the change log says were created twice, or changed without a change."""
        rows = await self.rows(
            "SELECT external_id, operation, count(*) AS n FROM changes WHERE tenant_id = :tenant"
            f" AND stream = '{CHILDREN}' AND operation <> 'updated' GROUP BY 1, 2 HAVING count(*) > 1"
        )
        return [row.external_id for row in rows]


def short(manifest: Manifest) -> Manifest:
    streams = tuple(
        msgspec.structs.replace(one, list=msgspec.structs.replace(one.list, page_size=PAGE))
        if one.parent
        else one
        for one in manifest.streams
    )
    return msgspec.structs.replace(quick(manifest), streams=streams)


@pytest.fixture
async def opened(settings_for) -> AsyncIterator[Callable[..., Any]]:
    """A connector's account at its simulator, `kind` of journey, with manifests as `change` makes them."""
    running = []

    async def make(name: str, kind: type[Any], change: Callable[[Manifest], Manifest]) -> Any:
        row, clock = ROWS[name], Ahead()
        simulator = row.make(now=clock)
        connectors = Connectors([change(one) for one in manifests()])
        services = build_services(settings_for(simulator), connectors, application="test")
        running.append(services)
        await services.start()
        return kind(row, name, services, simulator, clock)

    yield make
    for services in running:
        await services.close()


@pytest.fixture
async def intercom(opened) -> Journey:
    made: Journey = await opened("intercom", Journey, quick)
    await made.register()
    await made.connect()
    return made


@pytest.fixture
async def desk(opened) -> Desk:
    made: Desk = await opened("freshdesk", Desk, short)
    await made.connect()
    return made


async def test_answers_in_intercoms_conversations_come_and_go_with_them(intercom):
    simulator, account = intercom.simulator, intercom.row.account

    def asked() -> int:
        ids = [one.id for one in live(simulator, account, "conversations")]
        runs = [run for run in simulator.log.runs() if run.method == "GET"]
        return sum(run.count for run in runs if run.path.rsplit("/", 1)[-1] in ids)

    await intercom.install([recipe.key for recipe in intercom.manifest.recipes])
    await intercom.work()
    await intercom.sync()
    await intercom.holds()
    first, second, *_ = live(simulator, account, "conversations")
    before = asked()
    parts = [*first.values["parts"], {"by": None, "body": "<p>Thanks</p>", "note": False, "at": 1}]
    simulator.store.update(account, "conversations", first.id, {"parts": parts})
    await intercom.sync()
    await intercom.holds()
    assert asked() - before in {1, 2}
    simulator.store.archive(account, "conversations", second.id)
    await intercom.sync()
    await intercom.holds()
    entities = await intercom.rows(
        "SELECT data FROM entities WHERE tenant_id = :tenant AND stream = 'conversation_parts'"
        " AND deleted_at IS NULL"
    )
    assert {"<p>Thanks</p>"} <= {row.data["body"] for row in entities}
    assert {row.data["ticket_id"] for row in entities} <= {
        one.id for one in live(simulator, account, "conversations")
    }


async def started(desk: Desk, *keys: str) -> None:
    """Both streams were read, and everything is long ago."""
    await desk.install(keys or (TICKETS, CHILDREN))
    await desk.work()
    await desk.sync()
    await desk.holds()
    await desk.sync()
    assert await desk.notes() == []


async def test_only_tickets_that_changed_are_asked_again(desk):
    await started(desk)
    tickets = live(desk.simulator, desk.account, TICKETS)
    assert desk.asked().keys() >= {one.id for one in tickets if not one.values["spam"]}

    before = desk.asked()
    await desk.sync()
    assert desk.asked() == before

    chosen = [one.id for one in tickets if not one.values["spam"]][3:6]
    desk.say(chosen[0])
    desk.say(chosen[1], 5)
    desk.simulator.store.update(desk.account, TICKETS, chosen[2], {"subject": "Another"})
    await desk.sync()
    await desk.holds()
    assert (desk.asked() - before).keys() == set(chosen)
    # just changed: they are asked once more, for a change within the same second would look the same
    assert await desk.notes() == sorted(chosen)
    await desk.sync()
    settled = desk.asked()
    await desk.sync()
    assert desk.asked() == settled
    assert await desk.notes() == []
    assert await desk.doubled() == []


async def test_a_second_change_within_the_second_of_the_first_is_not_lost(desk):
    await started(desk)
    ticket = live(desk.simulator, desk.account, TICKETS)[0].id
    moment = desk.clock()
    desk.simulator.store._now = lambda: moment
    desk.clock.seconds -= 90  # what sync adds: the ticket is read in the second of its change
    desk.say(ticket)
    await desk.sync()
    desk.say(ticket)
    assert set(desk.of(ticket)) - (await desk.held()).keys()
    desk.simulator.store._now = desk.clock
    await desk.sync()
    await desk.holds()


async def test_what_a_ticket_does_not_list_any_more_is_gone(desk):
    await started(desk)
    ticket = next(one.id for one in live(desk.simulator, desk.account, TICKETS) if len(desk.of(one.id)) == 3)
    first, second, _ = desk.of(ticket)
    desk.simulator.store.purge(desk.account, CHILDREN, second)
    desk.simulator.store.update(desk.account, TICKETS, ticket, {"subject": "Tidied"})
    await desk.sync()
    await desk.holds()
    assert second not in await desk.held()

    # without a sign, which only a complete pass sees
    await desk.sync()
    desk.simulator.store.purge(desk.account, CHILDREN, first)
    await desk.sync()
    assert first in await desk.held()
    await desk.sync("full", CHILDREN)
    await desk.holds()


async def test_a_ticket_without_conversations_and_one_with_many_pages(desk):
    tickets = [one.id for one in live(desk.simulator, desk.account, TICKETS) if not one.values["spam"]]
    empty = next(one for one in tickets if not desk.of(one))
    many = next(one for one in tickets if one != empty)
    desk.say(many, 25)
    await started(desk)
    assert desk.asked()[many] >= len(desk.of(many)) // PAGE
    desk.say(empty)
    desk.simulator.store.purge(desk.account, CHILDREN, desk.of(many)[7])
    desk.say(many)
    await desk.sync()
    await desk.holds()


async def test_a_deleted_ticket_takes_its_conversations_along(desk):
    await started(desk)
    tickets = [one.id for one in live(desk.simulator, desk.account, TICKETS) if desk.of(one.id)]
    gone = tickets[0]
    children = set(desk.of(gone))
    before = desk.asked()
    desk.simulator.store.archive(desk.account, TICKETS, gone)
    await desk.sync()
    await desk.holds()
    assert not children & (await desk.held()).keys()
    assert desk.asked() == before  # nobody was asked about it
    rows = await desk.rows(
        f"SELECT external_id FROM changes WHERE tenant_id = :tenant AND stream = '{CHILDREN}'"
        " AND operation = 'deleted'"
    )
    assert {row.external_id for row in rows} == children
    assert await desk.notes() == []

    desk.clock.seconds += 60
    desk.simulator.store.restore(desk.account, TICKETS, gone)
    await desk.sync()
    await desk.sync()
    await desk.holds()
    assert children <= (await desk.held()).keys()


async def test_a_ticket_that_is_gone_before_we_know_it(desk):
    await started(desk)
    ticket = next(one.id for one in live(desk.simulator, desk.account, TICKETS) if desk.of(one.id))
    children = set(desk.of(ticket))
    desk.simulator.store.purge(desk.account, TICKETS, ticket)
    await desk.sync("full", CHILDREN)
    assert ("full", "succeeded", 1) in await desk.runs()
    assert not children & (await desk.held()).keys()
    await desk.sync("full", TICKETS)
    await desk.holds()


async def test_an_outage_that_looks_like_deletions_waits_for_a_human(desk):
    tickets = [one.id for one in live(desk.simulator, desk.account, TICKETS) if not one.values["spam"]]
    for ticket in tickets:
        desk.say(ticket, 3)
    await started(desk)
    held = await desk.held()
    assert len(held) > 50
    for one in live(desk.simulator, desk.account, CHILDREN):
        desk.simulator.store.purge(desk.account, CHILDREN, one.id)
    await desk.sync("full", CHILDREN)
    assert await desk.held() == held
    (review,) = await desk.rows("SELECT state, count FROM reviews WHERE tenant_id = :tenant")
    assert (review.state, review.count) == ("open", len(held))


async def test_a_provider_that_knows_none_of_the_tickets_is_not_believed(desk):
    await started(desk)
    held = await desk.held()
    for one in live(desk.simulator, desk.account, TICKETS):
        desk.simulator.store.purge(desk.account, TICKETS, one.id)
    before = desk.asked().total()
    await desk.sync("full", CHILDREN)
    assert (await desk.runs())[-1][:2] == ("full", "failed")
    assert await desk.held() == held
    assert desk.asked().total() - before in range(20, 20 + AT_ONCE)


@pytest.fixture
def slow(monkeypatch) -> list[int]:
    """The provider takes its time for conversations, and answers in another order than it was asked in.

    How many calls were under way as each began.
    """
    page, asked, under_way = ProviderClient.page, itertools.count(), [0]
    seen: list[int] = []

    async def slowly(self, target, spec, read, values, **more):
        if spec.parent is None:
            return await page(self, target, spec, read, values, **more)
        under_way[0] += 1
        seen.append(under_way[0])
        try:
            await asyncio.sleep((7 - next(asked) % 8) * 0.005)
            return await page(self, target, spec, read, values, **more)
        finally:
            under_way[0] -= 1

    monkeypatch.setattr(ProviderClient, "page", slowly)
    return seen


async def test_several_tickets_are_asked_at_a_time(desk, slow):
    await started(desk)
    assert max(slow) == AT_ONCE
    assert await desk.doubled() == []


@pytest.mark.parametrize("commits", [1, 2, 3, 5])
async def test_killed_half_way_it_goes_on_where_it_stood(desk, monkeypatch, slow, commits):
    tickets = [one.id for one in live(desk.simulator, desk.account, TICKETS) if not one.values["spam"]]
    desk.say(tickets[len(tickets) // 2], 21)
    await desk.install([TICKETS])
    await desk.work()
    await desk.install([CHILDREN])

    commit, left = PageWriter.commit, [commits]
    at: list[str | None] = []

    async def dying(self, page, checkpoint, **more):
        if checkpoint.walk is not None:
            if not left[0]:
                raise LeaseLostError  # nothing more of it is written, as of a process that is gone
            left[0] -= 1
        await commit(self, page, checkpoint, **more)

    monkeypatch.setattr(PageWriter, "commit", dying)
    batch = await desk.dispatcher.lease(20)
    for one in batch.handed:
        await desk.executor.start(one)
    row = await desk.rows(
        "SELECT checkpoint->'walk'->>'passed' AS passed FROM streams WHERE tenant_id = :tenant"
        f" AND stream = '{CHILDREN}'"
    )
    at.append(row[0].passed)
    monkeypatch.setattr(PageWriter, "commit", commit)
    read = {one: count for one, count in desk.asked().items() if at[0] is not None and one <= at[0]}

    async with desk.services.db.tenant(desk.tenant) as session:
        await session.execute(
            text("UPDATE work SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
        )
    await desk.work()
    await desk.holds()
    assert (await desk.runs())[0][1] == "succeeded"
    assert {one: desk.asked()[one] for one in read} == read  # what was finished is not read again
    assert max(slow) == AT_ONCE
    assert await desk.doubled() == []


async def test_the_tickets_are_read_where_only_conversations_are_wanted(desk):
    await started(desk, CHILDREN)
    held = await desk.documents()
    assert held[TICKETS]
    assert held[CHILDREN]
    assert await desk.rows(f"SELECT 1 FROM entities WHERE tenant_id = :tenant AND stream = '{TICKETS}'") == []
    entities = await desk.rows(
        f"SELECT data FROM entities WHERE tenant_id = :tenant AND stream = '{CHILDREN}'"
    )
    assert {row.data["ticket_id"] for row in entities} <= held[TICKETS].keys()

    (recipe,) = await desk.rows("SELECT id, version FROM recipes WHERE tenant_id = :tenant")
    services = desk.services
    async with services.db.tenant(desk.tenant) as session:
        await services.recipes.set_archived(
            session, desk.tenant, desk.who, recipe.id, connector="freshdesk", archived=True
        )
    rows = await desk.rows("SELECT stream FROM streams WHERE tenant_id = :tenant AND paused_at IS NULL")
    assert rows == []


async def test_an_example_is_of_some_ticket(desk):
    provider = desk.services.provider
    documents = await provider.sample(desk.tenant, desk.connection, CHILDREN, 3, [])
    assert 0 < len(documents) <= 3
    assert all(one["ticket_id"] for one in documents)
