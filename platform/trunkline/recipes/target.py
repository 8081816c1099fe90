"""Target models: the product's own nouns that records are mapped to, as versioned data.

Ten come with the product (`targets/*.toml`); an installation declares more with `declare_model`. A model is
immutable: a changed one is a new `version`, so that what was declared once can always be read again.
"""

import re
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from trunkline.recipes.errors import DefinitionError, InvalidDefinitionError

FieldType = Literal["string", "text", "integer", "number", "boolean", "datetime", "date", "enum", "json"]

BUILT_IN = (
    "account",
    "contact",
    "deal",
    "ticket",
    "user",
    "subscription",
    "invoice",
    "payment",
    "comment",
    "company",
)
FORMER = {"account": "company"}
"""What suggested recipes mapped to before they mapped to that model. A recipe that does is left as it is."""
MAX_FIELDS = 200  # a form a person can still fill in, and a bound on the work for a record
HALF_A_CHARACTER = "A name in it holds half of a character (a lone surrogate); write it anew."
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")  # fits a column name of Postgres (63 bytes) unquoted


class EnumValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`value` is stored; `label` is shown and is accepted from a provider as well."""

    value: str
    label: str = ""


class TargetField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`string` is one line of at most 1,024 characters, `text` at most 65,536; coerce.py has the others."""

    name: str
    label: str
    type: FieldType
    required: bool = False
    description: str = ""
    enum_values: tuple[EnumValue, ...] = ()


class TargetModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` and `version` together identify it; the order of `fields` is the order of every output."""

    name: str
    label: str
    version: int
    fields: tuple[TargetField, ...]
    description: str = ""

    def field(self, name: str) -> TargetField | None:
        return next((field for field in self.fields if field.name == name), None)


@cache
def built_in_models() -> dict[str, TargetModel]:
    """The models of the package by name, in the order of `BUILT_IN`."""
    folder = resources.files("trunkline.recipes") / "targets"
    return {name: _read(folder.joinpath(f"{name}.toml").read_bytes()) for name in BUILT_IN}


def _read(data: bytes) -> TargetModel:
    return declare_model(msgspec.toml.decode(data))


def declare_model(raw: Any) -> TargetModel:
    """A model from decoded JSON or TOML. Raises InvalidDefinitionError naming every field that is wrong."""
    try:
        model = msgspec.convert(raw, TargetModel)
    except msgspec.ValidationError as error:
        raise InvalidDefinitionError([shape_error(error)]) from None
    except UnicodeEncodeError:  # of a name that msgspec would quote
        raise InvalidDefinitionError([DefinitionError("", HALF_A_CHARACTER)]) from None
    errors = check_model(model)
    if errors:
        raise InvalidDefinitionError(errors)
    return model


def check_model(model: TargetModel) -> list[DefinitionError]:
    """What the types alone cannot say: names, duplicates, enum values, bounds."""
    errors: list[DefinitionError] = []

    def wrong(path: str, message: str) -> None:
        errors.append(DefinitionError(path, message))

    if not NAME.fullmatch(model.name):
        wrong("name", _name_rule(model.name))
    if not model.label.strip():
        wrong("label", "Give the model a label that people read, such as “Contact”.")
    if model.version < 1:
        wrong("version", "Versions are counted from 1.")
    if not model.fields:
        wrong("fields", "A model needs at least one field.")
    if len(model.fields) > MAX_FIELDS:
        wrong("fields", f"A model has at most {MAX_FIELDS} fields; this one has {len(model.fields)}.")
    seen: set[str] = set()
    for index, field in enumerate(model.fields[:MAX_FIELDS]):
        at = f"fields.{index}"
        if not NAME.fullmatch(field.name):
            wrong(f"{at}.name", _name_rule(field.name))
        elif field.name in seen:
            wrong(f"{at}.name", f'The name "{field.name}" is used twice; each field needs its own.')
        seen.add(field.name)
        if not field.label.strip():
            wrong(f"{at}.label", "Give the field a label that people read.")
        values = [value.value for value in field.enum_values]
        if field.type == "enum" and not values:
            wrong(f"{at}.enum_values", "A field of type enum needs its values.")
        elif field.type != "enum" and values:
            wrong(
                f"{at}.enum_values",
                f"Only a field of type enum has values; this one is of type {field.type}.",
            )
        elif len(set(values)) != len(values) or "" in values:
            wrong(f"{at}.enum_values", "Each value must be different and not empty.")
    return errors


def _name_rule(name: str) -> str:
    return (
        f'"{name[:80]}" is not a usable name: begin with a small letter, then small letters, digits and '
        "underscores, at most 63 characters."
    )


_SHAPE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_ABOUT_A_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `([^`]+)`")


def shape_error(error: msgspec.ValidationError) -> DefinitionError:
    """The message of msgspec, with its `$.fields[3].type` turned into the form field `fields.3.type`."""
    found = _SHAPE.fullmatch(str(error))
    if found is None:
        return DefinitionError("", str(error))
    path = re.sub(r"\[(\d+)\]", r".\1", found["path"] or "")
    about = _ABOUT_A_FIELD.match(found["what"])
    if about is None:
        return DefinitionError(path, f"{found['what']}.")
    message = "This is required." if "missing" in about[0] else f'There is no field "{about[1]}" here.'
    return DefinitionError(f"{path}.{about[1]}".lstrip("."), message)
