"""Tables of the vault."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class DataKey(TenantTable, Base):
    """A tenant's data key, wrapped by the key provider; the newest version seals, older ones still open."""

    __tablename__ = "data_keys"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    wrapped: Mapped[bytes]
    provider: Mapped[str]
    wrapping_key: Mapped[str]
    """The key provider's own name of the key that wrapped it."""
    seals: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """How many values it sealed, counted in batches."""
    created_at: Mapped[datetime] = timestamp()


class Shredding(TenantTable, Base):
    """A tenant's end: begun once, continued after a kill, kept as evidence. `stage`: see shredding.py."""

    __tablename__ = "shreddings"

    slug: Mapped[str]
    stage: Mapped[str]
    started_at: Mapped[datetime] = timestamp()
    keys_destroyed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    removed: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """Table -> rows removed."""
