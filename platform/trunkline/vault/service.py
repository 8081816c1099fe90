"""The data keys of tenants: made, unwrapped, remembered for a while, counted, renewed in time.

**The nonce budget.** Nonces are random, so a key may seal at most 2^32 values (NIST SP 800-38D, 8.3). Each
process counts its seals and adds them to the database in batches, within whatever transaction asks for a box.
A process that dies loses what it had not added: a page of records in practice, 2^20 at the very most (then
its boxes refuse). At 2^31 the tenant gets a new version by itself; the other 2^31 are the margin for losses.
"""

import secrets
import time
from collections import OrderedDict
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from trunkline.vault import repository
from trunkline.vault.box import KEY_BYTES, MATERIAL_BYTES, NONCE_BYTES, Box, Keys
from trunkline.vault.errors import TenantShreddedError, WrappingKeyError
from trunkline.vault.providers.protocol import KeyContext, KeyProvider, Wrapped
from trunkline.vault.repository import Version

CACHE_SECONDS = 300
"""Longest use of an unwrapped data key before the key provider is asked again."""
CACHE_USES = 10_000
"""Most boxes made of it before the key provider is asked again."""
CACHE_KEYS = 10_000
COUNT_EVERY = 1024
"""Seals."""
SEALS_PER_VERSION = 2**31


class _Known:
    __slots__ = ("blob", "keys", "since", "uses")

    def __init__(self, blob: bytes, keys: Keys) -> None:
        self.blob = blob
        self.keys = keys
        self.since = time.monotonic()
        self.uses = 0


class Vault:
    """One per process."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider
        self._cache: OrderedDict[tuple[UUID, int], _Known] = OrderedDict()

    async def box(self, session: AsyncSession, tenant_id: UUID) -> Box:
        """The tenant's keys; makes the first one when there is none. `session` is the tenant's own.

        The rows are read each time, only the unwrapping is remembered: so a key whose transaction was rolled
        back is never used again, and another process's rotation counts at once. Raises WrappingKeyError,
        TenantShreddedError, KeyProviderError.
        """
        if self.provider.tenant_keys.destroyed(tenant_id):  # also for keys that are still remembered
            raise TenantShreddedError("This tenant was shredded: its keys were destroyed on purpose.")
        rows = await repository.versions(session, tenant_id)
        if not rows:
            await self._add(session, tenant_id, 1, secrets.token_bytes(MATERIAL_BYTES), make=True)
            rows = await repository.versions(session, tenant_id)
        keys = {row.number: await self._keys(tenant_id, row) for row in rows}
        newest = rows[-1].number
        counted = await self._count(session, tenant_id, newest, keys[newest])
        if max(rows[-1].seals, counted) >= SEALS_PER_VERSION:
            await self._renew(session, tenant_id, keys)
        return Box(tenant_id, keys)

    async def next_version(self, session: AsyncSession, tenant_id: UUID) -> int:
        """A new data key, which seals from now on; the older ones still open."""
        rows = await repository.versions(session, tenant_id)
        if not rows:
            return (await self.box(session, tenant_id)).version
        keys = {row.number: await self._keys(tenant_id, row) for row in rows}
        await self._renew(session, tenant_id, keys)
        return max(keys)

    async def rewrap(self, session: AsyncSession, tenant_id: UUID, current: str) -> int:
        """Wraps with the key `current` what another one wrapped; how many versions that were."""
        done = 0
        for row in await repository.versions(session, tenant_id):
            if not row.wrapped.blob or (row.wrapped.key_id, row.provider) == (current, self.provider.name):
                continue
            context = KeyContext(tenant_id, row.number)
            fresh = await self.provider.wrap(await self.provider.unwrap(row.wrapped, context), context)
            await repository.rewrap(session, tenant_id, row, fresh, provider=self.provider.name)
            done += 1
        return done

    # -- inside -----------------------------------------------------------------------------

    async def _renew(self, session: AsyncSession, tenant_id: UUID, keys: dict[int, Keys]) -> None:
        newest = max(keys)
        material = secrets.token_bytes(KEY_BYTES) + keys[newest].fingerprint
        await self._add(session, tenant_id, newest + 1, material)
        for row in await repository.versions(session, tenant_id):
            if row.number > newest:
                keys[row.number] = await self._keys(tenant_id, row)

    async def _add(
        self, session: AsyncSession, tenant_id: UUID, version: int, material: bytes, *, make: bool = False
    ) -> None:
        """Encrypted under the tenant's own key, that wrapped by the provider: it takes both to open."""
        context = KeyContext(tenant_id, version)
        nonce = secrets.token_bytes(NONCE_BYTES)
        own = AESGCM(self.provider.tenant_keys.get(tenant_id, make=make))
        wrapped = await self.provider.wrap(nonce + own.encrypt(nonce, material, context.encode()), context)
        await repository.add(session, tenant_id, version, wrapped, provider=self.provider.name)

    async def _keys(self, tenant_id: UUID, row: Version) -> Keys:
        if not row.wrapped.blob:
            raise TenantShreddedError("This tenant was shredded: its keys were destroyed on purpose.")
        place = tenant_id, row.number
        known = self._cache.get(place)
        if known is not None and known.blob == row.wrapped.blob:
            known.uses += 1
            if known.uses <= CACHE_USES and time.monotonic() - known.since < CACHE_SECONDS:
                return known.keys
        keys = Keys(await self._unwrapped(row.wrapped, KeyContext(tenant_id, row.number)))
        if known is not None:
            keys.tally = known.keys.tally
        self._cache[place] = _Known(row.wrapped.blob, keys)
        self._cache.move_to_end(place)
        while len(self._cache) > CACHE_KEYS:
            self._cache.popitem(last=False)
        return keys

    async def _unwrapped(self, wrapped: Wrapped, context: KeyContext) -> bytes:
        inner = await self.provider.unwrap(wrapped, context)
        own = AESGCM(self.provider.tenant_keys.get(context.tenant_id))
        try:
            return own.decrypt(inner[:NONCE_BYTES], inner[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise WrappingKeyError(
                "A tenant's data key does not open under the tenant's own key. Restore the folder of "
                "tenants' keys (TRUNKLINE_TENANT_KEYS) that belongs to this database."
            ) from error

    @staticmethod
    async def _count(session: AsyncSession, tenant_id: UUID, version: int, keys: Keys) -> int:
        """Adds what this process sealed, once there is enough of it; all seals so far as far as known."""
        tally = keys.tally
        number = tally.uncounted
        if number < COUNT_EVERY or tally.counting:
            return 0
        counted = await repository.count_seals(session, tenant_id, version, number)
        if counted is None:
            return 0
        tally.counting = True

        def committed(_: Session) -> None:
            if tally.counting:
                tally.uncounted -= number
                tally.counting = False

        def ended(_: Session, transaction: SessionTransaction) -> None:
            if transaction.parent is None:
                tally.counting = False

        event.listen(session.sync_session, "after_commit", committed, once=True)
        event.listen(session.sync_session, "after_transaction_end", ended)
        return counted
