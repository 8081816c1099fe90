"""Tables of the engine: streams, runs, records, entities, the change log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_CONNECTION = ["connections.tenant_id", "connections.id"]

_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class Stream(TenantTable, Base):
    """A stream of a connection: where its reading stands, how it fares.

    `checkpoint`: of the pass under way, null between passes. `watermark`: the provider's time up to which
    everything has been read. `cause`: failure code while it does not go well, since `cause_since`.
    """

    __tablename__ = "streams"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    schedule_seconds: Mapped[int]
    freshness_seconds: Mapped[int]
    """Target: how far behind the provider this stream may be."""
    run_id: Mapped[UUID | None]
    checkpoint: Mapped[dict[str, Any] | None]
    watermark: Mapped[datetime | None]
    settled: Mapped[dict[str, Any] | None]
    """What the last complete pass asked for and mapped by: {fields, recipes: {id: version}}."""
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
    created_at: Mapped[datetime] = timestamp()


class Run(TenantTable, Base):
    """One pass over a stream. `state`: queued, running, waiting, succeeded, failed, cancelled."""

    __tablename__ = "runs"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        Index("ix_runs_history", "tenant_id", "connection_id", text("created_at DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    mode: Mapped[str]
    """first, incremental or full."""
    trigger: Mapped[str]
    """schedule, manual, recipe, reconnect."""
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


class Record(TenantTable, Base):
    """A provider's document as received, sealed; `fingerprint` tells whether it changed."""

    __tablename__ = "records"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    document: Mapped[bytes]
    key_version: Mapped[int]
    modified_at: Mapped[datetime | None]
    """The provider's time of the last change."""
    received_at: Mapped[datetime] = timestamp()
    run_id: Mapped[UUID]
    """The run that brought this form of it."""
    deleted_at: Mapped[datetime | None]


class Entity(TenantTable, Base):
    """What a recipe makes of a record, in a model of the product's. `id` is stable for ever."""

    __tablename__ = "entities"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "recipe_id"], ["recipes.tenant_id", "recipes.id"], ondelete="CASCADE"
        ),
        Index("ix_entities_id", "tenant_id", "id", unique=True),
        Index("ix_entities_model", "tenant_id", "model", "id"),
        Index("ix_entities_record", "tenant_id", "connection_id", "stream", "external_id"),
    )

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
