"""Tables of recipes, their immutable versions, and declared target models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class Recipe(TenantTable, Base):
    """What of a stream becomes which model, and how often it is read."""

    __tablename__ = "recipes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
        Index("ix_recipes_stream", "tenant_id", "connection_id", "stream"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    name: Mapped[str]
    stream: Mapped[str]
    model: Mapped[str]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int]
    """The version in force."""
    schedule_seconds: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = timestamp()
    archived_at: Mapped[datetime | None]


class RecipeVersion(TenantTable, Base):
    """Never changed once written: the runtime role may only insert and read."""

    __tablename__ = "recipe_versions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "recipe_id"], ["recipes.tenant_id", "recipes.id"], ondelete="CASCADE"
        ),
    )

    recipe_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[dict[str, Any]]
    schedule_seconds: Mapped[int]
    author_id: Mapped[str]
    author: Mapped[str]
    note: Mapped[str | None]
    created_at: Mapped[datetime] = timestamp()


class DeclaredModel(TenantTable, Base):
    """A target model that the operator (or a tenant) declared beside those that come with the product."""

    __tablename__ = "declared_models"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = timestamp()
