"""Sealing under a tenant's data keys.

A sealed blob is `format (1) | nonce (12) | commitment (32) | ciphertext and tag`, AES-256-GCM. Its additional
data is `format | tenant (16) | key version (4) | place`, so that it opens in its tenant, row and field only.

AES-GCM alone does not commit to its key: a ciphertext can be made that opens under two of them (Albertini et
al., USENIX Security 2022). The commitment is BLAKE2b-256 of the nonce, keyed by a key that HKDF derives from
the same data key; it is compared in constant time before anything is decrypted.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trunkline.vault.errors import OpenError, SealBudgetError
from trunkline.vault.sealed import check_place, part, place

KEY_BYTES = 32
NONCE_BYTES = 12
"""GCM's own size (NIST SP 800-38D, 5.2.1.1)."""
COMMITMENT_BYTES = 32
FORMAT = b"\x02"
FINGERPRINT_BYTES = 16
MATERIAL_BYTES = 2 * KEY_BYTES
_HEAD = 1 + NONCE_BYTES
_BODY = _HEAD + COMMITMENT_BYTES

MOST_UNCOUNTED = 2**20
"""Seals of one process that the database need not know yet; see `Vault`."""


class Tally:
    """Seals of this process under one data key that are not in the database yet."""

    __slots__ = ("counting", "uncounted")

    def __init__(self) -> None:
        self.uncounted = 0
        self.counting = False


class Keys:
    """One version of a tenant's data key.

    `material`: 32 bytes that everything secret is derived from, and 32 that key the fingerprints. Each
    version has the former anew; the latter goes on to the next, or a rotation would make every record look
    changed.
    """

    __slots__ = ("_committing", "_printing", "cipher", "commitment", "fingerprint", "tally")

    def __init__(self, material: bytes) -> None:
        if len(material) != MATERIAL_BYTES:
            raise OpenError("A tenant's data key is not in a form that this version of Trunkline knows.")
        root, self.fingerprint = material[:KEY_BYTES], material[KEY_BYTES:]
        self.cipher = AESGCM(_derive(root, b"trunkline seal 2"))
        self.commitment = _derive(root, b"trunkline commit 2")
        self.tally = Tally()
        # keyed once: a copy of the state costs half of what keying it anew does
        self._committing = hashlib.blake2b(digest_size=COMMITMENT_BYTES, key=self.commitment)
        self._printing = hashlib.blake2b(digest_size=FINGERPRINT_BYTES, key=self.fingerprint)

    def committed(self, nonce: bytes) -> bytes:
        state = self._committing.copy()
        state.update(nonce)
        return state.digest()

    def printed(self, document: bytes) -> bytes:
        state = self._printing.copy()
        state.update(document)
        return state.digest()


def _derive(root: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(root)


class Box:
    """A tenant's keys, ready to use; keep it for one piece of work, not for ever.

    Ask for it after reading the rows to open, in their transaction: a rotation waits for that before it
    removes an old version.
    """

    __slots__ = ("_keys", "_prefixes", "_sealing", "_tally", "fingerprint", "tenant_id", "version")

    def __init__(self, tenant_id: UUID, keys: Mapping[int, Keys]) -> None:
        self.tenant_id = tenant_id
        self.version = max(keys)
        """The key version of new blobs: store it beside them."""
        self._keys = dict(keys)
        self._prefixes = {version: FORMAT + tenant_id.bytes + version.to_bytes(4, "big") for version in keys}
        newest = keys[self.version]
        self._sealing = newest.cipher.encrypt, newest.committed, self._prefixes[self.version]
        self._tally = newest.tally
        self.fingerprint = newest.printed
        """Of bytes: 16 that tell documents apart; the same under every version of the tenant's key."""

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """`context`: a `vault.sealed.place`, ValueError for anything else. Raises SealBudgetError."""
        check_place(context)
        return self._seal(plaintext, context.encode())

    def sealer(self, table: str, *row: object, field: str) -> Callable[[bytes, object], bytes]:
        """For rows that differ in the last part of their place: seals plaintext in the row of that part."""
        check_place(place(table, *row, "x", field=field))
        beginning, end = place(table, *row, "", field="").encode()[:-1], f"/{field}".encode()

        def seal(plaintext: bytes, last: object) -> bytes:
            return self._seal(plaintext, beginning + part(last).encode() + end)

        return seal

    def _seal(self, plaintext: bytes, context: bytes) -> bytes:
        if self._tally.uncounted >= MOST_UNCOUNTED:
            raise SealBudgetError("A million values were sealed in one go; ask the vault for a new box.")
        self._tally.uncounted += 1
        encrypt, commit, prefix = self._sealing
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((FORMAT, nonce, commit(nonce), encrypt(nonce, plaintext, prefix + context)))

    def open(self, blob: bytes, version: int, context: str) -> bytes:
        """Raises OpenError."""
        keys = self._keys.get(version)
        if keys is None:
            raise OpenError(f"A sealed value names key version {version}, which this tenant does not have.")
        if blob[:1] != FORMAT:
            raise OpenError("A sealed value is not in a form that this version of Trunkline knows.")
        nonce = blob[1:_HEAD]
        if not hmac.compare_digest(blob[_HEAD:_BODY], keys.committed(nonce)):
            raise OpenError("A sealed value does not open: another key sealed it, or it was altered.")
        try:
            return keys.cipher.decrypt(nonce, blob[_BODY:], self._prefixes[version] + context.encode())
        except (InvalidTag, ValueError) as error:
            raise OpenError(
                "A sealed value does not open: it was altered, or it comes from another row."
            ) from error
