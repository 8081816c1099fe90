"""Tables of the engine: streams, runs, records, entities, the change log."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Computed, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_CONNECTION = ["connections.tenant_id", "connections.id"]


class Stream(TenantTable, Base):
    """A stream of a connection: where its reading stands, how it fares.

    `checkpoint`: of the pass under way, null between passes. `watermark`: the provider's time up to which
    everything has been read. `cause`: failure code while it does not go well, since `cause_since`.
    """

    __tablename__ = "streams"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        Index("ix_streams_late", "late_at", postgresql_where=text("late_at IS NOT NULL")),
        Index(
            "ix_streams_troubled",
            "tenant_id",
            "connection_id",
            postgresql_where=text(
                "(paused_at IS NULL AND failures > 0) OR (paused_at IS NOT NULL AND cause IS NOT NULL"
                " AND cause NOT IN ('paused_by_member', 'disconnected_by_member'))"
            ),
        ),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    schedule_seconds: Mapped[int]
    freshness_seconds: Mapped[int]
    """How far behind the provider this stream may be, if that is at least two schedules."""
    freshness_chosen: Mapped[bool] = mapped_column(server_default=text("false"))
    """By a member: a recipe that is saved leaves it as it is."""
    late_at: Mapped[datetime | None] = mapped_column(
        Computed(
            "CASE WHEN paused_at IS NULL AND next_due_at IS NOT NULL THEN"
            " (coalesce(last_success_at, created_at) AT TIME ZONE 'UTC' + make_interval(secs =>"
            " greatest(freshness_seconds, 2 * schedule_seconds))) AT TIME ZONE 'UTC' END",
            persisted=True,
        )
    )
    """From when on it is beyond its target (`trunkline.health.assessment.target`); null: not read."""
    run_id: Mapped[UUID | None]
    checkpoint: Mapped[dict[str, Any] | None]
    watermark: Mapped[datetime | None]
    settled: Mapped[dict[str, Any] | None]
    """What the last complete pass asked for and mapped by: {fields, recipes: {id: version}}."""
    complete_at: Mapped[datetime | None]
    """When everything was last read, not only what changed."""
    last_started_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    next_due_at: Mapped[datetime | None]
    waiting_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed tries in a row."""
    cause: Mapped[str | None]
    cause_since: Mapped[datetime | None]
    cause_detail: Mapped[dict[str, Any] | None]
    paused_at: Mapped[datetime | None]
    records: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Live records held."""
    known_fields: Mapped[dict[str, Any] | None]
    """The provider's fields that the recipes were built on: name -> `runs.drift.KnownField`."""
    fields_checked_at: Mapped[datetime | None]
    drift: Mapped[list[Any] | None]
    """How the provider's fields differ from those: `runs.drift.Drift`; null without a difference."""
    created_at: Mapped[datetime] = timestamp()
    told_since: Mapped[datetime | None]
    """From when on webhooks tell of its changes; null: none has come yet."""


class Run(TenantTable, Base):
    """One pass over a stream. `state`: queued, running, waiting, paused, succeeded, failed, cancelled."""

    __tablename__ = "runs"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        Index("ix_runs_history", "tenant_id", "connection_id", text("created_at DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    mode: Mapped[str]
    """first, incremental, full, remap or retry."""
    trigger: Mapped[str]
    """schedule, manual, recipe, reconnect, review."""
    state: Mapped[str]
    cause: Mapped[str | None]
    waiting_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    """How many times work on it was begun; more than one means that it was resumed."""
    retries: Mapped[int] = mapped_column(server_default=text("0"))
    pages: Mapped[int] = mapped_column(server_default=text("0"))
    fetched: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    updated: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    deleted: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    unchanged: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    filtered: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    quarantined: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    changes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Entries it added to the change log."""
    expected: Mapped[int | None] = mapped_column(BigInteger)
    """How many records the provider said there are; null where it does not say."""
    created_at: Mapped[datetime] = timestamp()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    progress_at: Mapped[datetime | None]


class Pass(TenantTable, Base):
    """What goes on beside a stream's own runs: `backfill` (everything read anew), `remap` (what is held is
    mapped anew) or `retry` (of that, what was set aside and is asked for). At most one of a kind; its
    row goes when its run ends.
    """

    __tablename__ = "passes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id", "stream"],
            ["streams.tenant_id", "streams.connection_id", "streams.stream"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["tenant_id", "run_id"], ["runs.tenant_id", "runs.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "run_id"),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[UUID]
    checkpoint: Mapped[dict[str, Any] | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed tries in a row."""
    handed_back: Mapped[bool] = mapped_column(server_default=text("false"))
    """It was left in order: taking it up again is no further attempt."""
    paused_at: Mapped[datetime | None]
    """By a member; it also rests while its connection or stream does."""
    created_at: Mapped[datetime] = timestamp()


class Record(TenantTable, Base):
    """A provider's document as received, sealed; `fingerprint` tells whether it changed, see `writes.Held`.

    Triggers hold what it refers to, connection and key, once a statement (migration 0009).
    """

    __tablename__ = "records"

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    document: Mapped[bytes]
    key_version: Mapped[int]
    modified_at: Mapped[datetime | None]
    """The provider's time of the last change."""
    received_at: Mapped[datetime] = timestamp()
    """When this form of it, or its deletion, was written."""
    run_id: Mapped[UUID]
    """The run that brought this form of it."""
    deleted_at: Mapped[datetime | None]


class RecordParent(TenantTable, Base):
    """Of a stream that is read for each record of another: whose child a record is, as last listed."""

    __tablename__ = "record_parents"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        Index("ix_record_parents_parent", "tenant_id", "connection_id", "stream", "parent_id"),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str]


