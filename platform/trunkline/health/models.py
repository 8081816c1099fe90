"""Table of issues: one row per problem, however often it is met."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class Issue(TenantTable, Base):
    """A problem of a connection, deduplicated by `key`; closed by `resolved_at`."""

    __tablename__ = "issues"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_issues_open", "tenant_id", "key", unique=True, postgresql_where=text("resolved_at IS NULL")
        ),
        Index("ix_issues_connection", "tenant_id", "connection_id", "opened_at"),
        Index(
            "ix_issues_review",
            "tenant_id",
            "connection_id",
            "stream",
            postgresql_where=text("resolved_at IS NULL AND cause = 'mass_deletion'"),
        ),
        Index("ix_issues_waiting", "cause", "opened_at", "id", postgresql_where=text("resolved_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    stream: Mapped[str | None]
    key: Mapped[str]
    cause: Mapped[str]
    """Code of the failure table."""
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """Status, correlation id and the like; never a provider's message, which may quote personal data."""
    count: Mapped[int] = mapped_column(server_default=text("1"))
    opened_at: Mapped[datetime] = timestamp()
    last_seen_at: Mapped[datetime] = timestamp()
    resolved_at: Mapped[datetime | None]
