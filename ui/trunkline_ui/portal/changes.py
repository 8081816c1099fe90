"""What changed lately, and how far each reader of the changes has come: for the portal's overview. Pure."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from trunkline.readers.reader import FEED
from trunkline.readers.schemas import DayRow, ReaderView

DAYS = 7


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """What changed in a model today, and in the last week."""

    model: str
    today: int
    created: int
    updated: int
    deleted: int
    last_at: datetime


class FeedLine(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    unread: int
    lag_seconds: int
    acknowledged_at: datetime | None


def model_lines(rows: Sequence[DayRow], today: date) -> list[ModelLine]:
    """By model. `rows`: of the last `DAYS` days."""
    found: dict[str, list[DayRow]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return [
        ModelLine(
            model=model,
            today=sum(one.created + one.updated + one.deleted for one in days if one.day == today),
            created=sum(one.created for one in days),
            updated=sum(one.updated for one in days),
            deleted=sum(one.deleted for one in days),
            last_at=max(one.last_at for one in days),
        )
        for model, days in sorted(found.items())
    ]


def feed_lines(views: Sequence[ReaderView], now: datetime) -> list[FeedLine]:
    return [
        FeedLine(
            name=view.name,
            unread=view.unread,
            lag_seconds=view.lag_seconds(now),
            acknowledged_at=view.advanced_at,
        )
        for view in views
        if view.kind == FEED
    ]
