"""Real records for trying out a recipe: asked of the provider or, where nothing can be asked, those held."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from trunkline.kernel import strictjson
from trunkline.kernel.db import Database
from trunkline.recipes.document import discover_fields
from trunkline.runs import repository
from trunkline.runs.provider import ProviderClient
from trunkline.runs.service import document_context
from trunkline.sdk.manifest import Field
from trunkline.vault.service import Vault

LOOKED_AT = 50
"""Records by which the fields of a stream are known."""


class Samples:
    """For `RecipePreview`; opens its own sessions."""

    def __init__(self, db: Database, vault: Vault, provider: ProviderClient) -> None:
        self._db = db
        self._vault = vault
        self._provider = provider

    async def sample(
        self, tenant_id: UUID, connection_id: UUID, stream: str, limit: int, fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Raises ProviderError."""
        target = await self._provider.target(tenant_id, connection_id)
        if target.manifest.asks:
            return await self._provider.sample(tenant_id, connection_id, stream, limit, fields)
        return await self._newest(tenant_id, connection_id, stream, limit)

    async def discover(self, tenant_id: UUID, connection_id: UUID, stream: str) -> list[Field]:
        """Raises ProviderError."""
        target = await self._provider.target(tenant_id, connection_id)
        if target.manifest.asks:
            return await self._provider.discover(tenant_id, connection_id, stream)
        seen = discover_fields(await self._newest(tenant_id, connection_id, stream, LOOKED_AT))
        return [
            Field(name=one.name, label=one.label, type="number" if one.type == "integer" else one.type)  # type: ignore[arg-type]
            for one in seen
        ]

    async def _newest(
        self, tenant_id: UUID, connection_id: UUID, stream: str, limit: int
    ) -> list[dict[str, Any]]:
        async with self._db.tenant(tenant_id) as session:
            rows = await repository.newest_documents(session, tenant_id, connection_id, stream, limit)
            box = await self._vault.box(session, tenant_id)
        return [
            strictjson.decode(box.open(sealed, version, document_context(connection_id, stream, external_id)))
            for external_id, sealed, version in rows
        ]
