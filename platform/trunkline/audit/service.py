"""Who did what, when, to what, and why: written in the transaction of the deed, or neither is."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit import repository
from trunkline.audit.chain import FIELDS, link, written
from trunkline.audit.repository import Entry, Head, Wanted
from trunkline.kernel.clock import now
from trunkline.kernel.db import at_end
from trunkline.kernel.principal import CLIENT_ADDRESS, Principal

PAGE = 50
LONGEST_REASON = 500
"""Characters."""

ALL = Wanted()

_ACTION = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")


async def append(
    session: AsyncSession,
    principal: Principal,
    action: str,
    target_kind: str,
    target_id: UUID | str,
    detail: Mapping[str, Any] | None = None,
    reason: str | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    tenant_id: UUID | None = None,
) -> None:
    """Adds an entry to the session's tenant; `tenant_id` where the principal has none (staff, system).

    `action` is noun.verb in the past ("connection.paused"); `before` and `after` are settings that the deed
    changed, `detail` what else tells of it. The entry is numbered and written as the last thing before the
    commit, so it can be read only afterwards. ValueError for another shape, without a tenant, and for a value
    that is a secret by its name or too large: these are mistakes of the caller's code.
    """
    tenant = tenant_id or principal.tenant_id
    if tenant is None:
        raise ValueError("an audit entry needs a tenant: give tenant_id for this principal")
    if not _ACTION.fullmatch(action):
        raise ValueError(f"an audit action reads noun.verb, not {action!r}")
    entry = {
        "tenant": tenant,
        "actor_kind": principal.kind,
        "actor_id": principal.id,
        "actor": principal.label,
        "action": action,
        "target_kind": target_kind,
        "target_id": str(target_id),
        "detail": written(detail or {}),
        "before": None if before is None else written(before),
        "after": None if after is None else written(after),
        "reason": reason[:LONGEST_REASON] if reason else None,
        "address": None if principal.kind == "system" else CLIENT_ADDRESS.get(),
    }
    at_end(session, _chain, entry)


async def _chain(session: AsyncSession, added: list[dict[str, Any]]) -> None:
    """Links the transaction's entries to the tenant's chain, whose head stays locked until the commit."""
    tenant = added[0]["tenant"]
    if any(entry["tenant"] != tenant for entry in added):
        raise ValueError("a transaction audits the deeds of one tenant")
    head = await repository.hold_head(session, tenant)
    at = max(now(), head.at)  # clocks of several machines differ; the log's times do not run backwards
    for entry in added:
        sequence = head.sequence + 1
        made = link(head.hash, tenant, sequence, at, [entry[field] for field in FIELDS])
        entry |= {"sequence": sequence, "at": at, "previous": head.hash, "hash": made}
        head = Head(sequence, made, at)
    await repository.add(session, added, head)


async def history(
    session: AsyncSession,
    tenant_id: UUID,
    wanted: Wanted = ALL,
    *,
    limit: int = PAGE,
    people: bool = True,
) -> list[Entry]:
    """Newest first, at most 1,000. `people`: also who, why and from where, not in the console's role."""
    return await repository.entries(session, tenant_id, wanted, limit=max(1, min(limit, 1000)), people=people)


__all__ = ["ALL", "Entry", "Wanted", "append", "history"]
