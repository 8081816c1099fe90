"""Who goes next: a pure choice among due work, so that it can be tested without a clock or a database."""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import msgspec


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one tenant and of one connection may be in flight at once, over all workers."""

    tenant: int = 8
    connection: int = 4


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A due row of the backlog."""

    tenant_id: UUID
    id: UUID
    connection_id: UUID | None
    priority: int
    due_at: datetime


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """What is leased now: how many by tenant, how many by connection."""

    tenants: Mapping[UUID, int]
    connections: Mapping[UUID, int]


def choose(
    due: Iterable[Candidate],
    in_flight: InFlight,
    *,
    free: int,
    caps: Caps,
    after: UUID,
    weights: Mapping[UUID, int] | None = None,
) -> list[Candidate]:
    """At most `free` candidates, each time of the tenant that has least in flight for its weight (else 1).

    Caps hold whatever the weight. Equals take turns in the order of their ids, beginning behind `after`, the
    tenant served last. Within a tenant: lower priority first, then who has been due longest.
    """
    waiting: dict[UUID, deque[Candidate]] = defaultdict(deque)
    for candidate in sorted(due, key=lambda one: (one.priority, one.due_at, one.id)):
        waiting[candidate.tenant_id].append(candidate)
    connections = Counter(in_flight.connections)
    of = weights or {}
    busy = {tenant: in_flight.tenants.get(tenant, 0) for tenant in waiting}
    turns = [
        (busy[tenant] / of.get(tenant, 1), tenant <= after, tenant)
        for tenant in waiting
        if busy[tenant] < caps.tenant
    ]
    heapq.heapify(turns)
    chosen: list[Candidate] = []
    while turns and len(chosen) < free:
        _, wrapped, tenant = heapq.heappop(turns)
        found = _next(waiting[tenant], connections, caps.connection)
        if found is None:
            continue
        chosen.append(found)
        if found.connection_id is not None:
            connections[found.connection_id] += 1
        busy[tenant] += 1
        if busy[tenant] < caps.tenant:
            heapq.heappush(turns, (busy[tenant] / of.get(tenant, 1), wrapped, tenant))
    return chosen


def _next(waiting: deque[Candidate], connections: Counter[UUID], cap: int) -> Candidate | None:
    """The first whose connection has room; those without room are dropped, for it only gets fuller."""
    while waiting:
        candidate = waiting.popleft()
        if candidate.connection_id is None or connections[candidate.connection_id] < cap:
            return candidate
    return None
