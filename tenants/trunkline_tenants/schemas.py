"""What the directory hands out. No struct here holds a password hash."""

from datetime import datetime
from uuid import UUID

import msgspec

from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import Scope
from trunkline_tenants.permissions import MemberRole, StaffRole


class TenantInfo(msgspec.Struct, frozen=True):
    id: UUID
    slug: str
    name: str
    created_at: datetime


class UserInfo(msgspec.Struct, frozen=True):
    id: UUID
    email: str
    name: str
    staff_role: StaffRole | None
    created_at: datetime
    disabled_at: datetime | None


class MemberInfo(msgspec.Struct, frozen=True):
    user_id: UUID
    email: str
    name: str
    role: MemberRole
    since: datetime


class Membership(msgspec.Struct, frozen=True):
    tenant: TenantInfo
    role: MemberRole


class ApiKeyInfo(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    prefix: str
    tenant_id: UUID | None
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    rotated_at: datetime | None
    previous_prefix: str | None
    previous_until: datetime | None
    """Until when the secret before the last rotation opens."""
    previous_used_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in browser, as one request sees it."""

    principal: Principal
    user: UserInfo
    tenant: TenantInfo | None
    """None for staff."""
    csrf: str
    expires_at: datetime
    several: bool = False
    """Whether the user belongs to other tenants too; known of a resolved session only."""
    second_factor: bool = False
    """Whether this session was opened with one."""

    @property
    def home(self) -> str:
        return "/console" if self.principal.kind == "staff" else "/portal"


class OpenedLogin(msgspec.Struct, frozen=True):
    """`cookie` is the new session's id in plain, for the Set-Cookie header only."""

    cookie: str
    login: Login
    browser: str | None = None
    """A new value for the known browser's cookie, if it needs one."""
    target: str = ""
    """Where the browser wanted to go when it began to sign in."""


class CodeNeeded(msgspec.Struct, frozen=True):
    """The first factor was right; `cookie` is good for sending the second one from the same browser."""

    cookie: str


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Who knocks, as far as a browser tells; address and device go into the session's row only."""

    address: str = "-"
    device: str = ""
    """In words, made by `devices.describe`."""
    browser: str | None = None
    """The known browser's cookie."""
    previous: str | None = None
    """The cookie of the session that the new one replaces."""


class SessionInfo(msgspec.Struct, frozen=True):
    """One line in a person's list of their own sessions."""

    id: UUID
    device: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    second_factor: bool
    current: bool
