"""What those who play a part of a simulator made of fixtures need of it."""

from typing import Any, Protocol

from trunkline.sdk.manifest import Manifest
from trunkline.sdk.simulator_store import LedgerEntry, Store
from trunkline.sdk.streams import StreamSpec


class Played(Protocol):
    """Of `simulator_fixtures.FixtureSimulator`."""

    manifest: Manifest
    store: Store

    def public_id(self, object_type: str, object_id: str) -> str: ...
    def own_id(self, object_type: str, public_id: str) -> str: ...
    def documents_of(self, stream: str, account: str) -> list[dict[str, Any]]: ...
    def example_of(self, stream: str) -> dict[str, Any]: ...
    def filled(self, path: str) -> str: ...
    def refused(self, status: int, message: str) -> Exception: ...
    def spec_of(self, name: str) -> StreamSpec | None: ...
    def told(self, entry: LedgerEntry) -> dict[str, Any]:
        """The record after the change, as it is read."""
