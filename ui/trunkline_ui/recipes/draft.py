"""The wizard's state: what its form carries from step to step, and the definition that it stands for.

Everything travels in the form; nothing of it is trusted. Names of controls: `stream`, `model`,
`m.email.kind`, `m.email.source`, `c.0.field`, ...; the id of a control is its name with dashes for dots.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast, get_args

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.recipes.definition import Mapping, OnDrift, RecipeDefinition, Scalar
from trunkline.recipes.errors import DefinitionError
from trunkline.recipes.target import NAME, TargetField, TargetModel
from trunkline_ui.recipes import conditions as builder
from trunkline_ui.recipes.conditions import MAX_CONDITIONS, Condition

Kind = Literal["none", "field", "expression", "constant"]
FilterKind = Literal["none", "conditions", "expression"]
Step = Literal["source", "mapping", "filter", "review"]
STEPS: tuple[Step, ...] = get_args(Step)

MAX_CONTROLS = 1200  # a model has at most 200 fields with five controls each
MAX_VALUE = 8192  # characters of one control; an expression may have 4,096 bytes, and says so itself
_MEMBERS = ("kind", "source", "expression", "constant", "default")
_RULES = ("on_changed", "on_new_value")
_TOP = (
    *("stream", "model", "made_for", "filter_kind", "filter", "name", "schedule", "note", "based_on"),
    *_RULES,
)
_ROW = re.compile(rf"m\.({NAME.pattern})\.({'|'.join(_MEMBERS)})")
_CONDITION = re.compile(r"c\.([0-9])\.(field|operator|value)")
DEFAULT_SCHEDULE = 300


class Row(msgspec.Struct, frozen=True):
    """One target field of the mapping table. Members that `kind` does not use are kept while editing."""

    target: str
    kind: Kind = "none"
    source: str = ""
    expression: str = ""
    constant: str = ""
    default: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    stream: str = ""
    model: str = ""
    made_for: str = ""
    """stream/model for which the rows were filled in; another choice fills them in again."""
    rows: tuple[Row, ...] = ()
    filter_kind: FilterKind = "none"
    conditions: tuple[Condition, ...] = ()
    filter: str = ""
    name: str = ""
    schedule: int = DEFAULT_SCHEDULE
    on_changed: OnDrift = "pause"
    on_new_value: OnDrift = "quarantine"
    note: str = ""
    based_on: int = 0
    """The version that is being edited; 0 for a new recipe."""

    @property
    def choice(self) -> str:
        return f"{self.stream}/{self.model}"

    def row(self, target: str) -> Row:
        return next((row for row in self.rows if row.target == target), Row(target))

    def with_row(self, row: Row) -> "Draft":
        others = tuple(one for one in self.rows if one.target != row.target)
        return msgspec.structs.replace(self, rows=(*others, row))

    # -- form ---------------------------------------------------------------------------------

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values of the whole form; empty controls are left out."""
        found = [(name, str(getattr(self, name))) for name in _TOP]
        for row in self.rows:
            found += [(f"m.{row.target}.{member}", getattr(row, member)) for member in _MEMBERS]
        for index, condition in enumerate(self.conditions):
            found += [
                (f"c.{index}.{member}", getattr(condition, member))
                for member in ("field", "operator", "value")
            ]
        return [pair for pair in found if pair[1] and not (pair[1] == "none" and pair[0].endswith("kind"))]

    def hidden(self, step: Step) -> list[tuple[str, str]]:
        """What the page of a step carries along, besides the controls that it shows."""
        return [(name, value) for name, value in self.pairs() if step_of(name) != step]

    # -- definition ---------------------------------------------------------------------------

    def definition(self, model: TargetModel) -> RecipeDefinition:
        """Its mappings are in the model's order; rows of fields that the model lacks are left out."""
        rows = [(field, self.row(field.name)) for field in model.fields]
        return RecipeDefinition(
            stream=self.stream,
            model=self.model,
            mappings=tuple(_mapping(field, row) for field, row in rows if row.kind != "none"),
            filter=self.cel(),
            on_changed=self.on_changed,
            on_new_value=self.on_new_value,
        )

    def cel(self) -> str | None:
        if self.filter_kind == "expression":
            return self.filter.strip()
        if self.filter_kind == "conditions" and self.conditions and not builder.problems(self.conditions):
            return builder.to_cel(self.conditions)
        return None

    def problems(self) -> list[DefinitionError]:
        """What only the form knows to be wrong; the rest is the definition's validation."""
        if self.filter_kind != "conditions":
            return []
        if not self.conditions:
            return [DefinitionError("conditions.0.field", "Choose the field to look at.")]
        return builder.problems(self.conditions)


def step_of(name: str) -> Step | None:
    """Which step shows the control of that name."""
    if name in {"stream", "model"}:
        return "source"
    if name.startswith("m."):
        return "mapping"
    if name.startswith("c.") or name in {"filter_kind", "filter", "name", "schedule", *_RULES}:
        return "filter"
    return "review" if name == "note" else None


def of_definition(definition: RecipeDefinition, *, name: str, schedule: int, based_on: int = 0) -> Draft:
    """The draft that gives this definition again, given the model that it was made for."""
    filter_kind: FilterKind = "none"
    found = None
    if definition.filter is not None:
        found = builder.from_cel(definition.filter)
        filter_kind = "expression" if found is None else "conditions"
    return Draft(
        stream=definition.stream,
        model=definition.model,
        made_for=f"{definition.stream}/{definition.model}",
        rows=tuple(
            Row(
                mapping.target,
                mapping.kind,
                mapping.source,
                mapping.expression,
                written(mapping.constant),
                written(mapping.default),
            )
            for mapping in definition.mappings
        ),
        filter_kind=filter_kind,
        conditions=found or (),
        filter=definition.filter or "",
        name=name,
        schedule=schedule,
        on_changed=definition.on_changed,
        on_new_value=definition.on_new_value,
        based_on=based_on,
    )


