"""What staff do with partners' connectors. Every step has a reason, is audited, and moves the counter.

Approvals for one tenant are audited in the tenant's own log, everything else in the installation's.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.packages import repository
from trunkline.packages.archive import Archive, ArchiveError, read
from trunkline.packages.claims import Claimed, check_claims, check_holder
from trunkline.packages.repository import Kept
from trunkline.packages.shelf import manifest_of
from trunkline.sdk.manifest import Manifest, ManifestError, read_manifest
from trunkline.sdk.own import own_manifest
from trunkline.sdk.registry import Connectors, version_key
from trunkline.work.queue import WorkQueue

EXAMINE = "examine_connector"
SETTLE = "settle_connectors"
LONGEST_PARTNER = 80
"""Characters of a partner's name."""


class PackageService:
    """One per process; opens its own sessions."""

    def __init__(self, db: Database, connectors: Connectors, work: WorkQueue) -> None:
        self._db = db
        self._connectors = connectors
        self._work = work

    # -- reading ----------------------------------------------------------------------------

    async def everything(self) -> list[Kept]:
        async with self._db.system() as session:
            return await repository.everything(session)

    async def get(self, package_id: UUID) -> Kept:
        """Raises NotFoundError."""
        async with self._db.system() as session:
            return await _one(session, package_id)

    async def archive(self, package_id: UUID) -> bytes:
        """As it was uploaded, for whoever reviews it. Raises NotFoundError."""
        async with self._db.system() as session:
            found = await repository.archive(session, package_id)
        if found is None:
            raise NotFoundError
        return found

    async def approvals(self) -> dict[UUID, list[UUID]]:
        """Package -> tenants that may connect it; OPERATOR: all."""
        found: dict[UUID, list[UUID]] = {}
        async with self._db.system() as session:
            for tenant_id, package_id in await repository.approvals(session):
                found.setdefault(package_id, []).append(tenant_id)
        return found

    # -- steps ------------------------------------------------------------------------------

    async def take_in(self, by: Principal, raw: bytes, partner: str, reason: str) -> Kept:
        """Stored and examined, open to nobody. Raises BadInputError and ConflictError naming the field."""
        partner = " ".join(partner.split())
        if not 1 <= len(partner) <= LONGEST_PARTNER or not partner.isprintable():
            raise BadInputError(
                f"Say whose connector it is, in 1 to {LONGEST_PARTNER} characters.", field="partner"
            )
        found, manifest = await asyncio.to_thread(_opened, raw)
        identity = new_id()
        async with self._db.system() as session:
            await repository.hold(session)
            kept = await repository.everything(session)
            own = [Claimed(one, None) for one in (*self._connectors.own(), own_manifest(None))]
            check_holder(manifest.name, partner, [(one.connector, one.partner) for one in kept])
            theirs = [Claimed(held, one.partner) for one in kept if (held := manifest_of(one)) is not None]
            check_claims(manifest, partner, own + theirs)
            made = await repository.add(
                session,
                {
                    "id": identity,
                    "connector": manifest.name,
                    "version": manifest.version,
                    "partner": partner,
                    "digest": found.digest,
                    "archive": raw,
                    "manifest": found.files["manifest.toml"],
                    "uploaded_by": by.label,
                },
            )
            if not made:
                raise ConflictError(
                    f"{manifest.label} {manifest.version} is here already, and a version never changes. "
                    "Give the package the next number.",
                    field="archive",
                )
            await repository.count(session)
            result = await _one(session, identity)
            await self._log(session, by, "taken_in", result, reason, OPERATOR, digest=found.digest)
            await self._work.enqueue(session, tenant_id=OPERATOR, kind=EXAMINE, key=str(identity))
        await self._ended()
        return result

    async def approve(
        self, by: Principal, package_id: UUID, tenants: Sequence[UUID] | None, reason: str
    ) -> int:
        """For those tenants, or for all (None); for how many anew. NotFoundError, ConflictError."""
        changed = 0
        for tenant_id in [OPERATOR] if tenants is None else tenants:
            async with self._db.system() as session:
                await repository.hold(session)
                found = await _one(session, package_id)
                if not found.examined:
                    raise ConflictError("It is still being examined. Wait a moment.")
                if not found.sound:
                    raise ConflictError("Its manifest has findings. Ask the partner for a version without.")
                if found.withdrawn_at is not None:
                    raise ConflictError("It is withdrawn. Undo that first.")
                if await repository.approve(session, tenant_id, package_id, by.label):
                    changed += 1
                    await repository.count(session)
                    await self._log(
                        session, by, "approved", found, reason, tenant_id, everybody=tenants is None
                    )
                    await self._settle(session, tenant_id)
        await self._ended()
        return changed

    async def disapprove(self, by: Principal, package_id: UUID, tenant_id: UUID, reason: str) -> None:
        """No new connections of that tenant's (OPERATOR: of those not named themselves). NotFoundError."""
        async with self._db.system() as session:
            await repository.hold(session)
            found = await _one(session, package_id)
            if not await repository.disapprove(session, tenant_id, package_id):
                raise NotFoundError
            await repository.count(session)
            await self._log(session, by, "disapproved", found, reason, tenant_id)
        await self._ended()

    async def withdraw(self, by: Principal, package_id: UUID, reason: str, *, pausing: bool) -> None:
        """No new connections of anybody's; those that are keep on, or are paused. ConflictError."""
        async with self._db.system() as session:
            await repository.hold(session)
            found = await _one(session, package_id)
            if not await repository.withdraw(session, package_id, reason, pausing=pausing):
                raise ConflictError("It is withdrawn already.")
            await repository.count(session)
            await self._log(session, by, "withdrawn", found, reason, OPERATOR, pausing=pausing)
            await self._settle(session, OPERATOR)
        await self._ended()

    async def undo(self, by: Principal, package_id: UUID, reason: str) -> None:
        """As before the withdrawal; what it paused goes on. ConflictError."""
        async with self._db.system() as session:
            await repository.hold(session)
            found = await _one(session, package_id)
            if not await repository.undo(session, package_id):
                raise ConflictError("It is not withdrawn.")
            await repository.count(session)
            await self._log(session, by, "restored", found, reason, OPERATOR)
            await self._settle(session, OPERATOR)
        await self._ended()

    # -- inside -----------------------------------------------------------------------------

    async def _log(
        self,
        session: AsyncSession,
        by: Principal,
        action: str,
        found: Kept,
        reason: str,
        tenant_id: UUID,
        **detail: object,
    ) -> None:
        """The rest of the transaction is that tenant's."""
        await self._db.hand_over(session, tenant_id)
        await append(
            session,
            by,
            f"connector.{action}",
            "connector",
            found.id,
            {"connector": found.connector, "version": found.version, "partner": found.partner, **detail},
            reason,
            tenant_id=tenant_id,
        )

    async def _settle(self, session: AsyncSession, tenant_id: UUID) -> None:
        await self._work.enqueue(session, tenant_id=tenant_id, kind=SETTLE, key="all")

    async def _ended(self) -> None:
        await self._connectors.refresh()
        await self._work.wake()


async def _one(session: AsyncSession, package_id: UUID) -> Kept:
    found = await repository.one(session, package_id)
    if found is None:
        raise NotFoundError
    return found


def _opened(raw: bytes) -> tuple[Archive, Manifest]:
    found = read(raw)
    try:
        manifest = read_manifest(found.manifest, "manifest.toml")
        version_key(manifest.version)
    except (ManifestError, ValueError) as error:
        raise ArchiveError(str(error)) from error
    return found, manifest
