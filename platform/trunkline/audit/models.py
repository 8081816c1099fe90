"""Table of the audit log: who did what, when, to what, and why. The runtime role may only insert and read."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class AuditEntry(TenantTable, Base):
    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_at", "tenant_id", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    at: Mapped[datetime] = timestamp()
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    """noun.verb, such as connection.disconnected."""
    target_kind: Mapped[str]
    target_id: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    reason: Mapped[str | None]