def of_form(items: Iterable[tuple[str, Any]]) -> Draft:
    """Raises BadInputError for what no form of ours sends. The last of several values of a name counts."""
    given: dict[str, str] = {}
    for count, (name, value) in enumerate(items):
        if count >= MAX_CONTROLS:
            raise BadInputError(f"The form has more than {MAX_CONTROLS:,} fields. Open the page again.")
        if not isinstance(value, str):
            raise BadInputError("The form holds a file, and no field here takes one.", field=name[:100])
        if "\x00" in value or "\x00" in name:
            raise BadInputError(
                "The form holds a NUL character, which cannot be stored. Remove it.",
                field=name.replace("\x00", "")[:100],
            )
        if len(value) > MAX_VALUE:
            raise BadInputError(
                f"A value has {len(value):,} characters; at most {MAX_VALUE:,} are allowed.", field=name[:100]
            )
        given[name] = value.replace("\r\n", "\n")
    rows: dict[str, dict[str, str]] = {}
    found: dict[int, dict[str, str]] = {}
    for name, value in given.items():
        if match := _ROW.fullmatch(name):
            rows.setdefault(match[1], {})[match[2]] = value
        elif match := _CONDITION.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = value
        elif name.startswith(("m.", "c.")):
            raise BadInputError(
                "The form has a field that this page does not. Open the page again.", field=name[:100]
            )
    return Draft(
        **{name: given.get(name, "").strip() for name in ("stream", "model", "made_for", "filter", "note")},
        name=" ".join(given.get("name", "").split()),
        rows=tuple(_row(target, members) for target, members in rows.items()),
        filter_kind=cast("FilterKind", _one_of(given, "filter_kind", get_args(FilterKind))),
        conditions=tuple(
            Condition(c.get("field", "").strip(), c.get("operator", ""), c.get("value", ""))
            for _, c in sorted(found.items())
            if c.get("field", "").strip() or c.get("value", "")
        )[:MAX_CONDITIONS],
        schedule=_whole(given, "schedule", DEFAULT_SCHEDULE),
        on_changed=cast("OnDrift", _one_of(given, "on_changed", ("pause", "quarantine"))),
        on_new_value=cast("OnDrift", _one_of(given, "on_new_value", ("quarantine", "pause"))),
        based_on=_whole(given, "based_on", 0),
    )


def _row(target: str, members: dict[str, str]) -> Row:
    kind = cast("Kind", _one_of(members, "kind", get_args(Kind)))
    texts = {name: members.get(name, "").strip() for name in ("source", "expression")}
    return Row(
        target, kind, **texts, constant=members.get("constant", ""), default=members.get("default", "")
    )


def _one_of(given: dict[str, str], name: str, values: Sequence[str]) -> str:
    value = given.get(name) or values[0]
    if value not in values:
        raise BadInputError(f'"{value[:40]}" is not a choice here. Open the page again.', field=name)
    return value


def _whole(given: dict[str, str], name: str, otherwise: int) -> int:
    value = given.get(name) or str(otherwise)
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise BadInputError(f'"{value[:40]}" is not a whole number here. Open the page again.', field=name)
    return int(value)


# -- values as text ---------------------------------------------------------------------------


def written(value: Scalar | None) -> str:
    """A constant as a text control shows it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def literal(field: TargetField, text: str) -> Scalar | None:
    """The constant that a text means for a field; the text itself where it fits no better."""
    if text == "":
        return None
    bare = text.strip()
    if field.type == "boolean" and bare.casefold() in {"true", "false"}:
        return bare.casefold() == "true"
    if field.type in {"integer", "number"} and re.fullmatch(r"-?(0|[1-9]\d{0,17})", bare, re.ASCII):
        return int(bare)
    if field.type == "number":
        try:
            number = float(bare)
        except ValueError:
            return text
        return number if str(number) == bare and number - number == 0 else text
    return text


def _mapping(field: TargetField, row: Row) -> Mapping:
    default = literal(field, row.default)
    if row.kind == "expression":
        return Mapping(field.name, "expression", expression=row.expression, default=default)
    if row.kind == "constant":
        return Mapping(field.name, "constant", constant=literal(field, row.constant), default=default)
    return Mapping(field.name, "field", source=row.source, default=default)


# -- errors -----------------------------------------------------------------------------------


def control_of(error: DefinitionError, definition: RecipeDefinition, model: TargetModel) -> tuple[str, Step]:
    """The id of the form's control that an error is about, and the step that shows it."""
    parts = error.path.split(".")
    if parts[0] == "mappings" and len(parts) == 3 and int(parts[1]) < len(definition.mappings):
        target = definition.mappings[int(parts[1])].target
        return f"m-{target}-{'kind' if parts[2] == 'target' else parts[2]}", "mapping"
    if parts[0] == "mappings":
        for field in model.fields:
            if field.required and error.message.startswith(f"{field.label} is required"):
                return f"m-{field.name}-kind", "mapping"
        return f"m-{model.fields[0].name}-kind", "mapping"
    if parts[0] == "conditions":
        return f"c-{parts[1]}-{parts[2]}", "filter"
    if parts[0] == "schedule_seconds":
        return "schedule", "filter"
    if parts[0] in {"filter", "name"}:
        return parts[0], "filter"
    return (parts[0] or "stream"), "source"
