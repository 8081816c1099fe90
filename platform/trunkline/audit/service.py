"""Who did what, when, to what, and why: written in the transaction of the deed, or neither is."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit import repository
from trunkline.audit.repository import Entry
from trunkline.kernel.principal import Principal

PAGE = 50
LONGEST_REASON = 500
"""Characters."""

_ACTION = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
_SECRETS = ("token", "secret", "password", "code", "verifier", "authorization")


async def append(
    session: AsyncSession,
    principal: Principal,
    action: str,
    target_kind: str,
    target_id: UUID | str,
    detail: dict[str, Any] | None = None,
    reason: str | None = None,
    *,
    tenant_id: UUID | None = None,
) -> None:
    """Adds an entry to the session's tenant; `tenant_id` where the principal has none (staff, system).

    `action` is noun.verb in the past ("connection.paused"). ValueError for another shape, without a tenant,
    and for a detail that carries a secret by its name: these are mistakes of the caller's code.
    """
    tenant = tenant_id or principal.tenant_id
    if tenant is None:
        raise ValueError("an audit entry needs a tenant: give tenant_id for this principal")
    if not _ACTION.fullmatch(action):
        raise ValueError(f"an audit action reads noun.verb, not {action!r}")
    for name in detail or {}:
        if any(part in _SECRETS for part in name.lower().split("_")):
            raise ValueError(f"an audit entry must not carry {name!r}")
    await repository.add(
        session,
        {
            "tenant_id": tenant,
            "actor_kind": principal.kind,
            "actor_id": principal.id,
            "actor": principal.label,
            "action": action,
            "target_kind": target_kind,
            "target_id": str(target_id),
            "detail": detail or {},
            "reason": reason[:LONGEST_REASON] if reason else None,
        },
    )


async def history(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    target: tuple[str, UUID | str] | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = PAGE,
) -> list[Entry]:
    """Newest first, at most 200; `target` as (kind, id), `before` as (at, id) of the last entry seen."""
    wanted = (target[0], str(target[1])) if target else None
    return await repository.entries(
        session, tenant_id, target=wanted, before=before, limit=max(1, min(limit, 200))
    )


__all__ = ["Entry", "append", "history"]
