"""How the API's lists come in pages: how many are asked for, where the page before ended, the next cursor."""

from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from trunkline.kernel.errors import BadInputError

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[UUID | None, QueryParameter(description="`next` of the page before.")]
"""The id of the last row that a page gave; the list is found again from that row."""


class Row(Protocol):
    @property
    def id(self) -> UUID: ...


Found = TypeVar("Found")
Listed = TypeVar("Listed", bound=Row)


def no_cursor() -> BadInputError:
    return BadInputError("cursor is not one that a page before gave.", field="cursor")


def given(last: Found | None) -> Found:
    """The row that a cursor names, as it was looked for. BadInputError where there is none."""
    if last is None:
        raise no_cursor()
    return last


def parted(found: list[Listed], limit: int) -> tuple[list[Listed], str | None]:
    """The rows of this page out of `limit + 1` asked for, and `next`: None where no more follow."""
    return found[:limit], str(found[limit - 1].id) if len(found) > limit else None
