"""Table of action calls."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class ActionCall(TenantTable, Base):
    """One write that was asked for.

    `state`: queued (nothing is written), sending (somebody has it in hand, or died with it), checking (its
    answer was lost), done, partial (of several items some), failed (nothing is written), unknown (nobody can
    tell; a person decides). `attempt` fences: who no longer has it writes nothing here.
    """

    __tablename__ = "action_calls"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index("ix_action_calls_listing", "tenant_id", "connection_id", text("asked_at DESC"), "id"),
        Index("ix_action_calls_state", "tenant_id", text("asked_at DESC"), "id"),
        Index(
            "ix_action_calls_held",
            "tenant_id",
            "connection_id",
            "action",
            postgresql_where=text("held_until IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    action: Mapped[str]
    state: Mapped[str]
    alone: Mapped[bool] = mapped_column(server_default=text("false"))
    """It looks before it writes, so that a connection has one call of the action in hand at a time."""
    count: Mapped[int]
    """Items."""
    input: Mapped[bytes | None]
    """What is to be written, sealed; forgotten once it is written, or a month after it ended otherwise."""
    key_version: Mapped[int]
    asked_by: Mapped[str]
    """Who, as the audit log names them."""
    asked_at: Mapped[datetime] = timestamp()
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    """Sendings that came to nothing, for the backoff."""
    held_until: Mapped[datetime | None]
    first_sent_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When it goes on by itself; null: never."""
    finished_at: Mapped[datetime | None]
    result_id: Mapped[str | None]
    """The provider's id of what was written, of a call with one item."""
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    """One of each item: ids and codes, never values."""
    cause: Mapped[str | None]
    """Code of the failure table: why it waits, or failed."""
    correlation_id: Mapped[str | None]
    """By which the provider finds the request."""
    decided_by: Mapped[str | None]
    """Who said what became of it."""
