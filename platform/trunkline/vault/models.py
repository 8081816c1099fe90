"""Tables of the vault."""

from datetime import datetime

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
    created_at: Mapped[datetime] = timestamp()
