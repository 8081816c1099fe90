"""Wrapping keys given in the environment: TRUNKLINE_WRAPPING_KEYS="id:base64,id:base64", the first wraps."""

import re
from collections.abc import Sequence
from pathlib import Path

from trunkline.vault.box import KEY_BYTES
from trunkline.vault.errors import KeyProviderError, RotationError, WrappingKeyError
from trunkline.vault.files import decoded_key
from trunkline.vault.providers.protocol import KeyContext, Wrapped
from trunkline.vault.providers.ring import Ring
from trunkline.vault.tenant_keys import TenantKeyFolder

VARIABLE = "TRUNKLINE_WRAPPING_KEYS"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class EnvironmentKeys:
    """Raises KeyProviderError; no message repeats any of `written`, which may be a key in the wrong place."""

    name = "environment"

    def __init__(self, written: str, tenant_keys: Path) -> None:
        self.tenant_keys = TenantKeyFolder(tenant_keys)
        entries = [entry.strip() for entry in written.split(",") if entry.strip()]
        if not entries:
            raise KeyProviderError(
                f'{VARIABLE} is empty. Set it to "name:key", the key being {KEY_BYTES} random bytes in '
                "base64 (such as `openssl rand -base64 32` prints)."
            )
        keys: list[tuple[str, bytes]] = []
        for number, entry in enumerate(entries, 1):
            name, _, value = entry.partition(":")
            key = decoded_key(value, KEY_BYTES)
            if not _NAME.fullmatch(name) or key is None:
                raise KeyProviderError(
                    f'Entry {number} of {VARIABLE} cannot be used: it must read "name:key", a name of '
                    f"letters, digits, dots, hyphens and underscores, and {KEY_BYTES} bytes in base64."
                )
            if name in (known for known, _ in keys):
                raise KeyProviderError(f"Entry {number} of {VARIABLE} repeats a name: each needs its own.")
            keys.append((name, key))
        self._ring = Ring(keys)

    async def wrap(self, key: bytes, context: KeyContext) -> Wrapped:
        return self._ring.wrap(key, context)

    async def unwrap(self, wrapped: Wrapped, context: KeyContext) -> bytes:
        if wrapped.key_id not in self._ring.names:
            raise WrappingKeyError(
                f"A tenant's data key was wrapped by the wrapping key {wrapped.key_id}, and {VARIABLE} holds "
                f"{', '.join(self._ring.names)}. Add the missing key at its end."
            )
        return self._ring.unwrap(wrapped, context)

    async def current(self) -> str:
        return self._ring.names[0]

    async def held(self) -> Sequence[str]:
        return list(self._ring.names)

    async def rotate(self) -> str:
        raise RotationError(
            f"The wrapping keys are given in {VARIABLE}, so the new one comes from there: put a new "
            '"name:key" at its beginning, restart every process with it, then run this again to wrap '
            "every data key anew."
        )

    async def forget(self, keys: Sequence[str]) -> None:
        raise RotationError(f"Remove {', '.join(keys)} from {VARIABLE} and restart every process.")
