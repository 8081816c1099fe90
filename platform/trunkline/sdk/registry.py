"""The connectors of this installation, by name; filled by the composition root."""

from collections.abc import Iterable

from trunkline.kernel.errors import NotFoundError
from trunkline.sdk.manifest import Manifest


class Connectors:
    """Read-only after construction."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self._manifests = {manifest.name: manifest for manifest in manifests}

    def get(self, name: str) -> Manifest:
        """Raises NotFoundError."""
        manifest = self._manifests.get(name)
        if manifest is None:
            raise NotFoundError(f'There is no connector named "{name}".', field="connector")
        return manifest

    def all(self) -> tuple[Manifest, ...]:
        return tuple(self._manifests.values())
