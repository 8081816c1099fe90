"""The chain: what an entry's hash is made of, and what an entry may hold. Pure.

    hash = SHA-256(previous | tenant | number | time | field | field | ...)

`previous` is the hash before it (32 zero bytes before the first), the tenant 16 bytes, number and time (in
microseconds since 1970) 8 bytes each, big endian; each field its length in 4 bytes, then UTF-8, and a field
that is absent the length -1. The migration that began the chain says the same in SQL.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

GENESIS = bytes(32)
FIELDS = (
    "actor_kind",
    "actor_id",
    "actor",
    "action",
    "target_kind",
    "target_id",
    "detail",
    "before",
    "after",
    "reason",
    "address",
)
"""In the order in which they are hashed."""

LARGEST = 8192
"""Bytes of JSON in one field: an entry says what changed, it does not keep documents."""

SECRETS = ("token", "secret", "password", "code", "verifier", "authorization")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT = (-1).to_bytes(4, "big", signed=True)


def link(
    previous: bytes, tenant_id: UUID, sequence: int, at: datetime, fields: Sequence[str | None]
) -> bytes:
    """`fields`: as FIELDS names them, JSON as the text that is stored."""
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    found = hashlib.sha256(previous + tenant_id.bytes)
    found.update(sequence.to_bytes(8, "big", signed=True) + microseconds.to_bytes(8, "big", signed=True))
    for field in fields:
        if field is None:
            found.update(_ABSENT)
        else:
            written = field.encode()
            found.update(len(written).to_bytes(4, "big") + written)
    return found.digest()


def written(values: Mapping[str, Any]) -> str:
    """The JSON of an entry's field. ValueError for one that carries a secret by its name, or is too large."""
    _check(values)
    encoded = msgspec.json.encode(values, order="deterministic")
    if len(encoded) > LARGEST:
        raise ValueError(f"an audit entry keeps {LARGEST} bytes of JSON at most, not {len(encoded)}")
    return encoded.decode()


def _check(value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if any(part in SECRETS for part in str(name).lower().split("_")):
                raise ValueError(f"an audit entry must not carry {name!r}")
            _check(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner)
