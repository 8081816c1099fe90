"""New wrapping keys and new data keys, online: nothing stops, no read fails, and a kill costs nothing.

What is left to do is read from the rows each time, so whoever runs it again goes on where it ended.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from sqlalchemy.exc import DBAPIError

from trunkline.audit.service import append
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.principal import SYSTEM
from trunkline.vault import repository
from trunkline.vault.errors import RotationError
from trunkline.vault.resealing import Sweep, remaining
from trunkline.vault.service import Vault
from trunkline.vault.settling import settled

GRACE_SECONDS = 10.0
"""After the last row: for who read a row in one transaction and asks for the key in the next."""
SAY_SECONDS = 2.0
MOST_SWEEPS = 300
_IN_USE = ("23503", "55P03", "40P01")
"""foreign_key_violation, lock_not_available, deadlock_detected: somebody still uses the old version."""

Say = Callable[[str], None]


class Tenant(msgspec.Struct, frozen=True):
    id: UUID
    slug: str


class Resealed(msgspec.Struct):
    tenants: int = 0
    secrets: int = 0
    """Rows sealed anew."""
    removed: int = 0
    """Old versions."""


class Rotation:
    """Edges only: it opens and commits its own sessions."""

    def __init__(self, db: Database, vault: Vault, say: Say, *, grace: float = GRACE_SECONDS) -> None:
        self._db = db
        self._vault = vault
        self._say = say
        self._grace = grace

    async def tenants(self) -> list[Tenant]:
        """Those that have data keys may be fewer. The installation itself comes first."""
        async with self._db.system() as system:
            found = await repository.tenants(system)
        return [Tenant(OPERATOR, "(the installation)"), *(Tenant(id_, slug) for id_, slug in found)]

    async def versions(self, tenant: Tenant) -> Sequence[repository.Version]:
        async with self._db.tenant(tenant.id) as session:
            return await repository.versions(session, tenant.id)

    async def current(self) -> str:
        provider = self._vault.provider
        return f"{provider.name} {await provider.current()}"

    # -- the wrapping key -------------------------------------------------------------------

    async def wrapping(self, tenants: Sequence[Tenant], *, forget: bool = False) -> int:
        """Wraps every data key with a new key, or goes on with one begun; how many keys it wrapped.

        `forget`: the provider destroys the old keys in the end; backups from before then need them no more
        to be opened, because they cannot be. Raises RotationError, KeyProviderError, WrappingKeyError.
        """
        provider = self._vault.provider
        current = await provider.current()
        if await self._stale(tenants, current):
            self._say(f"Going on with the wrapping key {current}.")
        else:
            current = await provider.rotate()
            self._say(f"The new wrapping key is {current}.")
        done, said = 0, time.monotonic()
        while True:
            for number, tenant in enumerate(tenants, 1):
                async with self._db.tenant(tenant.id) as session:
                    done += await self._vault.rewrap(session, tenant.id, current)
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    self._say(f"{number:,} of {len(tenants):,} tenants")
            if not await settled(self._db):
                raise RotationError(
                    "A transaction has been open for minutes, perhaps a dump. "
                    "Run this again when it has ended."
                )
            if not await self._stale(tenants, current):
                break
        await self._note("key.wrapping_rotated", {"wrapping_key": current, "data_keys": done})
        old = [key for key in await provider.held() if key != current]
        if old and forget:
            await provider.forget(old)
        elif old:
            self._say(
                f"Still held for backups from before: {', '.join(old)}. "
                "`trunkline keys rotate --wrapping --forget-old` destroys them at the next rotation."
            )
        return done

    async def _stale(self, tenants: Sequence[Tenant], current: str) -> int:
        place = current, self._vault.provider.name
        count = 0
        for tenant in tenants:
            async with self._db.tenant(tenant.id) as session:
                rows = await repository.versions(session, tenant.id)
            count += sum((row.wrapped.key_id, row.provider) != place for row in rows if row.wrapped.blob)
        return count

    # -- data keys --------------------------------------------------------------------------

    async def data_keys(self, tenants: Sequence[Tenant]) -> Resealed:
        """A new data key for each, everything sealed with it, old versions removed. Raises RotationError."""
        result, targets = Resealed(), dict[Tenant, int]()
        for tenant in tenants:
            target = await self._begin(tenant)
            if target:
                targets[tenant] = target
                result.secrets += await self._sweep(tenant, target)
        result.tenants = len(targets)
        await asyncio.sleep(self._grace if targets else 0)
        for tenant, target in targets.items():
            result.removed += await self._finish(tenant, target, result)
        return result

    async def _begin(self, tenant: Tenant) -> int:
        """The version to seal with; 0 for a tenant without secrets, or without keys for ever."""
        async with self._db.tenant(tenant.id) as session:
            rows = await repository.versions(session, tenant.id)
            if not rows or not rows[-1].wrapped.blob:
                return 0
            if len(rows) > 1:
                self._say(f"{tenant.slug}: going on to version {rows[-1].number}")
                return rows[-1].number
            target = await self._vault.next_version(session, tenant.id)
        self._say(f"{tenant.slug}: new data key, version {target}")
        return target

    async def _sweep(self, tenant: Tenant, target: int) -> int:
        done, said = 0, time.monotonic()
        async with self._db.tenant(tenant.id) as session:
            total = await remaining(session, tenant.id, target)
        for _ in range(MOST_SWEEPS):
            sweep = Sweep(self._db, self._vault, tenant.id, target)
            while await sweep.step():
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    self._say(f"{tenant.slug}: {done + sweep.done:,} of {total:,}")
            done += sweep.done
            async with self._db.tenant(tenant.id) as session:
                left = await remaining(session, tenant.id, target)
            if not left:
                self._say(f"{tenant.slug}: {done:,} sealed anew")
                return done
            await asyncio.sleep(0.2)
        raise RotationError(f"{tenant.slug}: others hold {left:,} rows all the time. Run this again later.")

    async def _finish(self, tenant: Tenant, target: int, result: Resealed) -> int:
        for _ in range(MOST_SWEEPS):
            if not await settled(self._db):
                raise RotationError(
                    f"{tenant.slug}: a transaction has been open for minutes, perhaps a dump, and may need "
                    "the old version. Everything is sealed anew; run this again to remove it."
                )
            try:
                async with self._db.tenant(tenant.id) as session:
                    removed = await repository.remove_before(session, tenant.id, target)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") not in _IN_USE:
                    raise
                result.secrets += await self._sweep(tenant, target)
            else:
                await self._note("key.data_rotated", {"version": target}, tenant)
                return removed
        raise RotationError(f"{tenant.slug}: the old version is in use all the time. Run this again later.")

    async def _note(self, action: str, detail: dict[str, object], tenant: Tenant | None = None) -> None:
        kind, target = ("tenant", str(tenant.id)) if tenant else ("installation", "wrapping_key")
        async with self._db.tenant(OPERATOR) as session:
            await append(session, SYSTEM, action, kind, target, detail, tenant_id=OPERATOR)
