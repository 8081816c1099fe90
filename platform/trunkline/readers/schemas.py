"""Shapes that readers give to pages and to the API."""

from datetime import date, datetime
from typing import Annotated, Self
from uuid import UUID

import msgspec

NAME = "^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, msgspec.Meta(pattern=NAME, min_length=1, max_length=63)]
Position = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ReaderView(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor and its distance from the head."""

    kind: str
    name: str
    position: int
    head: int
    waiting_since: datetime | None
    """When the oldest change that it has not read was made; None: it has read everything."""
    failures: int
    cause: str | None
    cause_since: datetime | None
    retry_at: datetime | None
    advanced_at: datetime | None
    created_at: datetime

    @property
    def unread(self) -> int:
        return max(0, self.head - self.position)

    def lag_seconds(self, now: datetime) -> int:
        """Age of the oldest unread change; 0 when there is none."""
        if self.waiting_since is None:
            return 0
        return max(0, int((now - self.waiting_since).total_seconds()))


class FailingReader(msgspec.Struct, frozen=True, kw_only=True):
    """Of some tenant: one that cannot go on."""

    tenant_id: UUID
    kind: str
    name: str
    failures: int
    cause: str
    cause_since: datetime
    retry_at: datetime | None


class DayRow(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in a model on a day (UTC)."""

    day: date
    model: str
    created: int
    updated: int
    deleted: int
    last_at: datetime


# --- the API's own ---


class FeedIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    """Yours to choose: one for each consumer, such as `billing-sync`."""
    after: Position | None = None
    """Begin behind this position. 0 is the beginning of the log; by default only what comes from now on."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class AckIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    position: Position
    """Everything up to it has been dealt with; `next` of the changes you were given."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class FeedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor that is kept for you."""

    name: str
    position: int
    """The last that was acknowledged."""
    head: int
    """The newest position there is."""
    unread: int
    lag_seconds: int
    """Age of the oldest change that was not acknowledged; 0 when everything was."""
    acknowledged_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, view: ReaderView, now: datetime) -> Self:
        return cls(
            name=view.name,
            position=view.position,
            head=view.head,
            unread=view.unread,
            lag_seconds=view.lag_seconds(now),
            acknowledged_at=view.advanced_at,
            created_at=view.created_at,
        )


class FeedList(msgspec.Struct, frozen=True):
    feeds: list[FeedOut]
