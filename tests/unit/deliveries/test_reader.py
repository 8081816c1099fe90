"""Grouping changes: nothing lost, nothing doubled, no record's order changed, no group too large."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline.deliveries.reader import MOST, MOST_BYTES, grouped
from trunkline.runs.schemas import ChangeView

NIL = UUID(int=0)


def change(position: int, operation: Any, entity: int, connection: int = 0, size: int = 0) -> ChangeView:
    return ChangeView(
        position=position,
        operation=operation,
        entity_id=UUID(int=entity),
        model="contact",
        revision=1,
        changed_at=datetime(2026, 1, 1, tzinfo=UTC),
        data={"x": "y" * size},
        connection_id=UUID(int=connection),
        stream="contacts",
        external_id=str(entity),
        recipe_id=NIL,
        recipe_version=1,
        run_id=NIL,
    )


logs = st.lists(
    st.tuples(
        st.sampled_from(["created", "updated", "deleted"]),
        st.integers(1, 6),
        st.integers(1, 2),
        st.sampled_from([0, 10, 90_000]),
    ),
    max_size=250,
).map(lambda rows: [change(n, *row) for n, row in enumerate(rows, 1)])


@given(logs)
def test_every_change_once_and_each_records_in_order(log: list[ChangeView]) -> None:
    groups = grouped(log)
    flat = [one for group in groups for one in group]
    assert sorted(one.position for one in flat) == [one.position for one in log]
    for entity in {one.entity_id for one in log}:
        mine = [one.position for one in flat if one.entity_id == entity]
        assert mine == sorted(mine)
    for group in groups:
        assert len({(one.operation, one.connection_id, one.stream, one.model) for one in group}) == 1
        assert len(group) <= MOST
        assert all(a.position < b.position for a, b in pairwise(group))
        assert len(group) == 1 or sum(len(one.data["x"]) for one in group) <= MOST_BYTES


def test_a_first_load_makes_few_groups() -> None:
    assert [len(group) for group in grouped([change(n, "created", n) for n in range(1, 251)])] == [
        100,
        100,
        50,
    ]


def test_operations_in_turn_share_groups_where_records_differ() -> None:
    log = [change(n, "created" if n % 2 else "updated", n) for n in range(1, 41)]
    assert [len(group) for group in grouped(log)] == [20, 20]
