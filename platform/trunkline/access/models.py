"""Table of connect sessions: the product's leave for one end user to connect."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class ConnectSession(TenantTable, Base):
    """Single use, ten minutes at most, bound to one origin. Only hashes of its secrets are kept."""

    __tablename__ = "connect_sessions"
    __table_args__ = (Index("ix_connect_sessions_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes]
    end_user_id: Mapped[str]
    end_user_label: Mapped[str]
    connectors: Mapped[list[str]]
    recipes: Mapped[list[str]]
    """Suggested recipes to set up when the connection is confirmed."""
    actions: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    """Actions that the product wants to call, whose permissions are asked for."""
    origin: Mapped[str]
    created_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime]
    redeemed_at: Mapped[datetime | None]
    frame_key_hash: Mapped[bytes | None]
    """Hash of the key that the frame got for the token."""
    connection_id: Mapped[UUID | None]
    code_hash: Mapped[bytes | None]
    """Hash of the completion code, of which only the initiating page hears."""
    completed_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    """Failure code of the last try, for the frame to show."""
