"""The next checkpoint of a stream that is read for each record of another: a list of lists. Pure.

The parents come in the order of their ids; a parent's list is read to its end before the next one's begins. A
page without a parent says that there is none left.
"""

from typing import Final

import msgspec

from trunkline.runs.checkpoint import (
    MAX_EMPTY,
    Checkpoint,
    EmptyEndError,
    Walk,
    advance,
    begin_at,
    follow,
    notice,
)
from trunkline.runs.documents import Page
from trunkline.sdk.manifest import StreamSpec
from trunkline.sdk.paging import ends_blank, may_repeat

MAX_MISSING = 20
"""Parents in a row that the provider does not know, and none that it does, before that is no answer."""
BLANK_PARENTS = 3
"""So many parents of which none has a child may be an outage behind a success."""


NONE_LEFT: Final = Page([], None, None, None)
"""After the last parent."""


class ParentsMissingError(ValueError):
    """The provider knows none of the parents that are held."""


def next_of(checkpoint: Checkpoint, spec: StreamSpec, page: Page) -> Checkpoint:
    """The checkpoint after this page, of whatever stream. ValueError: the page leads nowhere."""
    return advance(checkpoint, spec, page) if spec.parent is None else _walked(checkpoint, spec, page)


def names_all(before: Checkpoint, page: Page) -> bool:
    """Whether a parent's list, which ends with this page, named as many as the provider says there are."""
    return page.total is None or before.read + page.count >= page.total


def _walked(checkpoint: Checkpoint, spec: StreamSpec, page: Page) -> Checkpoint:
    walk = checkpoint.walk or Walk()
    after = msgspec.structs.replace(checkpoint)
    notice(after, page)
    if page.parent is None:
        _believe(walk, whole=checkpoint.phase == "list")
        after.doubtful = walk.found == 0 and (checkpoint.watch or walk.answered >= BLANK_PARENTS)
        after.phase = "orphans"
        begin_at(after, since_ms=None)
        return after
    if page.missing:
        return _passed(after, page.parent, msgspec.structs.replace(walk, missing=walk.missing + 1))
    after.read = checkpoint.read + page.count
    if page.next is None:
        stops = checkpoint.cursor is not None and not ends_blank(spec.list)
        if not page.count and (stops or not names_all(checkpoint, page)):
            raise EmptyEndError("an empty page ends a list that was to go on")
        found, answered = walk.found + after.read, walk.answered + 1
        return _passed(after, page.parent, msgspec.structs.replace(walk, found=found, answered=answered))
    after.empty = 0 if page.count else checkpoint.empty + 1
    if after.empty > MAX_EMPTY:
        raise ValueError("the pages are empty and name a next one without end")
    follow(after, page.next, repeats=may_repeat(spec.list))
    if walk.parent != page.parent:
        after.walk = msgspec.structs.replace(walk, parent=page.parent, began=None)
    return after


def _passed(after: Checkpoint, parent: str, walk: Walk) -> Checkpoint:
    if walk.missing >= MAX_MISSING:
        _believe(walk, whole=True)
    after.walk = msgspec.structs.replace(walk, passed=parent, parent=None, began=None)
    begin_at(after, since_ms=None)
    after.restarts = 0
    return after


def _believe(walk: Walk, *, whole: bool) -> None:
    if whole and walk.missing and not walk.answered:
        raise ParentsMissingError("the provider knows none of the records that it is asked about")
