"""Several parents are asked at a time; what they answer is given out in their order, each with its own trouble."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import msgspec
import pytest

from trunkline.resilience.failures import failure
from trunkline.runs.checkpoint import Checkpoint, Walk
from trunkline.runs.documents import Item, Page
from trunkline.runs.errors import ProviderError
from trunkline.runs.walker import AT_ONCE, Walker
from trunkline.runs.walking import NONE_LEFT, next_of
from trunkline_connectors.catalogue import manifests

SPEC = next(one for one in manifests() if one.name == "freshdesk").stream("conversations")
START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"{number:02}" for number in range(20)]


def beginning(passed: str | None = None) -> Checkpoint:
    return Checkpoint(
        mode="first",
        phase="list",
        fields=[],
        recipes={},
        started=START,
        id=UUID(int=1),
        walk=Walk(passed=passed),
    )


class Held:
    """Parents in the order of their ids."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)

    async def coming(self, checkpoint: Checkpoint, most: int) -> list[str]:
        assert checkpoint.walk is not None
        passed = checkpoint.walk.passed or ""
        return [one for one in self.ids if one > passed][:most]


class Provider:
    """Answers a call when it is let go; `pages` of a parent's list, 1 where none is said."""

    def __init__(self, pages: dict[str, int] | None = None) -> None:
        self.pages = pages or {}
        self.open: dict[str, asyncio.Event] = {}
        self.let_go: set[str] | None = None
        self.asked: list[str] = []
        self.busy = self.most = 0
        self.broken: set[str] = set()
        self.limited: set[str] = set()

    async def ask(self, checkpoint, parent, on_wait):
        self.asked.append(parent)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            if parent in self.limited:
                await on_wait(START, f"wait {parent}")
            if self.let_go is not None and parent not in self.let_go:
                await self.open.setdefault(parent, asyncio.Event()).wait()
            if parent in self.broken:
                raise ProviderError(failure("provider_error"), detail={"parent": parent})
        finally:
            self.busy -= 1
        number = int(checkpoint.cursor or 0)
        following = str(number + 1) if number + 1 < self.pages.get(parent, 1) else None
        one = Item(f"{parent}.{number}", {}, None)
        return Page([one], following, None, None, parent=parent)

    def answer(self, parent: str) -> None:
        self.open.setdefault(parent, asyncio.Event()).set()


def walker(held: Held, provider: Provider) -> Walker:
    ticks = count()
    return Walker(held, provider.ask, lambda: START + timedelta(seconds=next(ticks)))


async def nobody(*_) -> None:
    raise AssertionError("nobody was to wait")


async def walked(made: Walker, checkpoint: Checkpoint, told=nobody) -> list[str]:
    """The records in the order in which they were given out, to the end."""
    found: list[str] = []
    while True:
        page, _ = await made.page(checkpoint, told)
        if page is NONE_LEFT:
            return found
        found += [item.external_id for item in page.items]
        checkpoint = next_of(checkpoint, SPEC, page)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


async def test_several_are_asked_at_a_time_and_come_in_their_order() -> None:
    provider = Provider({"02": 3, "07": 2})
    provider.let_go = set()
    walking = asyncio.create_task(walked(walker(Held(IDS), provider), beginning()))
    await until(lambda: provider.busy == AT_ONCE)
    assert provider.asked == IDS[:AT_ONCE]
    for parent in reversed(IDS[1:AT_ONCE]):
        provider.answer(parent)
    await until(lambda: provider.busy == 1)
    provider.let_go = None
    provider.answer("00")
    assert await walking == [
        f"{parent}.{number}" for parent in IDS for number in range(provider.pages.get(parent, 1))
    ]
    assert provider.most == AT_ONCE
    assert [provider.asked.count(one) for one in IDS] == [provider.pages.get(one, 1) for one in IDS]


async def test_what_fails_is_raised_when_the_parents_before_it_are_read() -> None:
    provider = Provider()
    provider.broken = {"03"}
    made, checkpoint = walker(Held(IDS), provider), beginning()
    for parent in IDS[:3]:
        page, _ = await made.page(checkpoint, nobody)
        assert page.parent == parent
        checkpoint = next_of(checkpoint, SPEC, page)
    with pytest.raises(ProviderError) as raised:
        await made.page(checkpoint, nobody)
    assert raised.value.detail == {"parent": "03"}
    await made.forget()


async def test_only_the_page_that_is_next_says_that_it_waits() -> None:
    provider = Provider()
    provider.let_go, provider.limited = {"00"}, {"01", "04"}
    told: list[str] = []

    async def tell(_until, cause):
        told.append(cause)

    made, checkpoint = walker(Held(IDS), provider), beginning()
    page, _ = await made.page(checkpoint, tell)
    assert told == []
    waiting = asyncio.create_task(made.page(next_of(checkpoint, SPEC, page), tell))
    await until(lambda: bool(told))
    provider.answer("01")
    await waiting
    assert told == ["wait 01"]
    await made.forget()


async def test_nothing_is_under_way_once_it_is_forgotten() -> None:
    provider = Provider()
    provider.let_go = {"00"}
    made = walker(Held(IDS), provider)
    await made.page(beginning(), nobody)
    await asyncio.sleep(0)
    assert provider.busy == AT_ONCE - 1
    await made.forget()
    assert provider.busy == 0


async def test_a_parent_that_is_not_held_any_more_is_not_read() -> None:
    held, provider = Held(IDS), Provider()
    made, checkpoint = walker(held, provider), beginning()
    page, _ = await made.page(checkpoint, nobody)
    held.ids.remove("01")
    held.ids.insert(2, "02a")
    found = await walked(made, next_of(checkpoint, SPEC, page))
    assert found == [f"{one}.0" for one in ["02", "02a", *IDS[3:]]]


async def test_a_page_was_asked_for_when_its_call_began() -> None:
    provider = Provider()
    made, checkpoint = walker(Held(IDS), provider), beginning()
    page, first = await made.page(checkpoint, nobody)
    _, second = await made.page(next_of(checkpoint, SPEC, page), nobody)
    later = made._now()
    assert first < second < later
    assert second - first == timedelta(seconds=1)  # together with the first, not when its turn came


async def test_in_the_middle_of_a_parent_its_next_page_is_asked_for_alone() -> None:
    provider = Provider({"05": 3})
    begun = msgspec.structs.replace(beginning("04"), cursor="1")
    begun.walk = msgspec.structs.replace(begun.walk, parent="05", began=START)
    page, _ = await walker(Held(IDS), provider).page(begun, nobody)
    assert [item.external_id for item in page.items] == ["05.1"]
    assert provider.asked == ["05"]
