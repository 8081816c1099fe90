"""Tables of partners' connectors."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class ConnectorPackage(Base):
    """A version of a partner's connector, as it was uploaded; content never changes."""

    __tablename__ = "connector_packages"
    __table_args__ = (
        UniqueConstraint("connector", "version"),
        CheckConstraint("octet_length(archive) <= 4194304", name="size"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connector: Mapped[str]
    version: Mapped[str]
    partner: Mapped[str]
    """Whose it is; all versions of a connector are one partner's."""
    digest: Mapped[str]
    """SHA-256 of the archive."""
    archive: Mapped[bytes]
    manifest: Mapped[str]
    """manifest.toml out of it, for registries: they never open the archive."""
    findings: Mapped[list[Any] | None]
    """`Found` of the check; null until a worker made it."""
    graded: Mapped[dict[str, Any] | None]
    """`Graded`; null until a worker did it."""
    uploaded_by: Mapped[str]
    uploaded_at: Mapped[datetime] = timestamp()
    withdrawn_at: Mapped[datetime | None]
    withdrawn_reason: Mapped[str | None]
    pausing: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether a withdrawal pauses the connections that have this version."""


class ConnectorApproval(TenantTable, Base):
    """A tenant may connect this version; of the installation (tenant 0): every tenant may."""

    __tablename__ = "connector_approvals"
    __table_args__ = (ForeignKeyConstraint(["package_id"], ["connector_packages.id"], ondelete="CASCADE"),)

    package_id: Mapped[UUID] = mapped_column(primary_key=True)
    approved_by: Mapped[str]
    approved_at: Mapped[datetime] = timestamp()


class ConnectorRegistry(Base):
    """One row, whose counter moves in the transaction of each change of the other two tables."""

    __tablename__ = "connector_registry"
    __table_args__ = (CheckConstraint("single", name="single"),)

    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    counter: Mapped[int] = mapped_column(server_default=text("0"))
