"""Partners' connectors as every process reads them: manifests as data, never an archive.

A version's content never changes, so its manifest is parsed once a process. The counter is read before the
rows: rows that are newer than it only mean that they are read once more.
"""

from collections import defaultdict
from uuid import UUID

import structlog

from trunkline.kernel.db import OPERATOR, Database
from trunkline.packages import repository
from trunkline.packages.repository import Kept
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
