"""Pages ahead of their writer: in order, bounded, none twice in a batch, and what fails waits its turn."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.resilience.failures import failure
from trunkline.runs import fetching
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.documents import Item, Page
from trunkline.runs.errors import ProviderError
from trunkline.runs.fetching import AHEAD_PAGES, BATCH_BYTES, Fetcher
from trunkline_connectors.catalogue import manifests

CONTACTS = next(one for one in manifests() if one.name == "hubspot").stream("contacts")
START = datetime(2026, 1, 1, tzinfo=UTC)


def beginning() -> Checkpoint:
    return Checkpoint(mode="first", phase="list", fields=[], recipes={}, started=START, id=UUID(int=1))


def page(ids, following, size=1000):
    return Page([Item(one, {"id": one}, None) for one in ids], following, None, None, size=size)


class Provider:
    """Lists of ids, a page each; an exception in their place is raised."""

    def __init__(self, pages, *, size=1000, gate=None):
        self.pages = pages
        self.size = size
        self.gate = gate
        self.asked = []

    async def page(self, target, spec, read, values, *, on_wait, skim):
        if read is not spec.list:
            return page([], None)
        number = int(values["cursor"] or 0)
        self.asked.append(number)
        if self.gate is not None:
            await self.gate(number)
        found = self.pages[number]
        if isinstance(found, Exception):
            raise found
        following = str(number + 1) if number + 1 < len(self.pages) else None
        return page(found, following, self.size)


def fetcher(provider):
    async def told(*_):
        pass

    return Fetcher(provider, None, CONTACTS, lambda: START + timedelta(seconds=1), told)


async def drained(made, most=20):
    batches, stop = [], asyncio.Event()
    while batch := await made.take(most, stop):
        batches.append(batch)
    return batches


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(fetching, "GATHER_SECONDS", 0.02)


lists = st.lists(
    st.lists(st.integers(0, 30).map(str), min_size=1, max_size=5, unique=True), min_size=1, max_size=30
)


@given(pages=lists, most=st.integers(1, 20), limit=st.integers(1, 12))
async def test_batches_are_the_pages_in_order_and_name_no_record_twice(pages, most, limit) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "GATHER_SECONDS", 0.001)
        patch.setattr(fetching, "BATCH_RECORDS", limit)
        made = fetcher(Provider(pages))
        await made.begin(beginning())
        batches = await drained(made, most)
    listed = [[item.external_id for item in one.page.items] for batch in batches for one in batch]
    assert listed == [*pages, []]  # the last one is that of what was archived
    for batch in batches:
        ids = [item.external_id for one in batch for item in one.page.items]
        assert len(ids) == len(set(ids))
        assert len(batch) <= most
        assert len(batch) == 1 or len(ids) <= limit
        assert len({one.before.phase for one in batch}) == 1
        assert all(one.after.cursor == two.before.cursor for one, two in pairwise(batch))


async def test_what_fails_is_raised_when_the_pages_before_it_are_taken() -> None:
    made = fetcher(Provider([["1"], ["2"], ProviderError(failure("provider_error")), ["4"]]))
    await made.begin(beginning())
    batch = await made.take(20, asyncio.Event())
    assert [one.before.cursor for one in batch] == [None, "1"]
    with pytest.raises(ProviderError):
        await made.take(20, asyncio.Event())


async def test_no_more_is_fetched_than_fits() -> None:
    provider = Provider([[str(number)] for number in range(100)])
    made = fetcher(provider)
    await made.begin(beginning())
    await asyncio.sleep(0.05)
    assert len(provider.asked) == AHEAD_PAGES
    large = Provider([[str(number)] for number in range(100)], size=BATCH_BYTES)
    other = fetcher(large)
    await other.begin(beginning())
    await asyncio.sleep(0.05)
    assert len(large.asked) == 1
    assert [len(batch) for batch in await drained(other)] == [1] * 101
    await made.forget()


async def test_whoever_waits_for_a_page_is_told_to_stop() -> None:
    waits, stop = asyncio.Event(), asyncio.Event()

    async def gate(number):
        if number == 1:
            await waits.wait()

    made = fetcher(Provider([["1"], ["2"]], gate=gate))
    await made.begin(beginning())
    assert len(await made.take(1, stop)) == 1
    waiting = asyncio.create_task(made.take(20, stop))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    stop.set()
    assert await waiting == []
    await made.forget()


async def test_a_slow_page_holds_up_none_that_are_there() -> None:
    waits = asyncio.Event()

    async def gate(number):
        if number == 2:
            await waits.wait()

    made = fetcher(Provider([["1"], ["2"], ["3"]], gate=gate))
    await made.begin(beginning())
    assert [one.before.cursor for one in await made.take(20, asyncio.Event())] == [None, "1"]
    waits.set()
    assert [one.before.cursor for one in await made.take(20, asyncio.Event())] == ["2"]
    await made.forget()


async def test_begun_anew_it_forgets_what_it_had() -> None:
    provider = Provider([[str(number)] for number in range(100)])
    made = fetcher(provider)
    await made.begin(beginning())
    await asyncio.sleep(0.05)
    await made.begin(beginning())
    assert (await made.take(1, asyncio.Event()))[0].before.cursor is None
    await made.forget()


async def test_a_call_that_keeps_the_cancellation_to_itself_is_the_last():
    begun = asyncio.Event()

    async def keeps(number):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if number:
                raise

    provider = Provider([["1"], ["2"], ["3"]], gate=keeps)
    made = fetcher(provider)
    await made.begin(beginning())
    await begun.wait()
    async with asyncio.timeout(10):
        await made.forget()
    assert provider.asked == [0]
    assert await made.take(1, asyncio.Event()) == []
