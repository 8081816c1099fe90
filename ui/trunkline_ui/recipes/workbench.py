"""A draft seen beside its connection: the fields to choose from, what is wrong, and the live preview."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from trunkline.kernel.errors import TrunklineError
from trunkline.recipes import expression as cel_text
from trunkline.recipes.coerce import STRING_LIMIT
from trunkline.recipes.definition import Mapping, RecipeDefinition, SourceField
from trunkline.recipes.document import flatten
from trunkline.recipes.errors import DefinitionError, EvaluatorUnavailableError
from trunkline.recipes.preview import Preview, RecipePreview
from trunkline.recipes.results import Failed, Filtered, Mapped
from trunkline.recipes.target import TargetModel
from trunkline.resilience.failures import failure
from trunkline.sdk.manifest import Manifest
from trunkline_ui.recipes.conditions import member

PATIENCE_SECONDS = 9.0
"""Less than the 15 s after which the page's own request gives up."""
_SHOWN = 400  # characters of one value on a page
_RESTING = (
    "Expressions cannot be tried out at the moment; the cause is on our side. "
    "Your entries are kept: try again in a moment."
)


class Catalogue(msgspec.Struct, frozen=True):
    """The fields of a stream. `known`: they are the account's own; else the connector's usual ones."""

    fields: Sequence[SourceField]
    known: bool
    problem: str = ""

    def label(self, name: str) -> str:
        return next((field.label for field in self.fields if field.name == name), name)

    def for_checks(self) -> Sequence[SourceField]:
        """Empty while the account's fields are unknown: names are then taken on trust."""
        return self.fields if self.known else ()


class Cell(msgspec.Struct, frozen=True):
    """One target field of one record. `before`: pairs of the source's field and its value."""

    target: str
    label: str
    before: Sequence[tuple[str, str | None]]
    after: str | None = None
    error: str = ""
    too_long: bool = False


class Shown(msgspec.Struct, frozen=True):
    """One real record, before and after."""

    title: str
    outcome: Literal["mapped", "filtered", "failed"]
    cells: Sequence[Cell]
    error: str = ""
    """Of the record as a whole."""


class Trial(msgspec.Struct, frozen=True):
    """A preview. `problem`: why there is none. `skipped`: labels of fields left out, having errors."""

    records: Sequence[Shown] = ()
    problem: str = ""
    skipped: Sequence[str] = ()
    filter_skipped: bool = False

    def count(self, outcome: str) -> int:
        return sum(record.outcome == outcome for record in self.records)

    def cell(self, target: str) -> Cell | None:
        """Of the first record that the filter keeps, for the row of the mapping table."""
        kept = (record for record in self.records if record.outcome != "filtered" and record.cells)
        first = next(kept, None)
        return next((cell for cell in first.cells if cell.target == target), None) if first else None


