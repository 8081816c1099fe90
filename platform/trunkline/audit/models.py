"""Tables of the audit log: who did what, when, to what, and why. The runtime role may only add and read."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable


class AuditEntry(TenantTable, Base):
    """A link of the tenant's chain (`chain.py`)."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at", "tenant_id", "at"),
        Index("ix_audit_entries_action", "tenant_id", "action", "sequence"),
        Index("ix_audit_entries_actor", "tenant_id", "actor_kind", "actor_id", "sequence"),
        Index("ix_audit_entries_target", "tenant_id", "target_kind", "target_id", "sequence"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """From 1, without a gap."""
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    """noun.verb, such as connection.disconnected."""
    target_kind: Mapped[str]
    target_id: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    """json, not jsonb, here and below: it keeps the text that was hashed to the letter."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    reason: Mapped[str | None]
    address: Mapped[str | None]
    """Of the client that asked; what Trunkline does of its own accord has none."""
    previous: Mapped[bytes]
    hash: Mapped[bytes]


class AuditHead(TenantTable, Base):
    """The last link. Its row's lock orders a tenant's entries; a trigger lets it move forward only."""

    __tablename__ = "audit_heads"

    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]
    at: Mapped[datetime]
