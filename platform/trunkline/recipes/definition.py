"""A recipe's definition: which stream becomes which model, field by field. Pure data, saved as JSON.

What an expression sees:
  `record`  the flat map that the field picker shows: the document's top-level members, and the members of its
            `properties` map lifted up beside them (document.flatten). A field that the expression names and
            the document lacks is null: `record.phone == null` means "empty" whatever the provider leaves out.
  `source`  the whole document exactly as the provider gave it: `source.properties.phone`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from trunkline.kernel import strictjson
from trunkline.recipes import expression as cel_text
from trunkline.recipes.coerce import coerce
from trunkline.recipes.errors import DefinitionError, InvalidDefinitionError, did_you_mean
from trunkline.recipes.target import HALF_A_CHARACTER, TargetField, TargetModel, shape_error

MappingKind = Literal["field", "expression", "constant"]
Scalar = str | int | float | bool
OnDrift = Literal["pause", "quarantine"]
MAX_MAPPINGS = 200


class SourceField(msgspec.Struct, frozen=True):
    """One entry of the field picker. `name` is the key in `record`, `example` a real value, shortened."""

    name: str
    label: str
    type: str = "string"
    example: str | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one target field gets its value. Only the member named by `kind` counts: `source` (a field's name),
    `expression` (CEL) or `constant`. `default` stands in for a null or empty value, never for an error.
    """

    target: str
    kind: MappingKind = "field"
    source: str = ""
    expression: str = ""
    constant: Scalar | None = None
    default: Scalar | None = None


class RecipeDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`filter` is a CEL expression that gives true for the records to keep; None keeps all."""

    stream: str
    model: str
    mappings: tuple[Mapping, ...]
    filter: str | None = None
    on_changed: OnDrift = "pause"
    """When a field that it uses disappears or changes its type at the provider: stop the stream, or set the
    records aside. What is held stays either way."""
    on_new_value: OnDrift = "quarantine"
    """When a list of values that it uses gains one: set aside the records it makes nothing of, or stop."""


def encode(definition: RecipeDefinition) -> bytes:
    """JSON. Defaults are left out, so a definition's bytes stay the same when the format gains a member."""
    return msgspec.json.encode(definition)


def decode(data: bytes | str) -> RecipeDefinition:
    """From JSON of a form or the database. Raises InvalidDefinitionError with the form field."""
    try:
        return convert(strictjson.decode(data, unique_keys=True))
    except strictjson.JSONLimitError as error:
        raise InvalidDefinitionError([DefinitionError(error.path, str(error))]) from None


def convert(raw: Any) -> RecipeDefinition:
    """From already decoded JSON (a JSONB column). Raises InvalidDefinitionError with the form field."""
    try:
        return msgspec.convert(raw, RecipeDefinition)
    except msgspec.ValidationError as error:
        raise InvalidDefinitionError([shape_error(error)]) from None
    except UnicodeEncodeError:  # of a name that msgspec would quote
        raise InvalidDefinitionError([DefinitionError("", HALF_A_CHARACTER)]) from None


def validate(
    definition: RecipeDefinition, stream_fields: Sequence[SourceField], model: TargetModel
) -> list[DefinitionError]:
    """Everything that can be said without running CEL. `RecipeMapper.validate` adds compile and type check.

    Empty `stream_fields` means the provider's fields are unknown: names are then taken on trust.
    """
    errors: list[DefinitionError] = []
    if not definition.stream:
        errors.append(DefinitionError("stream", "Choose what to read from the account."))
    if definition.model != model.name:
        errors.append(
            DefinitionError("model", f'The recipe is for "{definition.model}", not "{model.name}".')
        )
    if not definition.mappings:
        errors.append(DefinitionError("mappings", "Map at least one field."))
    if len(definition.mappings) > MAX_MAPPINGS:
        errors.append(DefinitionError("mappings", f"A recipe maps at most {MAX_MAPPINGS} fields."))
        return errors
    known = {field.name for field in stream_fields}
    seen: set[str] = set()
    for index, mapping in enumerate(definition.mappings):
        at = f"mappings.{index}"
        field = model.field(mapping.target)
        if field is None:
            hint = did_you_mean(mapping.target, (f.name for f in model.fields))
            message = f'{model.label} has no field "{mapping.target[:80]}".{hint}'
            errors.append(DefinitionError(f"{at}.target", message))
        elif mapping.target in seen:
            message = f"{field.label} is already mapped above; keep one of the two."
            errors.append(DefinitionError(f"{at}.target", message))
        seen.add(mapping.target)
        errors.extend(_value_errors(at, mapping, known))
        if field is not None:
            errors.extend(_literal_errors(at, mapping, field))
    errors.extend(
        DefinitionError("mappings", f"{field.label} is required; map something to it.")
        for field in model.fields
        if field.required and field.name not in seen
    )
    if definition.filter is not None:
        errors.extend(_expression_errors("filter", definition.filter, known))
    return errors


def _value_errors(at: str, mapping: Mapping, known: set[str]) -> list[DefinitionError]:
    if mapping.kind == "expression":
        return _expression_errors(f"{at}.expression", mapping.expression, known)
    if mapping.kind == "constant":
        empty = mapping.constant is None or mapping.constant == ""
        return [DefinitionError(f"{at}.constant", "Enter the value to use.")] if empty else []
    if not mapping.source:
        return [DefinitionError(f"{at}.source", "Choose a field.")]
    if known and mapping.source not in known:
        hint = did_you_mean(mapping.source, known)
        return [DefinitionError(f"{at}.source", f'There is no field "{mapping.source[:80]}" here.{hint}')]
    return []


def _expression_errors(path: str, text: str, known: set[str]) -> list[DefinitionError]:
    problem = cel_text.problem(text)
    if problem:
        return [DefinitionError(path, problem)]
    if not known:
        return []
    unknown = [name for name in sorted(cel_text.references(text).record) if name not in known]
    return [
        DefinitionError(path, f'record has no field "{name[:80]}".{did_you_mean(name, known)}')
        for name in unknown
    ]


def _literal_errors(at: str, mapping: Mapping, field: TargetField) -> list[DefinitionError]:
    errors: list[DefinitionError] = []
    literals = {"default": mapping.default}
    if mapping.kind == "constant":
        literals["constant"] = mapping.constant
    for member, literal in literals.items():
        if literal is not None:
            _, problem = coerce(field, literal)
            if problem:
                errors.append(DefinitionError(f"{at}.{member}", f"{field.label}: {problem}"))
    return errors
