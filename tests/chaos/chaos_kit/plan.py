"""Which fault strikes when and whom: all of it from the seed, before anything runs."""

import random
from typing import Any

import msgspec
from chaos_kit.accounts import account_ids

WORKERS = 3


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`pace`: seconds from one fault to the next, on average. `lease`: seconds; a third of it is a heartbeat."""

    pace: float = 1.5
    lease: int = 15
    tenants: int = 20
    edits: float = 8.0
    """Records created, changed, archived and restored a second, over all tenants."""
    settle: float = 200.0
    """Seconds that the system is given to come to rest after the last fault: a breaker may be open for 144."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: seconds after the first passes. `place`: what it strikes; one at a time strikes it."""

    at: float
    kind: str
    place: str
    seconds: float
    detail: dict[str, Any] = {}


# kind: (weight, place, shortest and longest in seconds); a pause is measured in leases
_KINDS: dict[str, tuple[int, str, float, float]] = {
    "kill": (6, "worker", 0, 0),
    "pause": (3, "worker", 1.1, 1.5),
    "deploy": (3, "worker", 0, 0),
    "kill web": (2, "web", 0, 0),
    "web dies after the insert": (3, "web", 0, 0),
    "web dies in the insert": (2, "web", 0, 0),
    "worker dies in a batch": (3, "worker", 0, 0),
    "worker dies after sending": (3, "worker", 0, 0),
    "flush": (5, "valkey", 0, 0),
    "restart valkey": (4, "valkey", 0, 0),
    "valkey out of memory": (3, "valkey", 1, 5),
    "valkey cut": (4, "valkey", 0, 0),
    "valkey slow": (2, "valkey", 1, 4),
    "valkey refuses": (3, "valkey", 1, 5),
    "valkey half open": (3, "valkey", 1, 6),
    "crash postgres": (2, "postgres", 0, 0),
    "restart postgres": (2, "postgres", 0, 0),
    "disk full": (1, "postgres", 1, 3),
    "postgres cut": (3, "postgres", 0, 0),
    "postgres slow": (2, "postgres", 1, 3),
    "postgres refuses": (2, "postgres", 1, 3),
    "postgres half open": (2, "postgres", 1, 4),
    "provider cut": (5, "provider", 0, 0),
    "provider slow": (2, "provider", 1, 3),
    "provider refuses": (3, "provider", 1, 3),
    "provider half open": (2, "provider", 1, 4),
    "receiver cut": (2, "receiver", 0, 0),
    "receiver refuses": (2, "receiver", 1, 3),
    "receiver half open": (1, "receiver", 1, 3),
    "receiver fails": (3, "receiver", 0, 0),
    "receiver busy": (2, "receiver", 0, 0),
    "429": (4, "script", 0, 0),
    "500": (5, "script", 0, 0),
    "truncated": (5, "script", 0, 0),
    "empty": (4, "script", 0, 0),
    "latency": (3, "script", 1, 4),
    "overlap": (6, "script", 0, 0),
    "error200": (4, "script", 0, 0),
    "skew": (4, "script", 2, 8),
    "revoke": (4, "account", 0, 0),
    "expire": (2, "script", 0, 0),
}
REST = {
    "worker": 6.0,
    "web": 8.0,
    "valkey": 2.0,
    "postgres": 6.0,
    "provider": 1.5,
    "receiver": 1.0,
    "script": 0.0,
    "account": 8.0,
}
"""Seconds that a place is then left alone, so that its recovery can be seen."""
SKEW = 20.0
"""Seconds by which the provider's clock jumps: less than the overlap that the manifest reads again."""


def plan(seed: int, count: int, options: Options, *, disk: bool) -> list[Fault]:
    rng = random.Random(f"plan:{seed}")
    kinds = {name: spec for name, spec in _KINDS.items() if disk or name != "disk full"}
    free: dict[str, float] = {}
    made: list[Fault] = []
    at = 0.0
    while len(made) < count:
        at += rng.uniform(0.3, 1.7) * options.pace
        fault = None
        while fault is None:
            kind = rng.choices(list(kinds), [spec[0] for spec in kinds.values()])[0]
            fault = _fault(rng, kind, at, free, options)
        made.append(fault)
    return made


def _fault(
    rng: random.Random, kind: str, at: float, free: dict[str, float], options: Options
) -> Fault | None:
    """None: what it would strike is not to be struck now."""
    _, place, shortest, longest = _KINDS[kind]
    seconds = rng.uniform(shortest, longest) * (options.lease if kind == "pause" else 1)
    named = place
    if place == "worker":
        named = f"worker{rng.randrange(WORKERS)}"
        busy = sum(free.get(f"worker{index}", 0.0) > at for index in range(WORKERS))
        if busy >= WORKERS - 1:  # one goes on, or nothing could be told from standing still
            return None
    elif place == "account":
        named = rng.choice(account_ids(options.tenants))
    if free.get(named, 0.0) > at:
        return None
    free[named] = at + seconds + REST[place]
    detail: dict[str, Any] = {}
    if place == "script" or kind in {"receiver fails", "receiver busy"}:
        detail = {"requests": rng.randint(1, 12)}
    if kind == "skew":
        detail = {"skew": rng.uniform(-SKEW, SKEW)}
    return Fault(at=round(at, 2), kind=kind, place=named, seconds=round(seconds, 2), detail=detail)
