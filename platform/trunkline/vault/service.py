"""Sealing under a tenant's data key.

A sealed blob is `format (1) | nonce (12) | ciphertext and tag`, AES-256-GCM. Its additional data is
`format | tenant (16) | key version (4) | context`, so that it opens in its tenant, row and field only.
"""

import hashlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.vault import repository
from trunkline.vault.errors import OpenError
from trunkline.vault.provider import KEY_BYTES, NONCE_BYTES, KeyProvider, Wrapped

FORMAT = b"\x01"
CACHE_SECONDS = 300
"""Longest use of an unwrapped data key before the key provider is asked again."""
CACHE_KEYS = 10_000
FINGERPRINT_BYTES = 16


class _Keys:
    """What is derived from one data key: one key to seal with, one for fingerprints."""

    __slots__ = ("cipher", "fingerprint")

    def __init__(self, data_key: bytes) -> None:
        self.cipher = AESGCM(_derive(data_key, b"trunkline seal 1"))
        self.fingerprint = _derive(data_key, b"trunkline fingerprint 1")


def _derive(data_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(data_key)


class Box:
    """A tenant's keys, ready to use; keep it for one piece of work, not for ever."""

    __slots__ = ("_ciphers", "_fingerprint", "_prefixes", "_sealing", "tenant_id", "version")

    def __init__(self, tenant_id: UUID, keys: Mapping[int, _Keys]) -> None:
        self.tenant_id = tenant_id
        self.version = max(keys)
        """The key version of new blobs: store it beside them."""
        self._ciphers = {version: key.cipher for version, key in keys.items()}
        self._prefixes = {
            version: FORMAT + tenant_id.bytes + version.to_bytes(4, "big") for version in self._ciphers
        }
        self._sealing = self._ciphers[self.version], self._prefixes[self.version]
        self._fingerprint = keys[min(keys)].fingerprint

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`context` names row and field, such as `credentials/{connection_id}/access_token`."""
        cipher, prefix = self._sealing
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + nonce + cipher.encrypt(nonce, plaintext, prefix + context.encode())

    def open(self, blob: bytes, version: int, context: str) -> bytes:
        """Raises OpenError."""
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise OpenError(f"A sealed value names key version {version}, which this tenant does not have.")
        if blob[:1] != FORMAT:
            raise OpenError("A sealed value is not in a form that this version of Trunkline knows.")
        nonce, sealed = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, self._prefixes[version] + context.encode())
        except (InvalidTag, ValueError) as error:
            raise OpenError(
                "A sealed value does not open: it was altered, or it comes from another row."
            ) from error

    def fingerprint(self, document: bytes) -> bytes:
        """16 bytes that tell documents apart; of the oldest key, so that it survives a rotation."""
        return hashlib.blake2b(document, digest_size=FINGERPRINT_BYTES, key=self._fingerprint).digest()


class Vault:
    """One per process."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._cache: OrderedDict[tuple[UUID, int, bytes], tuple[float, _Keys]] = OrderedDict()

    async def box(self, session: AsyncSession, tenant_id: UUID) -> Box:
        """The tenant's keys; makes the first one when there is none. `session` is the tenant's own.

        The rows are read each time, only the unwrapping is remembered: so a key whose transaction was rolled
        back is never used again, and another process's rotation counts at once. Raises WrappingKeyError.
        """
        rows = await repository.versions(session, tenant_id)
        if not rows:
            fresh = await self._provider.wrap(secrets.token_bytes(KEY_BYTES), _context(tenant_id, 1))
            await repository.add(session, tenant_id, 1, fresh, provider=self._provider.name)
            rows = await repository.versions(session, tenant_id)
        return Box(
            tenant_id, {version: await self._keys(tenant_id, version, wrapped) for version, wrapped in rows}
        )

    async def _keys(self, tenant_id: UUID, version: int, wrapped: Wrapped) -> _Keys:
        place = tenant_id, version, wrapped.blob
        known = self._cache.get(place)
        if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
            return known[1]
        keys = _Keys(await self._provider.unwrap(wrapped, _context(tenant_id, version)))
        self._cache.pop(place, None)
        self._cache[place] = time.monotonic(), keys
        while len(self._cache) > CACHE_KEYS:
            self._cache.popitem(last=False)
        return keys


def _context(tenant_id: UUID, version: int) -> bytes:
    return b"data_keys|" + tenant_id.bytes + version.to_bytes(4, "big")
