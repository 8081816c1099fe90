"""Tables of tenants and people.

`tenants`, `users`, `login_sessions` and `api_keys` are the installation's: only the system role reads them.
What signing in needs besides is under the operator's own tenant, whose keys seal it.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp
from trunkline_tenants.permissions import MemberRole, StaffRole

ChallengeKind = Literal["code", "oidc"]

_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class Tenant(Base):
    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("slug"),
        Index("ix_tenants_listing", text("lower(name)"), "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    """The product's own name for the customer: lower case letters, digits and hyphens."""
    name: Mapped[str]
    created_at: Mapped[datetime] = timestamp()
    weight: Mapped[int] = mapped_column(server_default=text("1"))
    """Turns of its work for each of a tenant's with weight 1, while both wait; 1 to 100."""


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
    __table_args__ = (Index("ix_login_sessions_user", "user_id"), UniqueConstraint("id"))

    id_hash: Mapped[bytes] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    """Names the session in its owner's list; opens nothing."""
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    tenant_id: Mapped[UUID | None]
    """The tenant whose portal is open; null for staff."""
    csrf: Mapped[str]
    """Random; forms and htmx send it back."""
    created_at: Mapped[datetime] = timestamp()
    last_seen_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime]
    device: Mapped[str] = mapped_column(server_default="")
    """Browser and system in words."""
    address: Mapped[str] = mapped_column(server_default="")
    second_factor: Mapped[bool] = mapped_column(server_default=false())
    """Whether it was opened with a second factor too."""


class SecondFactor(TenantTable, Base):
    """An authenticator app's secret, under the operator's tenant. Counts once `confirmed_at` is set."""

    __tablename__ = "second_factors"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        Index("ix_second_factors_user", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes]
    """Sealed."""
    key_version: Mapped[int]
    last_step: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    """The newest time step whose code was taken: none up to it is taken again."""
    created_at: Mapped[datetime] = timestamp()
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(TenantTable, Base):
    """One unused recovery code, hashed; its row goes when it is used."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("ix_recovery_codes_user", "user_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = timestamp()


class KnownBrowser(TenantTable, Base):
    """A browser that has signed in to the account: strangers' failures do not lock it out."""

    __tablename__ = "known_browsers"
    __table_args__ = (Index("ix_known_browsers_user", "user_id"),)

    id_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]


class LoginChallenge(TenantTable, Base):
    """A sign-in half done, bound to a browser's cookie: `code` after the password, `oidc` on the way out."""

    __tablename__ = "login_challenges"
    __table_args__ = (Index("ix_login_challenges_user", "user_id"),)

    id_hash: Mapped[bytes] = mapped_column(primary_key=True)
    kind: Mapped[ChallengeKind] = mapped_column(Text())
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    target: Mapped[str]
    """Path to go on to."""
    failures: Mapped[int] = mapped_column(server_default="0")
    expires_at: Mapped[datetime]


class Identity(TenantTable, Base):
    """Whose account an identity provider's subject is; never moved, one of an issuer for an account."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("tenant_id", "issuer", "user_id"),
        Index("ix_identities_user", "user_id"),
    )

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = timestamp()


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
