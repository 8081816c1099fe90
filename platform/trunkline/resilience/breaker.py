"""When to stop asking: circuit breakers of connections and of hosts.

A breaker opens at FAILURES in a row; a host's only when TENANTS of them met those, so that one customer's
broken account stops nobody else. Open, it lets nothing through for a period; then a single call may try (the
probe). That going well closes it, going wrong opens it for twice as long. Valkey holds the breakers for all
workers (admission.lua, outcome.lua); what is here is one process' own memory, for the time without it.
"""

import random
from collections import OrderedDict
from uuid import UUID

import msgspec

from trunkline.resilience.budgets import MICRO, Budget

FAILURES = 5
"""In a row, with not one answer between them: passing trouble is for retries."""
TENANTS = 3
FIRST_SECONDS = 15.0
LONGEST_SECONDS = 120.0
"""Between probes in a long outage: what the provider's return may go unnoticed."""
PROBE_SECONDS = 40
"""Connecting and reading take 35 s at most; a probe that is never told of was lost with its process."""
REMEMBERED_SECONDS = 600
"""After its last failure (or period) a breaker is forgotten."""
SPREAD = 0.2
"""Periods differ by so much, lest breakers that opened together probe together."""
HOST_KINDS = frozenset({"provider_unreachable", "provider_timeout", "provider_error"})
"""Failures of everybody's; an answer of any other kind shows that the host is there."""
OWN_KINDS = HOST_KINDS | {"malformed_answer"}

KNOWN, PROBE, HOST_PROBE = 1, 2, 4
"""What an admission says of breakers: failures are on record; the call is the probe of the connection's, the
host's."""

_KEPT = 10_000
_random = random.SystemRandom()


def spread() -> float:
    return _random.uniform(1 - SPREAD, 1 + SPREAD)


class _State(msgspec.Struct):
    """Times in microseconds. `open`: until when; 0: closed."""

    failures: int = 0
    open: int = 0
    period: int = 0
    last: int = 0
    tenants: set[UUID] = msgspec.field(default_factory=set)


class LocalBreakers:
    """The rules of admission.lua and outcome.lua over one process' own calls."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, _State] = OrderedDict()

    def gate(self, budget: Budget, now: int) -> tuple[int, int]:
        """Microseconds to wait, and what is known (KNOWN, PROBE, HOST_PROBE); changes nothing."""
        wait, known = 0, 0
        if not self._states:
            return 0, 0
        for key, flag in zip(budget.breakers, (PROBE, HOST_PROBE), strict=True):
            state = self._state(key, now)
            if state is None:
                continue
            known |= KNOWN
            if state.open > now:
                wait = max(wait, state.open - now)
            elif state.open:
                known |= flag
        return wait, known

    def probing(self, budget: Budget, known: int, now: int) -> None:
        for key, flag in zip(budget.breakers, (PROBE, HOST_PROBE), strict=True):
            if known & flag:
                self._states[key].open = now + PROBE_SECONDS * MICRO

    def answered(self, budget: Budget) -> None:
        if self._states:
            for key in budget.breakers:
                self._states.pop(key, None)

    def failed(self, budget: Budget, known: int, now: int, *, host: bool) -> None:
        own, shared = budget.breakers
        self._failed(own, now, probe=bool(known & PROBE), tenant=budget.caller.tenant_id, tenants=1)
        if host:
            tenant = budget.caller.tenant_id
            self._failed(shared, now, probe=bool(known & HOST_PROBE), tenant=tenant, tenants=TENANTS)

    def _failed(self, key: str, now: int, *, probe: bool, tenant: UUID, tenants: int) -> None:
        state = self._state(key, now) or _State()
        if state.open and not probe:
            return
        state.failures += 1
        state.last = now
        if len(state.tenants) < TENANTS:
            state.tenants.add(tenant)
        if state.open:
            state.period = min(state.period * 2, int(LONGEST_SECONDS * MICRO))
        elif state.failures >= FAILURES and len(state.tenants) >= tenants:
            state.period = int(FIRST_SECONDS * MICRO)
        if state.period:
            state.open = now + int(state.period * spread())
        self._states[key] = state
        self._states.move_to_end(key)
        if len(self._states) > _KEPT:
            self._states.popitem(last=False)

    def _state(self, key: str, now: int) -> _State | None:
        state = self._states.get(key)
        if state is not None and max(state.last, state.open) + REMEMBERED_SECONDS * MICRO < now:
            del self._states[key]
            return None
        return state
