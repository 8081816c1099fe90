"""Secrets we hand out: API keys and the ids of login sessions. Only hashes of them are kept.

An API key is `tl_live_<prefix>_<secret><checksum>` in base 62: the prefix finds the row, the secret has
32 characters (190 bits), the checksum (CRC-32, 6 characters) lets secret scanners tell a key from a likeness.
SHA-256 without salt or stretching suffices: nobody guesses 190 bits.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib

import msgspec

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SHAPE = re.compile(r"tl_live_([0-9A-Za-z]{10})_([0-9A-Za-z]{32})([0-9A-Za-z]{6})", re.ASCII)


class NewKey(msgspec.Struct, frozen=True):
    """`plain` is shown once and exists nowhere else."""

    plain: str
    prefix: str
    hash: bytes


class ParsedKey(msgspec.Struct, frozen=True):
    prefix: str
    hash: bytes

    def matches(self, stored: bytes) -> bool:
        return hmac.compare_digest(self.hash, stored)


def digest(secret: str) -> bytes:
    """SHA-256 of a random secret."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """256 random bits, fit for a cookie or a form field."""
    return secrets.token_urlsafe(32)


def new_api_key() -> NewKey:
    prefix, secret = _random(10), _random(32)
    plain = f"tl_live_{prefix}_{secret}{_checksum(prefix + secret)}"
    return NewKey(plain, prefix, digest(plain))


def parse_api_key(text: str) -> ParsedKey | None:
    """None for anything that no call of new_api_key can have made."""
    found = _SHAPE.fullmatch(text)
    if found is None or _checksum(found[1] + found[2]) != found[3]:
        return None
    return ParsedKey(found[1], digest(text))


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number, out = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        out = ALPHABET[digit] + out
    return out
