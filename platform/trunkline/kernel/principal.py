"""Who acts. The platform knows people and keys only as this."""

from contextvars import ContextVar
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.kernel.scopes import Scope

Kind = Literal["member", "staff", "api_key", "end_user", "system"]
Role = Literal["owner", "admin", "viewer", "support", "staff_admin", "product", "end_user", "system"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated actor. `label` is what a history shows ("Ada Byron"); never an address or a secret."""

    kind: Kind
    id: str
    role: Role
    label: str
    tenant_id: UUID | None = None
    """The tenant in scope; None for staff in the console and for a key of the whole installation."""
    scopes: frozenset[Scope] = frozenset()
    """What an API key may do; of no meaning for others."""


CLIENT_ADDRESS: ContextVar[str | None] = ContextVar("client_address", default=None)
"""Of the request that this task answers; None outside of one. Set by `trunkline.web` alone."""

SYSTEM = Principal(kind="system", id="system", role="system", label="Trunkline")
