"""The `trunkline` command. What only the composition root can name reaches it as a `Composition`."""

from trunkline.cli.commands import build
from trunkline.cli.composition import Composition, Doorway

__all__ = ["Composition", "Doorway", "build"]
