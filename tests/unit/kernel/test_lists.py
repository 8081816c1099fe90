"""How lists are parted: every row once, whatever the size of a page."""

from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given as every
from hypothesis import strategies as st

from trunkline.kernel.errors import BadInputError
from trunkline.kernel.lists import given, parted


class Row(msgspec.Struct, frozen=True):
    id: UUID


@every(ids=st.lists(st.uuids(), max_size=30, unique=True), limit=st.integers(1, 12))
def test_pages_one_after_another_are_the_whole_list(ids: list[UUID], limit: int) -> None:
    rows, seen, start = [Row(one) for one in ids], [], 0
    while True:
        page, following = parted(rows[start : start + limit + 1], limit)
        assert len(page) <= limit
        seen += page
        if following is None:
            break
        assert following == str(page[-1].id)
        start = ids.index(UUID(following)) + 1
    assert seen == rows


def test_a_cursor_is_a_row_that_is_there() -> None:
    known = Row(uuid4())
    assert given(known) is known
    with pytest.raises(BadInputError, match="a page before gave") as refused:
        given(None)
    assert refused.value.field == "cursor"
