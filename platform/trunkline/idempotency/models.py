"""Table of answers kept to be given again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class IdempotentAnswer(TenantTable, Base):
    """What a deed answered; written in its transaction, so that neither is there without the other."""

    __tablename__ = "idempotent_answers"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        Index("ix_idempotent_answers_due", "tenant_id", "expires_at"),
    )

    api_key_id: Mapped[UUID] = mapped_column(primary_key=True)
    """Keys do not meet: two callers may choose the same Idempotency-Key."""
    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    """Of the Idempotency-Key, in which callers may have put what is nobody's business."""
    request_hash: Mapped[bytes]
    """Of method, address and body, salted with the Idempotency-Key."""
    status: Mapped[int]
    media_type: Mapped[str]
    body: Mapped[bytes]
    """Sealed: it can hold a one-time secret."""
    key_version: Mapped[int]
    created_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime]
