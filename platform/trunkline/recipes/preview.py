"""Trying a recipe out on real records before it is saved."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec

from trunkline.kernel.errors import NotFoundError
from trunkline.recipes.definition import RecipeDefinition, SourceField
from trunkline.recipes.document import discover_fields
from trunkline.recipes.errors import DefinitionError
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.results import MapResult
from trunkline.recipes.target import TargetModel
from trunkline.sdk.manifest import Field, Manifest

PREVIEW_RECORDS = 5


class Source(Protocol):
    """Real records and fields of a connected account (`trunkline.runs.provider`)."""

    async def sample(
        self, tenant_id: UUID, connection_id: UUID, stream: str, limit: int, fields: Sequence[str]
    ) -> list[dict[str, Any]]: ...

    async def discover(self, tenant_id: UUID, connection_id: UUID, stream: str) -> list[Field]: ...


class Preview(msgspec.Struct, frozen=True):
    """One real record before and after."""

    document: dict[str, Any]
    result: MapResult


class RecipePreview:
    """Opens no database session itself; the source asks the provider through the connection."""

    def __init__(self, mapper: RecipeMapper, source: Source) -> None:
        self._mapper = mapper
        self._source = source

    async def check(
        self, definition: RecipeDefinition, fields: Sequence[SourceField], model: TargetModel
    ) -> list[DefinitionError]:
        """Everything that is wrong, each with the form field; compiles the expressions."""
        return await self._mapper.validate(definition, fields, model)

    async def fields(
        self, tenant_id: UUID, connection_id: UUID, manifest: Manifest, stream: str
    ) -> list[SourceField]:
        """What the picker shows: the manifest's fields first, then the account's own, with examples."""
        spec = manifest.stream(stream)
        if spec is None:
            raise NotFoundError(f'{manifest.label} has no stream "{stream[:80]}".', field="stream")
        documents = await self._source.sample(
            tenant_id, connection_id, stream, PREVIEW_RECORDS, spec.field_names
        )
        examples = {field.name: field.example for field in discover_fields(documents)}
        wanted = {field.name: field for field in spec.fields}
        for field in await self._source.discover(tenant_id, connection_id, stream):
            wanted.setdefault(field.name, field)
        return [
            SourceField("id", "Record id", "string", examples.get("id")),
            *(
                SourceField(field.name, field.label, field.type, examples.get(field.name))
                for field in wanted.values()
                if field.name != "id"
            ),
        ]

    async def preview(
        self,
        tenant_id: UUID,
        connection_id: UUID,
        definition: RecipeDefinition,
        model: TargetModel,
        *,
        limit: int = PREVIEW_RECORDS,
    ) -> list[Preview]:
        """Real records, fetched through the connection now, and what the definition makes of each."""
        documents = await self._source.sample(
            tenant_id, connection_id, definition.stream, limit, self._mapper.fields_used(definition)
        )
        results = await self._mapper.map(definition, model, documents)
        return [Preview(document, result) for document, result in zip(documents, results, strict=True)]
