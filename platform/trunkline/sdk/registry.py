"""The connectors of this installation: those that come with it, and what staff approved of partners'.

Names: "hubspot" is one of ours. "acme@1.2.0" is a version of a partner's, as a connection speaks it; "acme"
alone stands for the newest that anybody may connect (where nobody may, for the newest), for words on a page:
what staff have not approved says nothing to customers. Ours answer to "hubspot@1.0.0" too, whatever the
version. "custom@..." is a customer's own system, whose manifest is made of its name (`trunkline.sdk.own`); it
is not among what is offered, for nobody signs in at it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol
from uuid import UUID

import msgspec

from trunkline.kernel.errors import NotFoundError
from trunkline.sdk.contracts import Contract
from trunkline.sdk.hooks import LargeList
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.own import CUSTOM, own_manifest
from trunkline.sdk.quality import Graded

_VERSION: Final = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def version_key(version: str) -> tuple[int, int, int]:
    """For comparing; ValueError for what is no version of three numbers."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"{version[:40]!r} is no version of three numbers")
    return int(found[1]), int(found[2]), int(found[3])


def spoken(name: str, version: str | None) -> str:
    """`version` None: one of ours."""
    return name if version is None else f"{name}@{version}"


class Partners(msgspec.Struct, frozen=True):
    """Every version that was taken in, as one counter of the database found them."""

    counter: int = 0
    versions: Mapping[str, Mapping[str, Manifest]] = {}
    """Connector -> version -> manifest; withdrawn ones too, for connections that keep theirs."""
    everybody: frozenset[tuple[str, str]] = frozenset()
    """(connector, version) that any tenant may connect."""
    tenants: Mapping[UUID, frozenset[tuple[str, str]]] = {}
    """The same for single tenants."""
    grades: Mapping[tuple[str, str], Graded] = {}
    contracts: Mapping[tuple[str, str], Contract | None] = {}
    """Of their events, by connector and version; None: it was looked for, and there is none."""
    pausing: frozenset[tuple[str, str]] = frozenset()
    """Withdrawn, with their connections paused."""

    def leading(self) -> dict[str, Manifest]:
        """What each name alone stands for."""
        approved = self.everybody.union(*self.tenants.values())
        found = {}
        for name, versions in self.versions.items():
            among = [version for version in versions if (name, version) in approved] or list(versions)
            found[name] = versions[max(among, key=version_key)]
        return found

    def of(self, tenant_id: UUID) -> dict[str, Manifest]:
        """The newest version of each that the tenant may connect."""
        found: dict[str, Manifest] = {}
        for name, version in self.everybody | self.tenants.get(tenant_id, frozenset()):
            manifest = self.versions[name][version]
            if name not in found or version_key(found[name].version) < version_key(version):
                found[name] = manifest
        return found


class Shelf(Protocol):
    """Where partners' connectors are kept: `trunkline.packages.shelf`."""

    async def counter(self) -> int: ...
    async def load(self, known: Partners) -> Partners: ...


