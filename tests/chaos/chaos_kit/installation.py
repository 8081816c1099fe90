"""The `trunkline` command as the rig runs it: pages of 20 records, traps to be killed in by the name of the process,
and with CHAOS_PLANT a bug that is not ours.

`python installation.py worker`
"""

import os
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trunkline import main
from trunkline.sdk.manifest import Manifest, Read
from trunkline.sdk.registry import Connectors
from trunkline_connectors.catalogue import manifests

PAGE = 20
"""Small, so that a run has many pages to be struck between."""


def _short(read: Read | None) -> Read | None:
    return None if read is None else msgspec.structs.replace(read, page_size=PAGE)


def short_pages(manifest: Manifest) -> Manifest:
    streams = tuple(
        msgspec.structs.replace(
            stream,
            list=_short(stream.list),
            incremental=_short(stream.incremental),
            deletions=tuple(msgspec.structs.replace(one, page_size=PAGE) for one in stream.deletions),
        )
        for stream in manifest.streams
    )
    return msgspec.structs.replace(manifest, streams=streams)


def connectors() -> Connectors:
    hubspot = next(manifest for manifest in manifests() if manifest.name == "hubspot")
    return Connectors([short_pages(hubspot)])


if __name__ == "__main__":
    if name := os.environ.get("CHAOS_NAME"):
        from chaos_kit.traps import stand_at_all

        stand_at_all(Path(os.environ["TRUNKLINE_DATA"]), name)
    if bug := os.environ.get("CHAOS_PLANT"):
        from chaos_kit.plants import PLANTS

        PLANTS[bug]()
    main.connectors = connectors
    main.cli()
