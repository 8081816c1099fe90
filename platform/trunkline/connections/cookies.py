"""The flow cookie: proof that a callback comes from the browser that set out.

One cookie for each trip, named after the state's hash, so that two tabs do not end each other's trips. Its
value is `secret.nonce`: 256 random bits, and what the widget's frame wants to hear back; the hash of the
whole is kept with the authorization.
"""

import hashlib
import secrets

from litestar.datastructures import Cookie

from trunkline.connections.schemas import Begun

FLOW_SECONDS = 600
"""Longest life of a trip to the provider."""


def digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def new_flow(nonce: str) -> str:
    return f"{secrets.token_urlsafe(32)}.{nonce}"


def nonce_of(flow: str) -> str:
    return flow.partition(".")[2]


def cookie_name(state_hash: bytes, *, secure: bool) -> str:
    """`__Host-`: a sibling host cannot set it, so nobody can plant the cookie of a trip of their own."""
    return f"{'__Host-' if secure else ''}trunkline_flow_{state_hash.hex()[:16]}"


def flow_cookie(begun: Begun, *, secure: bool) -> Cookie:
    """Lax: the provider's redirect is a top-level navigation from another site."""
    return Cookie(
        key=cookie_name(begun.state_hash, secure=secure),
        value=begun.flow,
        max_age=FLOW_SECONDS,
        path="/",
        httponly=True,
        secure=secure,
        samesite="lax",
    )


def spent_cookie(state_hash: bytes, *, secure: bool) -> Cookie:
    return Cookie(
        key=cookie_name(state_hash, secure=secure),
        value="",
        max_age=0,
        path="/",
        httponly=True,
        secure=secure,
        samesite="lax",
    )
