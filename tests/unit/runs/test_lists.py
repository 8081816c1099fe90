"""A complete list over a provider that misbehaves: the checkpoint machine against a model of both."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.runs.checkpoint import (
    MAX_RESTARTS,
    Checkpoint,
    EmptyEndError,
    LostCursorError,
    Settled,
    advance,
    begin,
    restarted,
    to_weigh,
)
from trunkline.runs.provider import Item, Page
from trunkline.runs.weighing import is_mass
from trunkline_connectors.catalogue import manifests

SPEC = next(m for m in manifests() if m.name == "hubspot").streams[0]
T = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SIZE = 5
TROUBLE = ("fine", "empty", "void", "cursor", "loop", "overlap", "resorted", "big", "broken")


class GoneError(Exception):
    """410: the cursor is no longer valid."""


class Provider:
    """Ids in ascending order, and one trouble for each call until the script ends."""

    def __init__(self, ids: list[int], script: list[str]) -> None:
        self.ids = ids
        self.script = iter(script)

    def page(self, cursor: str | None) -> Page:
        after = int(cursor or 0)
        trouble = next(self.script, "fine")
        rest = [one for one in self.ids if one > after]
        found, size = rest[:SIZE], SIZE
        if trouble == "broken":
            raise OSError
        if trouble == "cursor" and cursor:
            raise GoneError
        if trouble == "void":
            return Page([], None, None, T)
        if trouble == "empty":
            return Page([], f"0{cursor or '0'}", None, T)
        if trouble == "resorted" and cursor:
            return listed([one for one in self.ids if one < after][::-1][:SIZE], None)
        if trouble == "big":
            found, size = rest[: 2 * SIZE], 2 * SIZE
        more = len(rest) > size
        if trouble == "loop" and more:
            return listed(found, "1")
        if trouble == "overlap" and cursor:
            found = [one for one in self.ids if after - 3 <= one <= after] + found
        return listed(found, str(found[-1]) if more else None)


def listed(ids: list[int], next_: str | None) -> Page:
    return Page([Item(str(one), {}, T + timedelta(seconds=one)) for one in ids], next_, None, T)


def a_pass(*, held: bool) -> Checkpoint:
    return begin(
        SPEC,
        settled=Settled(fields=["a"], recipes={}) if held else None,
        watermark=T,
        fields=["a"],
        recipes={},
        forced="full",
        started=T,
        pass_id=UUID(int=1),
        began=T,
        held=held,
    )


def read(provider: Provider, checkpoint: Checkpoint) -> tuple[Checkpoint | None, set[str]]:
    """As the handler does it: the checkpoint at the end (None: the run failed) and what this pass saw."""
    seen: dict[UUID | None, set[str]] = {}
    tries = calls = 0
    while checkpoint.phase == "list":
        calls += 1
        assert calls < 2000, "it never ends"
        try:
            page = provider.page(checkpoint.cursor)
            after = advance(checkpoint, SPEC, page)
        except (GoneError, LostCursorError):
            again = restarted(checkpoint, uuid4())
            if again is None:
                return None, set()
            checkpoint = again
            continue
        except EmptyEndError:
            tries += 1
            if tries % 3 == 0:
                checkpoint = restarted(checkpoint, uuid4()) or checkpoint
            if tries > 50:
                return None, set()
            continue
        except (ValueError, OSError):
            continue
        seen.setdefault(checkpoint.id, set()).update(item.external_id for item in page.items)
        # what is committed survives a crash: the next worker reads it back
        checkpoint = msgspec.convert(msgspec.json.decode(msgspec.json.encode(after)), Checkpoint)
    return checkpoint, seen.get(checkpoint.id, set())


@given(
    st.sets(st.integers(1, 90), min_size=1, max_size=40),
    st.lists(st.sampled_from(TROUBLE), max_size=25),
    st.booleans(),
)
@example(set(range(1, 41)), ["fine", "fine", "resorted"], True)
@example(set(range(1, 41)), ["fine", "fine", "void"], True)
@example(set(range(1, 41)), ["fine", "fine", "cursor"] * 2, True)
@example(set(range(1, 41)), ["loop"] * 25, True)
@example({1}, ["void"], True)
@example({1, 2, 3, 4, 5, 6}, ["fine", "cursor", "void"], False)
def test_a_list_that_is_believed_has_named_everything(ids: set[int], script: list[str], held: bool) -> None:
    end, seen = read(Provider(sorted(ids), script), a_pass(held=held))
    assert seen <= {str(one) for one in ids}
    if end is None or end.doubtful:
        return
    if not held and not seen:
        assert end.latest is None, "nothing was seen, so that the next pass lists again"
        return
    assert seen == {str(one) for one in ids}


@given(st.sets(st.integers(1, 90), min_size=1, max_size=40), st.booleans())
def test_a_list_without_trouble_is_beyond_doubt(ids: set[int], held: bool) -> None:
    end, seen = read(Provider(sorted(ids), []), a_pass(held=held))
    assert end is not None
    assert (end.doubtful, end.restarts) == (False, 0)
    assert seen == {str(one) for one in ids}


def test_a_list_that_came_back_empty_is_doubted_only_where_there_was_something() -> None:
    nothing = Page([], None, None, T)
    assert advance(a_pass(held=True), SPEC, nothing).doubtful
    assert not advance(a_pass(held=False), SPEC, nothing).doubtful


def test_an_empty_page_is_no_end_of_a_list_that_goes_on() -> None:
    on_the_way = advance(a_pass(held=True), SPEC, listed([1, 2], "2"))
    with pytest.raises(EmptyEndError):
        advance(on_the_way, SPEC, Page([], None, None, T))
    with pytest.raises(EmptyEndError):
        advance(a_pass(held=True), SPEC, Page([], None, 7, T))
    short = advance(on_the_way, SPEC, Page(listed([3], None).items, None, 7, T))
    assert short.doubtful, "three of seven"


def test_a_circle_of_any_length_is_found() -> None:
    made = a_pass(held=True)
    pages = [Page(listed([turn + 1], None).items, str(turn % 37 + 1), None, T) for turn in range(1000)]

    def follow() -> None:
        nonlocal made
        for page in pages:
            made = advance(made, SPEC, page)

    with pytest.raises(LostCursorError):
        follow()
    assert made.steps < 4 * 37


def test_restarts_are_bounded_and_begin_where_it_is_safe() -> None:
    made = advance(a_pass(held=True), SPEC, listed([1, 2], "2"))
    first = made.id
    for number in range(MAX_RESTARTS):
        again = restarted(made, uuid4())
        assert again is not None
        assert (again.mode, again.phase, again.cursor, again.restarts) == ("full", "list", None, number + 1)
        assert again.id not in {first, made.id}, "what the broken list saw is not of the new one"
        made = advance(again, SPEC, listed([1, 2], "2"))
    assert restarted(made, uuid4()) is None
    assert restarted(a_pass(held=True), uuid4()) is None, "without a cursor none can be at fault"


def test_changes_begin_again_at_their_anchor_and_then_become_a_list() -> None:
    made = begin(
        SPEC,
        settled=Settled(fields=["a"], recipes={}),
        watermark=T,
        fields=["a"],
        recipes={},
        forced=None,
        started=T,
        pass_id=UUID(int=1),
        held=True,
    )
    same = [Item(str(number), {}, T - timedelta(seconds=60)) for number in range(3)]
    made = advance(made, SPEC, Page(same, "200", None, T))
    assert (made.phase, made.cursor) == ("incremental", "200")
    again = restarted(made, UUID(int=2))
    assert again is not None
    assert (again.phase, again.cursor, again.since_ms) == ("incremental", None, made.since_ms)
    made = advance(again, SPEC, Page(same, "200", None, T))
    again = restarted(made, UUID(int=2))
    assert again is not None
    assert (again.phase, again.mode, again.watch, again.id) == ("list", "full", True, UUID(int=2))
    gone = msgspec.structs.replace(made, phase="deletions", cursor="7", restarts=0)
    again = restarted(gone, UUID(int=2))
    assert again is not None
    assert (again.phase, again.cursor, again.id) == ("deletions", None, UUID(int=1))


def test_changes_out_of_order_are_no_anchor() -> None:
    made = msgspec.structs.replace(a_pass(held=True), mode="incremental", phase="incremental", since_ms=0)
    items = [Item(str(number), {}, T - timedelta(seconds=number)) for number in range(3)]
    assert advance(made, SPEC, Page(items, "3", None, T)).phase == "list"
    assert advance(made, SPEC, Page(items[::-1], "3", None, T)).phase == "incremental"


def test_only_a_complete_list_or_a_tombstone_is_weighed() -> None:
    made = a_pass(held=True)
    assert to_weigh(made)
    changes = msgspec.structs.replace(made, mode="incremental")
    assert not to_weigh(changes)
    assert to_weigh(msgspec.structs.replace(changes, gone=1))
    assert not to_weigh(a_pass(held=False))


@pytest.mark.parametrize(
    ("count", "total", "mass"),
    [(51, 509, True), (51, 510, False), (50, 50, False), (51, 51, True), (0, 0, False)],
)
def test_a_mass_is_more_than_fifty_and_more_than_a_tenth(count: int, total: int, mass: bool) -> None:
    assert is_mass(count, total) is mass
