"""Wrapping by AES-256-GCM with keys that this process holds: the first wraps, all unwrap."""

import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trunkline.vault.box import NONCE_BYTES
from trunkline.vault.errors import WrappingKeyError
from trunkline.vault.providers.protocol import KeyContext, Wrapped


def name_of(key: bytes) -> str:
    """64 bits of a one-way name: enough to tell keys apart, nothing to recover one from."""
    return hashlib.blake2b(key, digest_size=8, person=b"trunkline.wrap").hexdigest()


class Ring:
    """`keys`: (name, key), the wrapping one first."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        self.names = [name for name, _ in keys]
        self._ciphers = {name: AESGCM(key) for name, key in keys}

    def wrap(self, key: bytes, context: KeyContext) -> Wrapped:
        nonce = secrets.token_bytes(NONCE_BYTES)
        name = self.names[0]
        return Wrapped(name, nonce + self._ciphers[name].encrypt(nonce, key, context.encode()))

    def unwrap(self, wrapped: Wrapped, context: KeyContext) -> bytes:
        """KeyError if the key is not in the ring; WrappingKeyError."""
        nonce, sealed = wrapped.blob[:NONCE_BYTES], wrapped.blob[NONCE_BYTES:]
        try:
            return self._ciphers[wrapped.key_id].decrypt(nonce, sealed, context.encode())
        except (InvalidTag, ValueError) as error:
            raise WrappingKeyError(
                "A tenant's data key in the database was altered or belongs to another tenant. "
                "Restore the data_keys table from a backup."
            ) from error
