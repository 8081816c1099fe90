"""Shapes of reviews for pages and the API."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

MASS_DELETION: Final = "mass_deletion"
"""Kind of review, and code of the failure table."""

Kind = Literal["mass_deletion"]
ReviewState = Literal["open", "approved", "rejected", "superseded"]
Verdict = Literal["approved", "rejected"]
REASON_LENGTH: Final = 500


class ReviewView(msgspec.Struct, frozen=True, kw_only=True):
    """`sample`: some of the records' ids at the provider."""

    id: UUID
    kind: Kind
    connection_id: UUID
    stream: str
    state: ReviewState
    count: int
    """Records that would be deleted."""
    total: int
    """Records that were held."""
    doubtful: bool
    """The list that shows them missing may not have been whole."""
    sample: list[str]
    run_id: UUID
    opened_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    applied_at: datetime | None
    """When all that was approved had been done."""
    deleted: int
    """Records deleted so far by its approval; those seen again were left alone."""

    @property
    def under_way(self) -> bool:
        return self.state == "approved" and self.applied_at is None


class ReviewList(msgspec.Struct, frozen=True):
    reviews: list[ReviewView]
    next: str | None
    """Cursor of the next page; null at the end."""


class DecisionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reason` goes to the audit log."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_LENGTH)]
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""