class Connectors:
    """One per process. `refresh` costs a read of one row where nothing changed."""

    def __init__(
        self,
        manifests: Iterable[Manifest],
        grades: Iterable[Graded] = (),
        contracts: Mapping[str, Contract] | None = None,
        hooks: Mapping[str, Mapping[str, LargeList]] | None = None,
    ) -> None:
        """`contracts`: of events, by connector. `hooks`: by connector and name."""
        self._manifests = {manifest.name: manifest for manifest in manifests}
        self._contracts = contracts or {}
        self._hooks = hooks or {}
        self._grades = {graded.connector: graded for graded in grades}
        self._partners = Partners()
        self._leading: Mapping[str, Manifest] = {}
        self._shelf: Shelf | None = None

    def use(self, shelf: Shelf) -> None:
        """Partners' connectors too, from the next `refresh` on."""
        self._shelf = shelf

    async def refresh(self) -> None:
        """What is offered is right as of now. Opens its own session."""
        if self._shelf is not None and await self._shelf.counter() != self._partners.counter:
            self._partners = await self._shelf.load(self._partners)
            self._leading = self._partners.leading()

    async def find(self, name: str) -> Manifest:
        """As `get`, also of a version that was taken in a moment ago. Opens its own session on a miss."""
        try:
            return self.get(name)
        except NotFoundError:
            await self.refresh()
            return self.get(name)

    def get(self, name: str) -> Manifest:
        """Of whichever version, approved or not. Raises NotFoundError."""
        bare, _, version = name.partition("@")
        if bare == CUSTOM:
            try:
                return own_manifest(version or None)
            except ValueError as error:  # of a process that knew more
                raise NotFoundError("This own system is read in a way that is not known here.") from error
        manifest = self._manifests.get(bare)
        if manifest is not None:
            return manifest
        manifest = self._partners.versions.get(bare, {}).get(version) if version else self._leading.get(bare)
        if manifest is not None:
            return manifest
        raise NotFoundError("There is no connector of that name.", field="connector")

    def contract(self, name: str) -> Contract | None:
        """Of the events of a connector that `get` finds by this name; None: they may be as they like."""
        bare, _, version = name.partition("@")
        if bare in self._manifests:
            return self._contracts.get(bare)
        return self._partners.contracts.get((bare, version))

    async def find_contract(self, name: str) -> Contract | None:
        """As `contract`, also of a version that was found sound a moment ago; opens its own session then."""
        bare, _, version = name.partition("@")
        if bare == CUSTOM:
            return None
        if bare not in self._manifests and (bare, version) not in self._partners.contracts:
            await self.refresh()
        return self.contract(name)

    def hook(self, manifest: Manifest, name: str) -> LargeList | None:
        """Of a connector that comes with the product; a partner's has none, whatever its manifest says."""
        if self._manifests.get(manifest.name) is not manifest:
            return None
        return self._hooks.get(manifest.name, {}).get(name)

    def own(self) -> tuple[Manifest, ...]:
        """Those that come with the product."""
        return tuple(self._manifests.values())

    def partners(self) -> tuple[Manifest, ...]:
        """Every version of every partner's, as of the last `refresh`."""
        return tuple(one for versions in self._partners.versions.values() for one in versions.values())

    def all(self) -> tuple[Manifest, ...]:
        """Ours and one of each partner's, for staff and for words: not everybody may connect them."""
        return (*self._manifests.values(), *self._leading.values())

    def offered(self, tenant_id: UUID) -> tuple[Manifest, ...]:
        """What the tenant may connect, as of the last `refresh`."""
        return (*self._manifests.values(), *self._partners.of(tenant_id).values())

    def offer(self, tenant_id: UUID, name: str) -> Manifest:
        """One of those. NotFoundError also for what others may connect."""
        manifest = self._manifests.get(name) or self._partners.of(tenant_id).get(name)
        if manifest is None:
            raise NotFoundError("There is no connector of that name.", field="connector")
        return manifest

    def approved(self, tenant_id: UUID, name: str) -> list[Manifest]:
        """Every version of a partner's connector that the tenant may connect."""
        partners = self._partners
        places = partners.everybody | partners.tenants.get(tenant_id, frozenset())
        return [partners.versions[name][version] for one, version in places if one == name]

    def version_of(self, manifest: Manifest) -> str | None:
        """What a new connection keeps of it: the version of a partner's connector, nothing of ours."""
        return None if manifest.name in self._manifests else manifest.version

    def paused(self, name: str, version: str | None) -> bool:
        """Whether a withdrawal pauses connections of that version."""
        return (name, version) in self._partners.pausing

    def is_partners(self, name: str) -> bool:
        bare = name.partition("@")[0]
        return bare not in self._manifests and bare != CUSTOM

    def grade(self, name: str, version: str | None = None) -> Graded | None:
        """Of the version that is here; None where that was not graded."""
        manifest = self.get(spoken(name, version))
        if self.is_partners(name):
            return self._partners.grades.get((manifest.name, manifest.version))
        found = self._grades.get(name)
        return found if found is not None and found.version == manifest.version else None
