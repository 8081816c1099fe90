"""A list of lists: each parent's to its end, none twice, wherever it is broken off."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.runs.checkpoint import Checkpoint, EmptyEndError, Settled, Walk, begin, restarted, to_weigh
from trunkline.runs.documents import Item, Page, page_of
from trunkline.runs.walking import BLANK_PARENTS, MAX_MISSING, ParentsMissingError, names_all, next_of
from trunkline.sdk.paging import Turn
from trunkline_connectors.catalogue import manifests

FRESHDESK = next(one for one in manifests() if one.name == "freshdesk")
SPEC = FRESHDESK.stream("conversations")
START = datetime(2026, 1, 1, tzinfo=UTC)
NONE_LEFT = Page([], None, None, None)


def beginning(*, settled=False, forced=None, held=False) -> Checkpoint:
    known = Settled(fields=[], recipes={}) if settled else None
    return begin(
        SPEC,
        settled=known,
        watermark=None,
        fields=[],
        recipes={},
        forced=forced,
        started=START,
        held=held,
    )


def page(parent, ids=(), following=None, **more) -> Page:
    return Page(
        [Item(one, {"id": one}, None, parent) for one in ids], following, None, None, parent=parent, **more
    )


def kept(checkpoint: Checkpoint) -> Checkpoint:
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(checkpoint)), Checkpoint)


def missing(parent) -> Page:
    return page(parent, missing=True)


def test_a_pass_over_what_changed_needs_no_time_of_the_children() -> None:
    assert beginning().mode == "first"
    assert (beginning(settled=True).mode, beginning(settled=True).phase) == ("incremental", "incremental")
    assert beginning(settled=True, forced="full").mode == "full"


trees = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.lists(st.integers(0, 4), min_size=1, max_size=4), max_size=6
)


@given(tree=trees, broken=st.sets(st.integers(0, 30)))
def test_every_page_of_every_parent_is_read_once_in_whatever_parts(tree, broken) -> None:
    """`tree`: parent -> records a page; `broken`: pages after which another process takes it up."""
    checkpoint, read = beginning(), []
    while checkpoint.phase == "list":
        walk = checkpoint.walk
        parent = walk.parent or min((one for one in tree if one > (walk.passed or "")), default=None)
        if parent is None:
            checkpoint = next_of(checkpoint, SPEC, NONE_LEFT)
            break
        number = int(checkpoint.cursor or 0)
        read.append((parent, number))
        last = number + 1 == len(tree[parent])
        count = tree[parent][number] or int(last and number > 0)
        ids = [f"{parent}{number}.{one}" for one in range(count)]
        checkpoint = next_of(checkpoint, SPEC, page(parent, ids, None if last else str(number + 1)))
        checkpoint = kept(checkpoint) if len(read) in broken else checkpoint
    assert read == [(one, number) for one in sorted(tree) for number in range(len(tree[one]))]
    assert checkpoint.phase == "orphans"
    assert checkpoint.walk.answered == len(tree)
    assert to_weigh(checkpoint) == bool(tree)


def test_a_lost_cursor_begins_that_parent_anew_and_no_other() -> None:
    after = next_of(beginning(), SPEC, page("1", ["a"]))
    after = next_of(after, SPEC, page("2", ["b"], "x"))
    again = restarted(after, None)
    assert (again.walk.passed, again.walk.parent, again.cursor) == ("1", None, None)
    assert next_of(again, SPEC, page("2", ["b"])).walk.passed == "2"


def test_an_empty_end_is_not_believed() -> None:
    after = next_of(beginning(), SPEC, page("1", ["a"], "x"))
    with pytest.raises(EmptyEndError):
        next_of(after, SPEC, page("1"))
    with pytest.raises(EmptyEndError):
        next_of(beginning(), SPEC, msgspec.structs.replace(page("1"), total=3))


def test_a_parent_with_more_children_than_it_lists_proves_no_absence() -> None:
    some = msgspec.structs.replace(page("1", ["a", "b"]), total=3)
    assert not names_all(beginning(), some)
    assert names_all(beginning(), msgspec.structs.replace(some, total=2))
    assert names_all(beginning(), page("1"))


def test_parents_that_nobody_knows_are_passed_over_but_not_all_of_them() -> None:
    some = next_of(next_of(beginning(), SPEC, missing("1")), SPEC, page("2", ["a"]))
    assert next_of(some, SPEC, NONE_LEFT).phase == "orphans"
    with pytest.raises(ParentsMissingError):
        next_of(next_of(beginning(), SPEC, missing("1")), SPEC, NONE_LEFT)
    # one that changed and went at once is nothing unusual
    changed = next_of(beginning(settled=True), SPEC, missing("1"))
    assert next_of(changed, SPEC, NONE_LEFT).phase == "orphans"
    for number in range(1, MAX_MISSING - 1):
        changed = next_of(changed, SPEC, missing(f"{number:02}"))
    with pytest.raises(ParentsMissingError):
        next_of(changed, SPEC, missing("99"))


def test_nothing_at_all_is_doubted() -> None:
    after = next_of(beginning(held=True), SPEC, page("1"))
    assert next_of(after, SPEC, NONE_LEFT).doubtful
    one = next_of(beginning(settled=True), SPEC, page("1"))
    assert not next_of(one, SPEC, NONE_LEFT).doubtful
    for number in range(1, BLANK_PARENTS):
        one = next_of(one, SPEC, page(f"1{number}"))
    assert next_of(one, SPEC, NONE_LEFT).doubtful


def test_a_record_carries_its_parent_unless_it_does_by_itself() -> None:
    own = [{"id": 1, "ticket_id": 7}, {"id": 2}]
    made = page_of(SPEC, SPEC.list, own, None, Turn(None), parent="9")
    assert [(item.document["ticket_id"], item.parent) for item in made.items] == [(7, "9"), ("9", "9")]
    assert made.parent == "9"


def test_an_ordinary_checkpoint_says_nothing_of_parents() -> None:
    tickets = FRESHDESK.stream("tickets")
    made = begin(tickets, settled=None, watermark=None, fields=[], recipes={}, forced=None, started=START)
    assert "walk" not in msgspec.to_builtins(made)
    assert Walk() == beginning().walk
