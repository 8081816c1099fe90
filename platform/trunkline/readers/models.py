"""Tables of the readers of the change log, and of what the first of them keeps."""

from datetime import date, datetime

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class ReaderRow(TenantTable, Base):
    """A cursor in the tenant's change log: everything up to `position` has been read, nothing beyond it."""

    __tablename__ = "readers"
    __table_args__ = (
        Index("ix_readers_failing", "tenant_id", "kind", postgresql_where=text("failures > 0")),
    )

    kind: Mapped[str] = mapped_column(primary_key=True)
    """What reads: `feed` is the product itself; any other has its work, of kind `read:{kind}`."""
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    gather_seconds: Mapped[int] = mapped_column(server_default=text("0"))
    """How long it lets changes gather before it reads; 0 for at once."""
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed tries in a row."""
    cause: Mapped[str | None]
    cause_since: Mapped[datetime | None]
    retry_at: Mapped[datetime | None]
    advanced_at: Mapped[datetime | None]
    """When `position` last moved."""
    created_at: Mapped[datetime] = timestamp()


class DailyChanges(TenantTable, Base):
    """How much changed on a day (UTC) in a model; kept by the reader of that name."""

    __tablename__ = "daily_changes"

    day: Mapped[date] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    created: Mapped[int] = mapped_column(BigInteger)
    updated: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]
