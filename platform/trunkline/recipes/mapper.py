"""A recipe applied to documents: what the sync stores, what the wizard previews, and what replay compares."""

import hashlib
from collections.abc import Mapping as Map
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from trunkline.kernel import strictjson
from trunkline.recipes import definition as definitions
from trunkline.recipes import expression as cel_text
from trunkline.recipes.coerce import STRING_LIMIT, coerce, shown
from trunkline.recipes.definition import Mapping, RecipeDefinition, SourceField
from trunkline.recipes.document import Lookup, lookup
from trunkline.recipes.errors import DefinitionError, FieldError
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.results import Failed, Filtered, Mapped, MappedRecord, MapResult, Program
from trunkline.recipes.target import TargetField, TargetModel

__all__ = ["Failed", "Filtered", "MapResult", "Mapped", "RecipeMapper", "fingerprint", "program_of"]

_KEPT = MappedRecord()
# What CEL's result types can become by coercion. DYN (known only at run time) and text go anywhere.
_FITS = {
    "BOOL": {"boolean", "string", "text", "enum", "json"},
    "INT": {"integer", "number", "string", "text", "datetime", "date", "enum", "boolean", "json"},
    "UINT": {"integer", "number", "string", "text", "datetime", "date", "enum", "boolean", "json"},
    "DOUBLE": {"integer", "number", "string", "text", "enum", "datetime", "date", "json"},
    "TIMESTAMP": {"datetime", "date", "string", "text", "json"},
    "LIST": {"json"},
    "MAP": {"json"},
}
_WORDS = {
    "BOOL": "true or false",
    "INT": "a whole number",
    "UINT": "a whole number",
    "DOUBLE": "a decimal number",
    "TIMESTAMP": "a date and time",
    "LIST": "a list",
    "MAP": "a map",
    "BYTES": "bytes",
    "DURATION": "a duration",
    "NULL": "always empty",
    "TYPE": "a type",
}


class RecipeMapper:
    """Stateless beside its evaluator; the same definition, model and document always give the same result."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    async def validate(
        self, definition: RecipeDefinition, stream_fields: Sequence[SourceField], model: TargetModel
    ) -> list[DefinitionError]:
        """All errors of a definition: its names and values, and its expressions compiled and type-checked."""
        errors = definitions.validate(definition, stream_fields, model)
        known = {error.path for error in errors}
        expressions: list[tuple[str, str, TargetField | None]] = [
            (f"mappings.{index}.expression", mapping.expression, model.field(mapping.target))
            for index, mapping in enumerate(definition.mappings[: definitions.MAX_MAPPINGS])
            if mapping.kind == "expression"
        ]
        if definition.filter is not None:
            expressions.append(("filter", definition.filter, None))
        for path, text, field in expressions:
            if path in known:
                continue
            checked = await self._evaluator.check(text)
            message = checked.message if not checked.ok else _misfit(checked.result_type, path, field)
            if message:
                errors.append(DefinitionError(path, message))
        return errors

    @staticmethod
    def fields_used(definition: RecipeDefinition) -> tuple[str, ...]:
        """The provider's fields that the definition names, sorted: what to ask a provider for."""
        names = {mapping.source for mapping in definition.mappings if mapping.kind == "field"}
        program = program_of(definition)
        for text in (*program.expressions, program.filter or ""):
            names |= cel_text.references(text).record | cel_text.source_fields(text)
        return tuple(sorted(names - {""}))

    async def map(
        self, definition: RecipeDefinition, model: TargetModel, documents: Sequence[dict[str, Any]]
    ) -> list[MapResult]:
        """One result for each document, in order. Expects a definition that passed `validate`.

        Raises EvaluatorUnavailableError when expressions are needed and no process can run them.
        """
        program = program_of(definition)
        fields = [lookup(document) for document in documents]
        if program.expressions or program.filter is not None:
            evaluated = await self._evaluator.evaluate(program, documents, fields)
        else:
            evaluated = [_KEPT] * len(documents)
        plan = _plan(definition, model)
        return [_result(plan, get, record) for get, record in zip(fields, evaluated, strict=True)]


