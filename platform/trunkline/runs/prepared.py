"""What pages come to, before the transaction that writes it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from trunkline.runs.parents import Asked
from trunkline.runs.planning import Outcome, Plan
from trunkline.runs.writes import RecordWrite


class Prepared(msgspec.Struct, kw_only=True):
    """Pages of a batch, ready to be written."""

    records: list[RecordWrite] = []
    key_version: int = 0
    """What they are sealed with."""
    gone: list[tuple[str, Any]] = []
    """(external id, when)"""
    outcomes: list[Outcome] = []
    """Of records that may have made something before."""
    planned: Plan = msgspec.field(default_factory=Plan)
    """Of those that cannot have: decided before the transaction."""
    mapped: list[str] = []
    """External ids whose entities are in question."""
    fresh: frozenset[str] = frozenset()
    """Those among them that were never held: nothing can have been made of them or set aside."""
    revived: frozenset[str] = frozenset()
    """Those that were held as deleted; what is neither was held, and lived."""
    new: bool = False
    """All that is written is of `fresh` ones."""
    asked: datetime
    """When what it says was asked for, by the database's clock."""
    counters: dict[str, int]
    live: int = 0
    """How many more live records are held after it."""
    expected: int | None = None
    seen: list[str] = []
    """External ids that the list named, to be noted; empty where nobody will ask."""
    found_gone: list[tuple[str, Any]] = []
    """(external id, when) of tombstones, to be noted and weighed at the end of the pass."""
    settled: list[str] = []
    """External ids of what was noted as gone, with which this is the end."""
    late: int = 0
    """Records that came in an older form than the one held, which stays."""
    owner: UUID | None = None
    """Whose notes they are: the pass's, or the review's that grew out of one."""
    untold: list[tuple[str, datetime]] = []
    """(external id, its last change) of changes that a webhook should have told of."""
    parents: list[Asked] = []
    """What was read of them, of a stream that is read for each record of another."""
    keep: dict[UUID, frozenset[str]] = {}
    """Targets, by recipe, whose held value stays where the mapping gives none."""
