"""What a key provider is: whoever holds the wrapping keys, outside the database."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from trunkline.vault.tenant_keys import TenantKeys


class Wrapped(msgspec.Struct, frozen=True):
    key_id: str
    """The provider's own name of the wrapping key; not a secret."""
    blob: bytes


class KeyContext(msgspec.Struct, frozen=True):
    """What a wrapped data key is bound to."""

    tenant_id: UUID
    version: int

    def encode(self) -> bytes:
        return b"data_keys|" + self.tenant_id.bytes + self.version.to_bytes(4, "big")

    def pairs(self) -> dict[str, str]:
        """For a KMS, whose own log shows them."""
        return {
            "trunkline:purpose": "data_keys",
            "trunkline:tenant": str(self.tenant_id),
            "trunkline:version": str(self.version),
        }


class KeyProvider(Protocol):
    """Wraps data keys with its first key and unwraps with any that it holds.

    `unwrap` raises WrappingKeyError when the key is not held, or the blob was altered or belongs elsewhere.
    Every method raises KeyProviderError where the provider cannot be used.
    """

    @property
    def name(self) -> str: ...

    @property
    def tenant_keys(self) -> TenantKeys: ...

    async def wrap(self, key: bytes, context: KeyContext) -> Wrapped: ...

    async def unwrap(self, wrapped: Wrapped, context: KeyContext) -> bytes: ...

    async def current(self) -> str:
        """The name of the key that wraps."""
        ...

    async def held(self) -> Sequence[str]:
        """The names of all keys that it can unwrap with, as far as it knows; the current one first."""
        ...

    async def rotate(self) -> str:
        """Makes a new current key and keeps the old ones. RotationError, saying how, if others must do it."""
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """Destroys old keys. RotationError, saying how, if others must do it."""
        ...
