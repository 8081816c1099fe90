"""Standard Webhooks' symmetric signature (standardwebhooks.com, version 1.0.0)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from uuid import UUID

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The specification asks for 24 to 64."""


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(event_id: UUID) -> str:
    """The same for every endpoint and every attempt: what a receiver deduplicates by."""
    return f"msg_{event_id.hex}"


def headers(keys: Sequence[str], identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`keys`: every secret in force, the newest first. `timestamp`: seconds, of this attempt. ValueError."""
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, identity, timestamp, body) for key in keys),
    }


def _signature(key: str, identity: str, timestamp: int, body: bytes) -> str:
    try:
        raw = base64.b64decode(key.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is whsec_ and base64") from error
    signed = hmac.new(raw, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
