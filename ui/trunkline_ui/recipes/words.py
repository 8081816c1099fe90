"""A recipe as people read it, and what differs between two versions of it."""

from collections.abc import Mapping as Map
from collections.abc import Sequence

import msgspec

from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.service import SCHEDULES
from trunkline.recipes.target import TargetField, TargetModel
from trunkline.sdk.manifest import Manifest
from trunkline_ui.recipes import conditions
from trunkline_ui.recipes.draft import written

TYPES = {
    "string": "Text, up to 1,024 characters",
    "text": "Long text, up to 65,536 characters",
    "integer": "Whole number",
    "number": "Number",
    "boolean": "True or false",
    "datetime": "Date and time",
    "date": "Date",
    "enum": "One of a list",
    "json": "Object or list",
}
SHORT = {
    **{kind: words for kind, words in TYPES.items() if kind not in {"string", "text", "enum"}},
    "string": "Text",
    "text": "Long text",
    "enum": "Choice",
}
SOURCE_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true/false",
    "datetime": "date and time",
    "date": "date",
    "enum": "choice",
    "json": "object",
}


class Line(msgspec.Struct, frozen=True):
    """One row of a readable mapping table. `code`: `source` is CEL."""

    label: str
    name: str
    type: str
    source: str
    code: bool = False
    detail: str = ""
    default: str = ""


class Readable(msgspec.Struct, frozen=True):
    sentence: str
    lines: Sequence[Line]
    filter: str
    """In words; "" for none."""
    filter_code: str
    schedule: str
    on_drift: str


def schedule(seconds: int, manifest: Manifest | None = None) -> str:
    if manifest is not None and not manifest.asks:
        return "As it comes"
    return SCHEDULES.get(seconds) or f"Every {seconds:,} seconds"


def on_drift(definition: RecipeDefinition) -> str:
    """What happens when the provider changes fields that the recipe uses."""
    words = {"pause": "reading stops", "quarantine": "its records are set aside"}
    changed, new = words[definition.on_changed], words[definition.on_new_value]
    return f"When one goes or changes its type, {changed}. When a choice is new, {new}."


def type_of(field: TargetField) -> str:
    if field.type == "enum":
        return "One of " + ", ".join(value.value for value in field.enum_values[:6])
    return TYPES[field.type]


def readable(
    definition: RecipeDefinition,
    seconds: int,
    manifest: Manifest,
    model: TargetModel | None,
    labels: Map[str, str] | None = None,
) -> Readable:
    """`labels`: of the account's own fields, where they are at hand."""
    spec = manifest.stream(definition.stream)
    names = {field.name: field.label for field in spec.fields} if spec else {}
    names |= labels or {}
    stream = spec.label if spec else definition.stream
    kind = model.label if model else definition.model
    words = filter_words(definition.filter, names)
    where = f" where {words}" if words else " that matches the filter" if definition.filter else ""
    reads = f"{schedule(seconds)}, reads {stream} from {manifest.label}"
    if not manifest.asks:
        reads = f"Takes what your system sends ({stream})"
    sentence = f"{reads} and turns each record{where} into a {kind} in your product."
    return Readable(
        sentence,
        [line(mapping, model, names) for mapping in _ordered(definition.mappings, model)],
        words,
        definition.filter or "",
        schedule(seconds, manifest),
        on_drift(definition) if manifest.asks else "",
    )


def filter_words(cel: str | None, labels: Map[str, str]) -> str:
    found = conditions.from_cel(cel) if cel else None
    return " and ".join(conditions.words(one, labels.get(one.field, one.field)) for one in found or ())


def line(mapping: Mapping, model: TargetModel | None, labels: Map[str, str]) -> Line:
    field = model.field(mapping.target) if model else None
    label, kind = (field.label, SHORT[field.type]) if field else (mapping.target, "No longer in the model")
    default = written(mapping.default)
    if mapping.kind == "expression":
        return Line(label, mapping.target, kind, mapping.expression, code=True, default=default)
    if mapping.kind == "constant":
        return Line(label, mapping.target, kind, f"Always “{written(mapping.constant)}”", default=default)
    source = labels.get(mapping.source, mapping.source)
    # the name beside its label only where it cannot be read off the label
    told = source.casefold().replace(" ", "_") == mapping.source.casefold()
    detail = "" if told else mapping.source
    return Line(label, mapping.target, kind, source, detail=detail, default=default)


def differences(
    before: tuple[RecipeDefinition, int] | None,
    after: tuple[RecipeDefinition, int],
    model: TargetModel | None,
) -> list[dict[str, str | None]]:
    """Rows for ui.diff, only what differs; all of it against nothing."""
    old, new = (_parts(*before, model) if before else {}), _parts(*after, model)
    rows: list[dict[str, str | None]] = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "changed"
            rows.append({"field": name, "before": was, "after": now, "change": change})
    return rows


def _parts(definition: RecipeDefinition, seconds: int, model: TargetModel | None) -> dict[str, str | None]:
    parts: dict[str, str | None] = {"Schedule": schedule(seconds), "Filter": definition.filter}
    if (definition.on_changed, definition.on_new_value) != ("pause", "quarantine"):
        parts["Changed fields"] = on_drift(definition)
    for mapping in _ordered(definition.mappings, model):
        given = {"field": mapping.source, "expression": mapping.expression}.get(mapping.kind)
        said = f"always “{written(mapping.constant)}”" if given is None else given
        default = f", if empty “{written(mapping.default)}”" if mapping.default is not None else ""
        parts[mapping.target] = f"{said}{default}"
    return parts


def _ordered(mappings: Sequence[Mapping], model: TargetModel | None) -> list[Mapping]:
    order = {field.name: index for index, field in enumerate(model.fields)} if model else {}
    return sorted(mappings, key=lambda mapping: order.get(mapping.target, len(order)))
