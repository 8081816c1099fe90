"""Key providers: who holds the wrapping key, outside the database."""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trunkline.vault.errors import KeyFileError, WrappingKeyError

KEY_BYTES = 32
NONCE_BYTES = 12
"""GCM's own size (NIST SP 800-38D, 5.2.1.1)."""


class Wrapped(msgspec.Struct, frozen=True):
    key_id: str
    """The provider's own name of the wrapping key; not a secret."""
    blob: bytes


class KeyProvider(Protocol):
    """Wraps data keys. `context` is bound to the blob: unwrapping under another one fails.

    `unwrap` raises WrappingKeyError when the key is not held or the blob was altered.
    """

    @property
    def name(self) -> str: ...

    async def wrap(self, key: bytes, context: bytes) -> Wrapped: ...

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes: ...


class LocalKeyFile:
    """One 256-bit key in a file of its owner's only (0600), made when missing; raises KeyFileError.

    Two processes that start at once end with the same file: a finished file is linked into place.
    """

    name = "local-file"

    def __init__(self, path: Path) -> None:
        key = self._read(path) or self._create(path)
        # 64 bits of a one-way name: enough to tell keys apart, nothing to recover one from
        self.key_id = hashlib.blake2b(key, digest_size=8, person=b"trunkline.wrap").hexdigest()
        self._cipher = AESGCM(key)

    async def wrap(self, key: bytes, context: bytes) -> Wrapped:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Wrapped(self.key_id, nonce + self._cipher.encrypt(nonce, key, context))

    async def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        if wrapped.key_id != self.key_id:
            raise WrappingKeyError(
                f"A tenant's data key was wrapped by the wrapping key {wrapped.key_id}, and the key file "
                f"holds {self.key_id}. Put back the key file that belongs to this database "
                "(TRUNKLINE_KEY_FILE)."
            )
        nonce, sealed = wrapped.blob[:NONCE_BYTES], wrapped.blob[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError) as error:
            raise WrappingKeyError(
                "A tenant's data key in the database was altered or belongs to another tenant. "
                "Restore the data_keys table from a backup."
            ) from error

    @staticmethod
    def _read(path: Path) -> bytes | None:
        """None if there is no file."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}.") from error
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"The key file {path} is not a regular file.")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(
                    f"The key file {path} can be read by others (mode {stat.S_IMODE(mode):04o}). "
                    f"Make it private first: chmod 600 {path}"
                )
            content = file.read(1024)
        try:
            key = base64.b64decode(content.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyFileError(
                f"The key file {path} does not hold a key: it must be {KEY_BYTES} bytes in base64. "
                "Restore it from a backup; without it nothing that was sealed can be opened."
            )
        return key

    @classmethod
    def _create(cls, path: Path) -> bytes:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):  # another process was first; its key counts
                    os.link(draft, path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise KeyFileError(f"The key file {path} cannot be made: {error.strerror}.") from error
        key = cls._read(path)
        if key is None:
            raise KeyFileError(f"The key file {path} was removed while it was being made.")
        return key
