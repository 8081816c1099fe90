"""Attempts, counted; and what leaked."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from isolation_kit.routes import Attempt, normal, send, shown, twin
from isolation_kit.world import VICTIMS, World

Baselines = dict[tuple[Any, ...], tuple[Any, ...]]


class Tally:
    def __init__(self, said: Callable[[str], None] = lambda _: None) -> None:
        """`said` hears of each leak at once."""
        self._said = said
        self.attempts = 0
        self.leaks: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.by: Counter[str] = Counter()

    def leak(self, words: str) -> None:
        self._said(words)
        if len(self.leaks) < 200:
            self.leaks.append(words)


async def try_route(world: World, one: Attempt, known: Baselines, tally: Tally) -> None:
    """The answer to another tenant's id must be the one to an id that never existed."""
    given = {(place.where, place.name): value for place, _, value in one.values}
    answer = await send(world, one, given)
    tally.attempts += 1
    tally.statuses[answer.status] += 1
    tally.by[one.who.name] += 1
    if found := shown(world, one, answer):
        tally.leak(f"{one.who.name}: {one.route.name} {given}: shows {found}")
    got = normal(answer, given)
    if got == known.get(one.key):
        return
    fresh = twin(one)
    known[one.key] = normal(await send(world, one, fresh), fresh)
    if got != known[one.key]:  # the world may have moved between the two: once more, side by side
        got = normal(await send(world, one, given), given)
        fresh = twin(one)
        known[one.key] = normal(await send(world, one, fresh), fresh)
    if got != known[one.key]:
        difference = next(
            (_apart(a, b) for a, b in zip(got[1:], known[one.key][1:], strict=False) if a != b),
            "",
        )
        tally.leak(f"{one.who.name}: {one.route.name} {given}: {got[0]}, {known[one.key][0]}: {difference}")


def _apart(one: str, other: str) -> str:
    """Where two texts begin to differ."""
    pairs = zip(one, other, strict=False)
    at = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    start = max(0, at - 60)
    return f"{one[start : at + 200]!r} is not {other[start : at + 200]!r}"


async def attack_routes(
    world: World, todo: Sequence[Attempt], tally: Tally, *, say: Callable[[str], None] = lambda _: None
) -> None:
    before = {slug: await world.fingerprint(slug) for slug in VICTIMS}
    known: Baselines = {}
    for number, one in enumerate(todo, 1):
        await try_route(world, one, known, tally)
        if not number % 2000:
            say(f"{number:,} of {len(todo):,} requests, {len(tally.leaks)} leaks")
    await unchanged(world, before, tally)


async def unchanged(world: World, before: dict[str, dict[str, str]], tally: Tally) -> None:
    for slug, rows in before.items():
        after = await world.fingerprint(slug)
        for table in rows.keys() | after.keys():
            if rows.get(table) != after.get(table):
                tally.leak(f"rows of {slug} in {table} were changed")
