"""Table of the durable backlog."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_OF_TENANT = ("tenant_id", "priority", "due_at")


class Work(TenantTable, Base):
    """Something to be done. One row per (tenant, kind, key): asking twice is asking once.

    `attempt` is the fencing token: every write of the work carries it, and a worker whose attempt is no
    longer the row's writes nothing. `lease_until` in the past means that nobody has it.
    """

    __tablename__ = "work"
    __table_args__ = (
        UniqueConstraint("tenant_id", "kind", "key"),
        Index("ix_work_ready", *_OF_TENANT, postgresql_where=text("ready AND kind <> 'deliver'")),
        Index("ix_work_ready_to_send", *_OF_TENANT, postgresql_where=text("ready AND kind = 'deliver'")),
        Index("ix_work_asleep", "due_at", postgresql_where=text("NOT ready AND kind <> 'deliver'")),
        Index("ix_work_asleep_to_send", "due_at", postgresql_where=text("NOT ready AND kind = 'deliver'")),
        Index(
            "ix_work_leased",
            "tenant_id",
            "connection_id",
            "lease_until",
            postgresql_where=text("lease_until IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    connection_id: Mapped[UUID | None]
    """For the cap per connection."""
    args: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """Ids only: never a secret, never personal data."""
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    """Lower runs first among a tenant's due work."""
    due_at: Mapped[datetime] = timestamp()
    ready: Mapped[bool] = mapped_column(server_default=text("false"))
    """Known to be due, so found by its tenant; else found by its time. Only says where to look: a row that is
    due and not `ready` is found as well, one that is `ready` and not due yet is left alone."""
    again_at: Mapped[datetime | None]
    """Asked for again while it was running: due then, once it ends."""
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed tries in a row, for the backoff."""
    lease_until: Mapped[datetime | None]
    leased_by: Mapped[str | None]
    cause: Mapped[str | None]
    created_at: Mapped[datetime] = timestamp()
