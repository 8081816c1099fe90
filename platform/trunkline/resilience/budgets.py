"""Which budgets a call is charged to, in GCRA's numbers. Pure.

A rate of N requests in W seconds keeps k = N * reserve of them for interactive calls. Background work has
a burst of N // 10, interactive calls one of k more, and grants are W / (N + 1 - burst) apart: no window of W
seconds, wherever it begins, sees more than N calls, nor more than N - k of background work.
"""

import hashlib
import math
from collections.abc import Sequence
from uuid import UUID

import msgspec

from trunkline.sdk.manifest import Rate

LOCAL_SHARE = 0.5
EVERY_CALL = "*"
PREFIX = "trunkline:rate:"
MICRO = 1_000_000


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose call it is, and to whom."""

    tenant_id: UUID
    connection_id: UUID
    host: str
    """Connector and host[:port]: what is up or down together."""
    client_id: UUID | None = None
    """Our row of the OAuth client; None: the connection counts alone."""
    account: str | None = None
    """The provider's id of the account."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One budget. Times in microseconds."""

    rate: Rate
    key: str
    interval: int
    """Between grants."""
    tolerance: int
    """That interactive grants may run ahead: the burst."""
    background: int
    """The same of background work."""
    strict: int
    """Between grants of one process while nobody sees what the others spend."""
    units: int
    """What a call takes of it."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """All gates of one caller's bucket; made once, used for every call."""

    caller: Caller
    bucket: str
    gates: tuple[Gate, ...]
    most: int
    """The most calls at once that every gate can grant."""
    penalty: str
    """Key of its closing after a 429, for everybody who shares what ran out."""
    breakers: tuple[str, str]
    """Keys: the connection's, the host's."""
    keys: tuple[str, ...]
    numbers: tuple[tuple[int, ...], tuple[int, ...]]
    """The gates' arguments for the script: of background work, of interactive calls."""


def budget(
    rates: Sequence[Rate],
    caller: Caller,
    bucket: str,
    *,
    tenant_rate: Rate,
    workers: int,
    cost: int = 1,
) -> Budget:
    """`cost`: what a call takes of rates that count it. One that is more than all there ever is takes all."""
    gates = [
        _gate(_key(caller, rate), rate, workers, cost)
        for rate in rates
        if rate.bucket in {bucket, EVERY_CALL}
    ]
    gates.append(_gate(f"{PREFIX}{caller.tenant_id}", tenant_rate, workers, 1))
    penalty = f"{PREFIX}{_who(caller, _closes(rates, bucket))}:{bucket}:closed"
    # a host may be a customer's own, with its name in it
    breakers = (
        f"trunkline:breaker:{caller.connection_id}",
        f"trunkline:breaker:host:{_fingerprint(caller.host)}",
    )
    return Budget(
        caller=caller,
        bucket=bucket,
        gates=tuple(gates),
        most=min(gate.rate.requests // gate.units for gate in gates),
        penalty=penalty,
        breakers=breakers,
        keys=(penalty, *breakers, *(key for gate in gates for key in (gate.key, f"{gate.key}:slow"))),
        numbers=(
            tuple(number for gate in gates for number in (gate.interval, gate.background, gate.units)),
            tuple(number for gate in gates for number in (gate.interval, gate.tolerance, gate.units)),
        ),
    )


def kept(rate: Rate) -> int:
    """Requests of a window that background work leaves; of fewer than four none can be spared."""
    return min(math.ceil(rate.requests * rate.reserve), rate.requests // 4)


def _gate(key: str, rate: Rate, workers: int, cost: int) -> Gate:
    background = max(1, rate.requests // 10)
    burst = background + kept(rate)
    interval = math.ceil(rate.seconds * MICRO / (rate.requests + 1 - burst))
    return Gate(
        rate=rate,
        key=key,
        interval=interval,
        tolerance=interval * burst,
        background=interval * background,
        strict=math.ceil(interval * workers / LOCAL_SHARE),
        units=min(max(1, cost), rate.requests) if rate.counts == "cost" else 1,
    )


def _closes(rates: Sequence[Rate], bucket: str) -> str:
    """Whose bucket a 429 closes: of several rates the narrowest, which is the likeliest to have run out."""
    scopes = {rate.scope for rate in rates if rate.bucket in {bucket, EVERY_CALL}}
    return next((scope for scope in ("connection", "account", "client") if scope in scopes), "connection")


def _key(caller: Caller, rate: Rate) -> str:
    return f"{PREFIX}{_who(caller, rate.scope)}:{rate.bucket}:{rate.requests}/{rate.seconds:g}"


def _who(caller: Caller, scope: str) -> str:
    shared = caller.client_id
    if scope == "client" and shared is not None:
        return f"client:{shared}"
    if scope == "account" and shared is not None and caller.account is not None:
        # an account's id is the customer's business: only its fingerprint leaves the database
        return f"account:{_fingerprint(caller.host, shared, caller.account)}"
    return str(caller.connection_id)


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
