"""What the platform will not do without a human's word."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class Review(TenantTable, Base):
    """One decision, open, approved, rejected or superseded; at most one of a kind is open for a stream.

    Its plan is the rows of `vanished` under its id, which is that of the pass that found them.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_reviews_open",
            "tenant_id",
            "connection_id",
            "stream",
            "kind",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_reviews_listing", "tenant_id", text("opened_at DESC"), "id"),
        Index("ix_reviews_stream", "tenant_id", "connection_id", "stream"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """mass_deletion."""
    connection_id: Mapped[UUID]
    stream: Mapped[str]
    state: Mapped[str]
    count: Mapped[int] = mapped_column(BigInteger)
    """Records that would be deleted."""
    total: Mapped[int] = mapped_column(BigInteger)
    """Live records held when it was opened."""
    doubtful: Mapped[bool]
    """The list that shows them missing may not have been whole."""
    sample: Mapped[list[str]]
    """Some of their external ids."""
    run_id: Mapped[UUID]
    opened_at: Mapped[datetime] = timestamp()
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    """Who, as the audit log names them; null for what a later pass superseded."""
    reason: Mapped[str | None]
    applied_at: Mapped[datetime | None]
    """When all that was approved had been done."""
    deleted: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Records deleted by it; fewer than `count` where some had been seen again."""