class Workbench:
    """For one request: one connection and one stream."""

    def __init__(
        self, previews: RecipePreview, manifest: Manifest, tenant_id: UUID, connection_id: UUID
    ) -> None:
        self._previews = previews
        self._manifest = manifest
        self._place = (tenant_id, connection_id)

    async def catalogue(self, stream: str) -> Catalogue:
        """Never raises for a provider's trouble: the wizard goes on with the connector's usual fields."""
        spec = self._manifest.stream(stream)
        if spec is None:
            return Catalogue((), known=False)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                fields = await self._previews.fields(*self._place, self._manifest, stream)
        except (TrunklineError, TimeoutError) as error:
            usual = [SourceField(field.name, field.label, field.type) for field in spec.fields]
            return Catalogue(
                [SourceField("id", "Record id"), *usual], known=False, problem=self._sentence(error)
            )
        return Catalogue(fields, known=True)

    async def check(
        self, definition: RecipeDefinition, catalogue: Catalogue, model: TargetModel
    ) -> list[DefinitionError]:
        return await self._previews.check(definition, catalogue.for_checks(), model)

    async def trial(
        self,
        definition: RecipeDefinition,
        errors: Sequence[DefinitionError],
        catalogue: Catalogue,
        model: TargetModel,
        *,
        fresh: bool = False,
    ) -> Trial:
        """What the sound part of the definition makes of real records."""
        bad = {
            int(parts[1]) for e in errors if (parts := e.path.split("."))[0] == "mappings" and len(parts) > 1
        }
        wrong_filter = any(error.path.startswith(("filter", "conditions")) for error in errors)
        sound = msgspec.structs.replace(
            definition,
            mappings=tuple(m for index, m in enumerate(definition.mappings) if index not in bad),
            filter=None if wrong_filter else definition.filter,
        )
        skipped = [_label(model, definition.mappings[index].target) for index in sorted(bad)]
        if fresh:
            self._previews.forget(*self._place, definition.stream)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                previews = await self._previews.preview(*self._place, sound, model)
                rest = await self._without_failing(previews, sound, model)
        except (TrunklineError, EvaluatorUnavailableError, TimeoutError) as error:
            return Trial(problem=self._sentence(error))
        shown = [
            self._shown(preview, values, sound, catalogue, model)
            for preview, values in zip(previews, rest, strict=True)
        ]
        return Trial(shown, "", skipped, wrong_filter)

    async def _without_failing(
        self, previews: Sequence[Preview], definition: RecipeDefinition, model: TargetModel
    ) -> list[dict[str, Any]]:
        """What each record gives. A record fails as a whole; its sound fields are shown all the same."""
        failing = {e.target for p in previews if isinstance(p.result, Failed) for e in p.result.errors}
        if failing - {""}:
            kept = tuple(mapping for mapping in definition.mappings if mapping.target not in failing)
            fewer = msgspec.structs.replace(definition, mappings=kept)
            previews = [
                first if isinstance(first.result, Mapped) else second
                for first, second in zip(
                    previews, await self._previews.preview(*self._place, fewer, model), strict=True
                )
            ]
        return [dict(p.result.data) if isinstance(p.result, Mapped) else {} for p in previews]

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, EvaluatorUnavailableError):
            return _RESTING
        text = error.message if isinstance(error, TrunklineError) else failure("provider_timeout").customer
        return text.replace("The connected service", self._manifest.label)

    def _shown(
        self,
        preview: Preview,
        values: dict[str, Any],
        definition: RecipeDefinition,
        catalogue: Catalogue,
        model: TargetModel,
    ) -> Shown:
        flat, result = flatten(preview.document), preview.result
        identity = f"{self._manifest.label} {_text(flat.get('id')) or 'record'}"
        errors: dict[str, str] = {}
        if isinstance(result, Failed):
            errors = {
                error.target: error.message.removeprefix(f"{error.target}: ") for error in result.errors
            }
        cells = []
        for field in model.fields:
            mapping = next((m for m in definition.mappings if m.target == field.name), None)
            if mapping is None:
                continue
            error = errors.get(field.name, "")
            cells.append(
                Cell(
                    field.name,
                    field.label,
                    _before(mapping, flat, catalogue),
                    _text(values.get(field.name)),
                    error,
                    too_long=f"at most {STRING_LIMIT:,}" in error,
                )
            )
        seen = [value for cell in cells for value in (cell.after, *(text for _, text in cell.before))]
        named = next((value for value in seen if value and not _looks_technical(value)), None)
        title = f"{named[:60]} · {identity}" if named else identity
        if isinstance(result, Filtered):
            return Shown(title, "filtered", cells)
        if isinstance(result, Failed):
            return Shown(title, "failed", cells, errors.get("", ""))
        return Shown(title, "mapped", cells)


def cut_to_fit(mapping: Mapping) -> str:
    """An expression that gives the same value, shortened to what a `string` holds."""
    inner = member(mapping.source) if mapping.kind == "field" else f"({mapping.expression})"
    return f"cel.bind(t, text({inner}), t.size() > {STRING_LIMIT} ? t.substring(0, {STRING_LIMIT}) : t)"


def _before(mapping: Mapping, flat: dict[str, Any], catalogue: Catalogue) -> list[tuple[str, str | None]]:
    if mapping.kind == "constant":
        return [("Constant", _text(mapping.constant))]
    if mapping.kind == "field":
        names = [mapping.source]
    else:
        read = cel_text.references(mapping.expression).record | cel_text.source_fields(mapping.expression)
        names = sorted(read)
    return [(catalogue.label(name), _text(flat.get(name))) for name in names]


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list)):
        text = msgspec.json.encode(value).decode("utf-8", "replace")
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def _looks_technical(value: str) -> bool:
    return value.isdigit() or (len(value) >= 20 and value[:4].isdigit() and "T" in value)


def _label(model: TargetModel, target: str) -> str:
    field = model.field(target)
    return field.label if field else target
