"""Tables of tenants and people. All but `members` are the installation's: only the system role reads them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp
from trunkline_tenants.permissions import MemberRole, StaffRole


class Tenant(Base):
    __tablename__ = "tenants"
    __table_args__ = (UniqueConstraint("slug"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    """The product's own name for the customer: lower case letters, digits and hyphens."""
    name: Mapped[str]
    created_at: Mapped[datetime] = timestamp()


class User(Base):
    """A person who signs in. `staff_role`: support or admin for the operator's own people, else null."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    """Lower case."""
    name: Mapped[str]
    password_hash: Mapped[str]
    """argon2id, encoded with its parameters."""
    staff_role: Mapped[StaffRole | None] = mapped_column(Text())
    created_at: Mapped[datetime] = timestamp()
    disabled_at: Mapped[datetime | None]


class Member(TenantTable, Base):
    """A user's role in a tenant: owner, admin or viewer."""

    __tablename__ = "members"
    __table_args__ = (Index("ix_members_user", "user_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[MemberRole] = mapped_column(Text())
    created_at: Mapped[datetime] = timestamp()


class LoginSession(Base):
    """A signed-in browser. The cookie's value is not stored, only its hash; rotated at sign-in."""

    __tablename__ = "login_sessions"
    __table_args__ = (Index("ix_login_sessions_user", "user_id"),)

    id_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    tenant_id: Mapped[UUID | None]
    """The tenant whose portal is open; null for staff."""
    csrf: Mapped[str]
    """Random; forms and htmx send it back."""
    created_at: Mapped[datetime] = timestamp()
    last_seen_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime]


class ApiKey(Base):
    """A key of the product's backend. Null `tenant_id`: for every tenant, naming one in each request.

    Rotating replaces the secret and keeps the row; the `previous_` one opens until `previous_until`.
    """

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("prefix"), UniqueConstraint("previous_prefix"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    prefix: Mapped[str]
    """Shown in lists; finds the row."""
    key_hash: Mapped[bytes]
    tenant_id: Mapped[UUID | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    previous_prefix: Mapped[str | None]
    previous_hash: Mapped[bytes | None]
    previous_until: Mapped[datetime | None]
    previous_used_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
