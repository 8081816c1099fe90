"""A client certificate with its key: who we are to a receiver that asks (mutual TLS)."""

import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

LONGEST: Final = 32_000
"""Characters of a certificate with its chain, and of a key."""
RSA_BITS: Final = 2048


class IdentityError(ValueError):
    """Says what is wrong with a certificate or its key, and quotes neither. `field`: certificate or key."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class ClientIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Both as PEM; the certificate first, then what signed it."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "ClientIdentity()"

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(f"{self.certificate}\0{self.key}".encode()).digest()

    def show_in(self, context: ssl.SSLContext) -> None:
        """Python's ssl reads files only: this one is memory on Linux, elsewhere gone once it is read."""
        with _readable(f"{self.certificate}\n{self.key}") as path:
            context.load_cert_chain(path)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Of a certificate, what people may see."""

    subject: str
    ends: datetime


def examine(certificate: str, key: str, now: datetime) -> tuple[ClientIdentity, Shown]:
    """Raises IdentityError."""
    if len(certificate) > LONGEST or len(key) > LONGEST:
        raise IdentityError(f"At most {LONGEST:,} characters.", "certificate")
    try:
        chain = x509.load_pem_x509_certificates(certificate.encode())
    except ValueError as error:
        raise IdentityError(
            "Paste the certificate as PEM, with its BEGIN and END lines.", "certificate"
        ) from error
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError as error:
        raise IdentityError("The key is protected by a password. Paste it without one.", "key") from error
    except Exception as error:  # of several kinds, none of which may be shown
        raise IdentityError("Paste the private key as PEM, with its BEGIN and END lines.", "key") from error
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise IdentityError("The key is neither RSA nor of an elliptic curve that TLS knows.", "key")
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < RSA_BITS:
        raise IdentityError(f"An RSA key has at least {RSA_BITS:,} bits.", "key")
    leaf = chain[0]
    if _public(private.public_key()) != _public(leaf.public_key()):
        raise IdentityError("The key belongs to another certificate.", "key")
    ends = leaf.not_valid_after_utc
    if ends <= now:
        raise IdentityError(f"The certificate ended on {ends.astimezone(UTC):%Y-%m-%d}.", "certificate")
    plain = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in chain)
    shown = Shown(subject=leaf.subject.rfc4514_string()[:200], ends=ends)
    return ClientIdentity(certificate=pem, key=plain.decode()), shown


def _public(key: object) -> bytes:
    kinds = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    found: bytes = key.public_bytes(*kinds)  # type: ignore[attr-defined]
    return found


@contextmanager
def _readable(text: str) -> Iterator[str]:
    memory = getattr(os, "memfd_create", None)  # Linux alone has it
    if memory is not None:
        number = memory("identity")
        try:
            os.write(number, text.encode())
            yield f"/proc/self/fd/{number}"
        finally:
            os.close(number)
        return
    number, path = tempfile.mkstemp()  # readable by us alone
    try:
        os.write(number, text.encode())
        os.close(number)
        yield path
    finally:
        Path(path).unlink()
