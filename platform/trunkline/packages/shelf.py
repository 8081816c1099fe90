"""Partners' connectors as every process reads them: manifests and contracts of events as data.

A version's content never changes, so both are parsed once a process; the archive is opened for the contract
alone, once the version is examined and sound. The counter is read before the rows: rows that are newer only
mean that they are read once more.
"""

import asyncio
from collections import defaultdict
from uuid import UUID

import structlog

from trunkline.kernel.db import OPERATOR, Database
from trunkline.packages import repository
from trunkline.packages.archive import read
from trunkline.packages.repository import Kept
from trunkline.sdk.contracts import FILE, Contract, ContractError, read_contract
from trunkline.sdk.manifest import Manifest, ManifestError, read_manifest
from trunkline.sdk.quality import Graded
from trunkline.sdk.registry import Partners

log = structlog.get_logger()


class PackageShelf:
    """For `Connectors.use`; opens its own sessions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def counter(self) -> int:
        async with self._db.system() as session:
            return await repository.counter(session)

    async def load(self, known: Partners) -> Partners:
        async with self._db.system() as session:
            counter = await repository.counter(session)
            kept = await repository.everything(session)
            approvals = await repository.approvals(session)
            archives = {
                (one.connector, one.version): await repository.archive(session, one.id)
                for one in kept
                if one.sound and (one.connector, one.version) not in known.contracts
            }
        contracts = {**known.contracts}
        for named, raw in archives.items():
            contracts[named] = None if raw is None else await asyncio.to_thread(_contract, raw)
        versions: dict[str, dict[str, Manifest]] = defaultdict(dict)
        grades: dict[tuple[str, str], Graded] = {}
        live: dict[UUID, tuple[str, str]] = {}
        for one in kept:
            place = one.connector, one.version
            manifest = known.versions.get(one.connector, {}).get(one.version) or manifest_of(one)
            if manifest is None:
                log.error("partner's connector cannot be read", connector=one.connector, version=one.version)
                continue
            versions[one.connector][one.version] = manifest
            if one.graded is not None:
                grades[place] = one.graded
            if one.withdrawn_at is None:
                live[one.id] = place
        tenants: dict[UUID, set[tuple[str, str]]] = defaultdict(set)
        for tenant_id, package_id in approvals:
            if package_id in live:
                tenants[tenant_id].add(live[package_id])
        everybody = frozenset(tenants.pop(OPERATOR, ()))
        return Partners(
            counter=counter,
            versions=versions,
            everybody=everybody,
            tenants={tenant: frozenset(places) for tenant, places in tenants.items()},
            grades=grades,
            contracts=contracts,
            pausing=frozenset(
                (one.connector, one.version) for one in kept if one.withdrawn_at is not None and one.pausing
            ),
        )


def manifest_of(kept: Kept) -> Manifest | None:
    """None: the rules have become stricter since it was taken in. Nobody can connect such a version."""
    try:
        return read_manifest(kept.manifest.encode(), f"{kept.connector} {kept.version}")
    except ManifestError:
        return None


def _contract(raw: bytes) -> Contract | None:
    """One that cannot be used any more stops no connector: then its events may look as they like."""
    text = read(raw).files.get(FILE)
    try:
        return None if text is None else read_contract(text.encode())
    except ContractError as error:
        log.warning("contract of a package not read", why=str(error))
        return None