class ChangedParent(TenantTable, Base):
    """A record that changed, or went, since the records of `stream` that belong to it were read."""

    __tablename__ = "changed_parents"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    """The children's."""
    parent_id: Mapped[str] = mapped_column(primary_key=True)
    noted_at: Mapped[datetime] = timestamp()


class SeenPage(TenantTable, Base):
    """External ids that a page gave to the complete pass under way."""

    __tablename__ = "seen_pages"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    pass_id: Mapped[UUID]
    ids: Mapped[list[str]]


class VanishedRecord(TenantTable, Base):
    """A record that a pass found gone and that is not yet deleted; a review's plan consists of them."""

    __tablename__ = "vanished"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    pass_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    listed: Mapped[bool]
    """By an explicit tombstone; else because a complete list did not name it."""
    at: Mapped[datetime | None]
    """The provider's time of the deletion."""
    noted_at: Mapped[datetime] = timestamp()


class UntoldChange(TenantTable, Base):
    """A change that a pass found, until it is sure whether a webhook tells of it too (`runs.untold`)."""

    __tablename__ = "untold_changes"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    modified_at: Mapped[datetime] = mapped_column(primary_key=True)
    noted_at: Mapped[datetime] = timestamp()


class UntoldDay(TenantTable, Base):
    """How many changes, found on that day (UTC), no webhook told of."""

    __tablename__ = "untold_days"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class Entity(TenantTable, Base):
    """What a recipe makes of a record, in a model of the product's. `id` is stable for ever.

    A trigger holds its recipe, once a statement (migration 0009).
    """

    __tablename__ = "entities"
    __table_args__ = (Index("ix_entities_model", "tenant_id", "model", "id"),)

    recipe_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    model: Mapped[str]
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    data: Mapped[dict[str, Any]]
    fingerprint: Mapped[bytes]
    recipe_version: Mapped[int]
    run_id: Mapped[UUID]
    revision: Mapped[int]
    """Counts its changes, from 1."""
    changed_at: Mapped[datetime] = timestamp()
    deleted_at: Mapped[datetime | None]


class Change(TenantTable, Base):
    """An entry of a tenant's change log; `position` has no gaps and follows commit order."""

    __tablename__ = "changes"
    __table_args__ = (Index("ix_changes_entity", "tenant_id", "entity_id", "position"),)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    operation: Mapped[str]
    """created, updated or deleted."""
    entity_id: Mapped[UUID]
    model: Mapped[str]
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    external_id: Mapped[str]
    recipe_id: Mapped[UUID]
    recipe_version: Mapped[int]
    run_id: Mapped[UUID]
    revision: Mapped[int]
    data: Mapped[dict[str, Any]]
    """The entity after the change; of a deletion, as it last was."""
    changed_at: Mapped[datetime] = timestamp()


class ChangeHead(TenantTable, Base):
    """The last position given out; its row lock orders a tenant's writers."""

    __tablename__ = "change_heads"

    position: Mapped[int] = mapped_column(BigInteger)


class Quarantined(TenantTable, Base):
    """A record that a recipe could not map; the rest of its page flowed on."""

    __tablename__ = "quarantine"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "recipe_id"], ["recipes.tenant_id", "recipes.id"], ondelete="CASCADE"
        ),
        Index("ix_quarantine_stream", "tenant_id", "connection_id", "stream", "external_id"),
        Index(
            "ix_quarantine_asked",
            "tenant_id",
            "connection_id",
            "stream",
            "external_id",
            postgresql_where=text("asked_at IS NOT NULL"),
        ),
    )

    recipe_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    errors: Mapped[list[Any]]
    """[{target, message}]; messages never carry the record's values."""
    recipe_version: Mapped[int]
    run_id: Mapped[UUID]
    since: Mapped[datetime] = timestamp()
    tries: Mapped[int] = mapped_column(server_default=text("1"))
    """By this version of the recipe."""
    tried_at: Mapped[datetime] = timestamp()
    passing: Mapped[bool] = mapped_column(server_default=text("false"))
    """Its cause may pass: it is tried again by itself, a bounded number of times."""
    asked_at: Mapped[datetime | None]
    """Somebody asked for another try, which has not been made yet."""
