"""Every connector that comes with the product."""

from functools import cache
from pathlib import Path

from trunkline.sdk.manifest import Manifest, load_manifest


@cache
def manifests() -> tuple[Manifest, ...]:
    """Read once; raises ManifestError."""
    return tuple(load_manifest(path) for path in sorted(Path(__file__).parent.glob("*/manifest.toml")))
