"""Proving and making the signatures that `trunkline.sdk.signatures` describes.

Every key is tried against every signature sent, and each comparison takes the same time whatever it finds:
how long a refusal took tells nothing of how close it was. Nothing of the body is read before it is proven.
"""

import base64
import binascii
import hashlib
import hmac
import string
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from trunkline.sdk.signatures import Signature, Stamp

MOST_SIGNATURES: Final = 8
"""Of one header; a provider sends two while a secret rotates."""
MOST_KEYS: Final = 2
"""The secret in force and, for a while, the one before."""

Outcome = Literal["verified", "missing", "malformed", "stale", "mismatch"]


class Delivery(msgspec.Struct, frozen=True):
    """A request as it came. `headers` by lower-case name; `url` as the provider knows it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Verdict(msgspec.Struct, frozen=True):
    """`key`: which of the keys it was signed with, 0 being the one in force."""

    outcome: Outcome
    key: int | None = None

    @property
    def ok(self) -> bool:
        return self.outcome == "verified"


_MISSING: Final = Verdict("missing")
_MALFORMED: Final = Verdict("malformed")
_STALE: Final = Verdict("stale")
_MISMATCH: Final = Verdict("mismatch")


class Scheme:
    """One template, ready to verify and to sign."""

    def __init__(self, spec: Signature) -> None:
        self.spec = spec
        self._header = spec.header.lower()
        self._id = spec.id.lower() if spec.id else None
        self._require = {name.lower(): value for name, value in spec.require.items()}
        self._parts = [
            (text, name if name is not None else "")
            for text, name, _, _ in string.Formatter().parse(spec.signed)
        ]

    def key(self, secret: str) -> bytes:
        """Of a secret as people copy it. ValueError for one that cannot be it, without repeating it."""
        text = secret.removeprefix(self.spec.key_prefix)
        try:
            made = base64.b64decode(text, validate=True) if self.spec.key == "base64" else text.encode()
        except (binascii.Error, ValueError):
            raise ValueError("the secret is not in the form that this provider gives") from None
        if not made:
            raise ValueError("the secret is empty")
        return made

    def carried(self, headers: Mapping[str, str]) -> bool:
        """Whether a request claims to be signed this way."""
        return self._header in headers and all(
            headers.get(name) == value for name, value in self._require.items()
        )

    def verify(self, keys: Sequence[bytes], delivery: Delivery, at: float) -> Verdict:
        """`at`: Unix time of the arrival."""
        if not self.carried(delivery.headers):
            return _MISSING
        stamp = self.spec.timestamp
        written = "" if stamp is None else _written(stamp, delivery.headers, self.spec.separator)
        identity = "" if self._id is None else delivery.headers.get(self._id, "")
        if (stamp is not None and not written) or (self._id is not None and not identity):
            return _MISSING
        sent = _items(delivery.headers[self._header], self.spec.separator, self.spec.prefix)
        if not sent or len(sent) > MOST_SIGNATURES:
            return _MALFORMED
        if stamp is not None and stamp.unit != "text":
            if not written.isascii() or not written.isdecimal() or len(written) > 15:
                return _MALFORMED
            seconds = int(written) / (1000 if stamp.unit == "ms" else 1)
            if abs(at - seconds) > stamp.window_seconds:
                return _STALE
        given = [one.encode("utf-8", "surrogatepass") for one in sent]
        found: int | None = None
        for number, key in enumerate(keys[:MOST_KEYS]):
            expected = self._signature(key, delivery, written, identity).encode()
            hits = [hmac.compare_digest(expected, one) for one in given]
            if any(hits) and found is None:
                found = number
        return _MISMATCH if found is None else Verdict("verified", found)

    def signed_at(self, headers: Mapping[str, str]) -> float | None:
        """Unix time of signing, where the headers tell one that a clock could."""
        stamp = self.spec.timestamp
        written = "" if stamp is None else _written(stamp, headers, self.spec.separator)
        if stamp is None or stamp.unit == "text" or not written.isdecimal() or len(written) > 15:
            return None
        return int(written) / (1000 if stamp.unit == "ms" else 1)

    def sign(
        self, key: bytes, *, method: str, url: str, body: bytes, at: float, identity: str = ""
    ) -> dict[str, str]:
        """The headers of a delivery signed at that Unix time."""
        spec = self.spec
        stamp = spec.timestamp
        written = "" if stamp is None else str(int(at * 1000 if stamp.unit == "ms" else at))
        delivery = Delivery(method, url, {}, body)
        value = spec.prefix + self._signature(key, delivery, written, identity)
        headers = dict(spec.require)
        if spec.id is not None:
            headers[spec.id] = identity
        if stamp is not None and stamp.header == spec.header:
            value = f"{stamp.prefix}{written}{spec.separator}{value}"
        elif stamp is not None:
            headers[stamp.header] = stamp.prefix + written
        return {**headers, spec.header: value}

    def _signature(self, key: bytes, delivery: Delivery, written: str, identity: str) -> str:
        spec = self.spec
        if spec.kind == "static":
            return base64.b64encode(key).decode() if spec.encoding == "base64" else key.decode()
        values = {
            "body": delivery.body,
            "timestamp": written.encode("utf-8", "surrogatepass"),
            "id": identity.encode("utf-8", "surrogatepass"),
            "method": delivery.method.encode(),
            "url": delivery.url.encode(),
            "secret": key,
            "": b"",
        }
        signed = b"".join(text.encode() + values[name] for text, name in self._parts)
        if spec.kind == "digest":
            digest = hashlib.new(spec.algorithm, signed).digest()
        else:
            digest = hmac.digest(key, signed, spec.algorithm)
        return base64.b64encode(digest).decode() if spec.encoding == "base64" else digest.hex()


def _items(value: str, separator: str, prefix: str) -> list[str]:
    """What stands behind the prefix, in each item that has it."""
    parts = value.split(separator) if separator else [value]
    return [part.strip()[len(prefix) :] for part in parts if part.strip().startswith(prefix)]


def _written(stamp: Stamp, headers: Mapping[str, str], separator: str) -> str:
    found = headers.get(stamp.header.lower(), "")
    if not stamp.prefix:
        return found
    items = _items(found, separator, stamp.prefix)
    return items[0] if len(items) == 1 else ""


def verify_any(schemes: Sequence[tuple[Scheme, Sequence[bytes]]], delivery: Delivery, at: float) -> Verdict:
    """By the first of them that the request carries. Each of them is good enough for whoever sends: a
    connector that lists a weaker one beside a stronger one is as safe as the weaker one.
    """
    for scheme, keys in schemes:
        if scheme.carried(delivery.headers):
            return scheme.verify(keys, delivery, at)
    return _MISSING
