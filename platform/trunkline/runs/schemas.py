"""Shapes that the engine gives to pages and to the API."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

Mode = Literal["first", "incremental", "full", "remap", "retry", "webhook"]
Trigger = Literal["schedule", "manual", "recipe", "reconnect", "review", "webhook"]
RunState = Literal["queued", "running", "waiting", "paused", "succeeded", "failed", "cancelled"]
Operation = Literal["created", "updated", "deleted"]


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over a stream. Counts are of records; `filtered`, `quarantined` of records times recipes."""

    id: UUID
    connection_id: UUID
    stream: str
    mode: Mode
    trigger: Trigger
    state: RunState
    cause: str | None
    """Code of the failure table, while waiting for it or after failing by it."""
    waiting_until: datetime | None
    attempt: int
    """How many times work on it was begun; more than one means that it was resumed."""
    retries: int
    pages: int
    fetched: int
    created: int
    updated: int
    deleted: int
    unchanged: int
    filtered: int
    quarantined: int
    changes: int
    """Entries it added to the change log."""
    expected: int | None
    """How many records the provider said there are; null where it does not say."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress_at: datetime | None
    """When its last page was committed."""

    @property
    def active(self) -> bool:
        return self.state in {"queued", "running", "waiting", "paused"}

    @property
    def rate(self) -> float | None:
        """Records a second from its start to its last page; None before the first."""
        if self.started_at is None or self.progress_at is None:
            return None
        seconds = (self.progress_at - self.started_at).total_seconds()
        return self.fetched / seconds if seconds > 0 else None


class StreamView(msgspec.Struct, frozen=True, kw_only=True):
    connection_id: UUID
    stream: str
    schedule_seconds: int
    freshness_seconds: int
    run_id: UUID | None
    """The run under way."""
    watermark: datetime | None
    last_started_at: datetime | None
    last_success_at: datetime | None
    next_due_at: datetime | None
    waiting_until: datetime | None
    failures: int
    cause: str | None
    cause_since: datetime | None
    cause_detail: dict[str, Any] | None
    paused_at: datetime | None
    records: int
    created_at: datetime
    freshness_chosen: bool = False
    """By a member, not by the connector."""


class RecordRow(msgspec.Struct, frozen=True, kw_only=True):
    """A record without its document."""

    connection_id: UUID
    stream: str
    external_id: str
    modified_at: datetime | None
    received_at: datetime
    run_id: UUID
    deleted_at: datetime | None


class EntityView(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe made of a record."""

    id: UUID
    model: str
    data: dict[str, Any]
    revision: int
    changed_at: datetime
    deleted_at: datetime | None
    recipe_id: UUID
    recipe_version: int
    run_id: UUID
    connection_id: UUID
    stream: str
    external_id: str


class QuarantineView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a recipe could not map a record. `errors`: [{target, message}]."""

    recipe_id: UUID
    recipe_version: int
    connection_id: UUID
    stream: str
    external_id: str
    errors: list[Any]
    run_id: UUID
    since: datetime
    tries: int
    """By this version of the recipe."""
    tried_at: datetime
    passing: bool
    """Its cause may pass: it is tried again by itself, a bounded number of times."""
    asked_at: datetime | None
    """Somebody asked for another try, which has not been made yet."""


class RecordDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The source document beside what the recipes made of it."""

    record: RecordRow
    document: dict[str, Any]
    entities: list[EntityView]
    quarantine: list[QuarantineView]


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the change log. `data`: the entity after the change; of a deletion, as it last was."""

    position: int
    operation: Operation
    entity_id: UUID
    model: str
    revision: int
    changed_at: datetime
    data: dict[str, Any]
    connection_id: UUID
    stream: str
    external_id: str
    recipe_id: UUID
    recipe_version: int
    run_id: UUID


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Of one connection."""

    records: dict[str, int]
    """Live records by stream."""
    entities: dict[str, int]
    """Live entities by model."""
    quarantined: int


# --- the API's own ---


class RecordList(msgspec.Struct, frozen=True):
    records: list[EntityView]
    next: str | None
    """Cursor of the next page; null at the end."""


class ChangeList(msgspec.Struct, frozen=True):
    changes: list[ChangeView]
    next: int
    """Ask with `after` = this for what comes next."""
    head: int
    """The newest position there is; `next` equal to it means that you have everything."""


class RunList(msgspec.Struct, frozen=True):
    runs: list[RunView]
    next: str | None


class SyncIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream: str | None = None
    """Only this stream; all of the connection by default."""
    mode: Literal["full"] | None = None
    """`full` reads everything anew; by default only what changed is read."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


_NAME = "^[a-z][a-z0-9_]*$"
_TEXT = "^[^\\x00]*$"
"""PostgreSQL holds no NUL."""


class QuarantineList(msgspec.Struct, frozen=True):
    records: list[QuarantineView]
    next: str | None
    """Cursor of the next page; null at the end."""


class RetryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream: Annotated[str, msgspec.Meta(max_length=100, pattern=_NAME)] | None = None
    recipe_id: UUID | None = None
    external_id: Annotated[str, msgspec.Meta(max_length=512, pattern=_TEXT)] | None = None
    """Only this record, by the provider's id."""
    message: Annotated[str, msgspec.Meta(max_length=1000, pattern=_TEXT)] | None = None
    """Only what was set aside with this message."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""

    @property
    def detail(self) -> dict[str, Any]:
        """For the audit log, which keeps no message: it may quote a value."""
        given = {"stream": self.stream, "recipe_id": self.recipe_id, "external_id": self.external_id}
        return {name: str(value) for name, value in given.items() if value is not None}
