"""Trying a recipe out on real records before it is saved."""

import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
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
KEPT_SECONDS = 45.0
"""A form previews at every change; the provider is asked at most once in this time for the same."""
KEPT = 200  # streams of connections; each holds PREVIEW_RECORDS documents
EXAMPLES = 80  # of an account's own fields: more names make an address that providers refuse


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


class _Kept(msgspec.Struct):
    """What one stream of one connection answered lately; the key has the tenant in it."""

    sampled_at: float = float("-inf")
    asked: frozenset[str] = frozenset()
    limit: int = 0
    documents: list[dict[str, Any]] = []
    discovered_at: float = float("-inf")
    fields: list[Field] = []


class RecipePreview:
    """Opens no database session itself; the source asks the provider through the connection.

    Answers serve for KEPT_SECONDS, in memory only, and are dropped at the next use after that.
    """

    def __init__(self, mapper: RecipeMapper, source: Source) -> None:
        self._mapper = mapper
        self._source = source
        self._kept: OrderedDict[tuple[UUID, UUID, str], _Kept] = OrderedDict()

    async def check(
        self, definition: RecipeDefinition, fields: Sequence[SourceField], model: TargetModel
    ) -> list[DefinitionError]:
        """Everything that is wrong, each with the form field; compiles the expressions."""
        return await self._mapper.validate(definition, fields, model)

    def forget(self, tenant_id: UUID, connection_id: UUID, stream: str) -> None:
        """The next preview asks the provider again."""
        self._kept.pop((tenant_id, connection_id, stream), None)

    async def fields(
        self, tenant_id: UUID, connection_id: UUID, manifest: Manifest, stream: str
    ) -> list[SourceField]:
        """What the picker shows: the manifest's fields first, then the account's own, with examples."""
        spec = manifest.stream(stream)
        if spec is None:
            raise NotFoundError(f'{manifest.label} has no stream "{stream[:80]}".', field="stream")
        kept = self._entry(tenant_id, connection_id, stream)
        if time.monotonic() - kept.discovered_at > KEPT_SECONDS:
            kept.fields = await self._source.discover(tenant_id, connection_id, stream)
            kept.discovered_at = time.monotonic()
        wanted = {field.name: field for field in spec.fields}
        for field in kept.fields:
            wanted.setdefault(field.name, field)
        documents = await self._documents(
            tenant_id, connection_id, stream, PREVIEW_RECORDS, list(wanted)[:EXAMPLES]
        )
        examples = {field.name: field.example for field in discover_fields(documents)}
        named = [SourceField("id", "Record id", "string", examples.get("id"))]
        return [
            *(named if manifest.asks or "id" in examples else ()),
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
        """Real records, fetched through the connection, and what the definition makes of each."""
        documents = await self._documents(
            tenant_id, connection_id, definition.stream, limit, self._mapper.fields_used(definition)
        )
        results = await self._mapper.map(definition, model, documents)
        return [Preview(document, result) for document, result in zip(documents, results, strict=True)]

    async def _documents(
        self, tenant_id: UUID, connection_id: UUID, stream: str, limit: int, fields: Collection[str]
    ) -> list[dict[str, Any]]:
        kept = self._entry(tenant_id, connection_id, stream)
        old = time.monotonic() - kept.sampled_at > KEPT_SECONDS
        if old or kept.limit < limit or not kept.asked.issuperset(fields):
            asked = frozenset(fields) if old else kept.asked | frozenset(fields)
            documents = await self._source.sample(tenant_id, connection_id, stream, limit, sorted(asked))
            kept.documents, kept.asked, kept.limit = documents, asked, limit
            kept.sampled_at = time.monotonic()
        return kept.documents[:limit]

    def _entry(self, tenant_id: UUID, connection_id: UUID, stream: str) -> _Kept:
        """Old ones leave at each use, so that no customer's record outlives its time here."""
        moment = time.monotonic()
        for key, kept in list(self._kept.items()):
            if moment - max(kept.sampled_at, kept.discovered_at) > KEPT_SECONDS:
                del self._kept[key]
        entry = self._kept.setdefault((tenant_id, connection_id, stream), _Kept())
        self._kept.move_to_end((tenant_id, connection_id, stream))
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return entry
