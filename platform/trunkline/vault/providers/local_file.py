"""Wrapping keys in a file of their owner's only: one a line in base64, the first wraps, the others unwrap."""

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path

from trunkline.vault.box import KEY_BYTES
from trunkline.vault.errors import KeyFileError, WrappingKeyError
from trunkline.vault.files import decoded_key, locked, read_private, write_private
from trunkline.vault.providers.protocol import KeyContext, Wrapped
from trunkline.vault.providers.ring import Ring, name_of
from trunkline.vault.tenant_keys import TenantKeyFolder

WHAT = "The key file"


class LocalKeyFile:
    """Made when missing; raises KeyFileError.

    Two processes that start at once end with the same file: a finished file is linked into place. A rotation
    by another process is noticed at the next wrap, and when a key is met that was not there before.
    """

    name = "local-file"

    def __init__(self, path: Path, tenant_keys: Path | None = None) -> None:
        self._path = path
        self.tenant_keys = TenantKeyFolder(tenant_keys or path.with_name(f"{path.name}.tenants"))
        if self._read() is None:
            write_private(path, _written([secrets.token_bytes(KEY_BYTES)]), WHAT)
        self._load()

    @property
    def key_id(self) -> str:
        return self._ring.names[0]

    async def wrap(self, key: bytes, context: KeyContext) -> Wrapped:
        self._load()
        return self._ring.wrap(key, context)

    async def unwrap(self, wrapped: Wrapped, context: KeyContext) -> bytes:
        if wrapped.key_id not in self._ring.names:
            self._load()
        if wrapped.key_id not in self._ring.names:
            raise WrappingKeyError(
                f"A tenant's data key was wrapped by the wrapping key {wrapped.key_id}, and the key file "
                f"holds {', '.join(self._ring.names)}. Put back the key file that belongs to this database "
                "(TRUNKLINE_KEY_FILE)."
            )
        return self._ring.unwrap(wrapped, context)

    async def current(self) -> str:
        self._load()
        return self.key_id

    async def held(self) -> Sequence[str]:
        self._load()
        return list(self._ring.names)

    async def rotate(self) -> str:
        with locked(self._path):
            self._replace([secrets.token_bytes(KEY_BYTES), *self._load()])
        return self.key_id

    async def forget(self, keys: Sequence[str]) -> None:
        with locked(self._path):
            held = self._load()
            self._replace([held[0], *(key for key in held[1:] if name_of(key) not in keys)])

    def _replace(self, keys: Sequence[bytes]) -> None:
        write_private(self._path, _written(keys), WHAT, replace=True)
        self._load()

    def _load(self) -> list[bytes]:
        keys = self._read()
        if keys is None:
            raise KeyFileError(
                f"{WHAT} {self._path} was removed. Restore it from a backup; without it nothing that was "
                "sealed can be opened."
            )
        self._ring = Ring([(name_of(key), key) for key in keys])
        return keys

    def _read(self) -> list[bytes] | None:
        content = read_private(self._path, WHAT)
        if content is None:
            return None
        keys = [decoded_key(line, KEY_BYTES) for line in content.split()]
        found = [key for key in keys if key is not None]
        if not keys or len(found) != len(keys):
            raise KeyFileError(
                f"{WHAT} {self._path} does not hold a key: each line must be {KEY_BYTES} bytes in base64. "
                "Restore it from a backup; without it nothing that was sealed can be opened."
            )
        return found


def _written(keys: Sequence[bytes]) -> bytes:
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)