def program_of(definition: RecipeDefinition) -> Program:
    """The expressions of a definition in the order of its mappings."""
    texts = tuple(mapping.expression for mapping in definition.mappings if mapping.kind == "expression")
    digest = hashlib.blake2b(msgspec.msgpack.encode([texts, definition.filter]), digest_size=16).digest()
    return Program(digest, texts, definition.filter)


def fingerprint(data: Map[str, Any]) -> bytes:
    """16 bytes that change exactly when mapped data changes."""
    return strictjson.fingerprint(data)


class _Step(NamedTuple):
    name: str
    source: str | None
    """The field it takes over as it is."""
    expression: int | None
    field: TargetField
    mapping: Mapping
    line: bool
    """A text of at most STRING_LIMIT characters is what it holds."""


def _plan(definition: RecipeDefinition, model: TargetModel) -> list[_Step]:
    """In the model's order, which makes the order of every output the model's. Unknown targets fall away."""
    steps: dict[str, _Step] = {}
    expression = 0
    for mapping in definition.mappings:
        index = None
        if mapping.kind == "expression":
            index = expression
            expression += 1
        field = model.field(mapping.target)
        if field is not None and mapping.target not in steps:
            source = mapping.source if mapping.kind == "field" else None
            line = field.type in ("string", "text")
            steps[mapping.target] = _Step(field.name, source, index, field, mapping, line)
    return [steps[field.name] for field in model.fields if field.name in steps]


def _result(plan: list[_Step], get: Lookup, evaluated: MappedRecord) -> MapResult:
    if evaluated.error is not None:
        return Failed((FieldError("", evaluated.error),), passing=evaluated.passing)
    if not evaluated.kept:
        return Filtered()
    data: dict[str, Any] = {}
    errors: list[FieldError] = []
    values, failed = evaluated.values, evaluated.errors
    for name, source, expression, field, mapping, line in plan:
        if source is not None:
            raw = get(source)
        elif expression is None:
            raw = mapping.constant
        elif failed and (problem := failed.get(expression)):
            errors.append(FieldError(name, f"{name}: {problem}"))
            continue
        else:
            raw = values[expression]
        if line and type(raw) is str and 0 < len(raw) <= STRING_LIMIT and "\x00" not in raw:
            data[name] = raw  # as `coerce` would leave it
            continue
        value, problem = _value(field, mapping, raw)
        if problem is None:
            data[name] = value
        else:
            errors.append(FieldError(name, f"{name}: {problem}"))
    return Failed(tuple(errors)) if errors else Mapped(data)


def _value(field: TargetField, mapping: Mapping, raw: Any) -> tuple[Any, str | None]:
    value, problem = coerce(field, raw)
    if problem is None and value is None and mapping.default is not None:
        value, problem = coerce(field, mapping.default)
    if problem is None and value is None and field.required:
        problem = f"is required, but {_origin(mapping)} is empty"
    return value, problem


def _origin(mapping: Mapping) -> str:
    return f"the field {shown(mapping.source)}" if mapping.kind == "field" else f"its {mapping.kind}"


def _misfit(result_type: str, path: str, field: TargetField | None) -> str | None:
    """Why an expression of this type cannot be used here, or None."""
    kind = result_type.partition("<")[0]
    if kind.startswith("optional_type"):
        return "The result may be missing; add .orValue(...) at the end."
    if path == "filter":
        if kind in ("BOOL", "DYN"):
            return None
        return f"A filter must be true or false; this is {_WORDS.get(kind, 'text')}."
    if field is None or kind in ("DYN", "STRING") or field.type in _FITS.get(kind, set()):
        return None
    return f"{field.label} is of type {field.type}, but the expression gives {_WORDS.get(kind, result_type)}."
