"""The key that signs the heads of audit logs: Ed25519, in a file of its own that no database backup holds."""

import base64
import hashlib
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from trunkline.vault.errors import KeyFileError
from trunkline.vault.files import decoded_key, read_private, write_private

WHAT = "The audit log's signing key"
SEED_BYTES = 32


class PublicKey:
    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.name = hashlib.sha256(raw).hexdigest()[:16]
        """Stands beside each signature, to find the key again."""

    @classmethod
    def read(cls, path: Path) -> "PublicKey":
        """KeyFileError for what is no Ed25519 public key in PEM."""
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path} is not a public key in PEM that can be read.") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path} holds a public key of another kind than Ed25519.")
        return cls(key)

    @property
    def pem(self) -> str:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def fits(self, signature: bytes, message: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """Made with its file when that is missing; two processes that start at once end with the same key."""

    def __init__(self, path: Path) -> None:
        content = read_private(path, WHAT)
        if content is None:
            seed = base64.b64encode(secrets.token_bytes(SEED_BYTES)) + b"\n"
            write_private(path, seed, WHAT)
            content = read_private(path, WHAT) or b""
        key = decoded_key(content.strip(), SEED_BYTES)
        if key is None:
            raise KeyFileError(
                f"{WHAT} {path} does not hold a key: {SEED_BYTES} bytes in base64. Restore it from a backup."
            )
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.public = PublicKey(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)
