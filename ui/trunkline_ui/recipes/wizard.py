"""The wizard's rules: what a press of a button makes of a draft. Knows no HTTP and no database."""

from collections.abc import Sequence
from typing import Any

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.kernel.naming import fault
from trunkline.recipes.definition import RecipeDefinition, SourceField
from trunkline.recipes.errors import DefinitionError
from trunkline.recipes.functions import EXAMPLE_RECORD, FUNCTIONS
from trunkline.recipes.service import SCHEDULES
from trunkline.recipes.target import FORMER, TargetField, TargetModel
from trunkline.sdk.manifest import Manifest
from trunkline_ui.recipes import words
from trunkline_ui.recipes.conditions import MAX_CONDITIONS, OPERATORS, Condition
from trunkline_ui.recipes.draft import STEPS, Draft, Row, Step, control_of
from trunkline_ui.recipes.shared import Place
from trunkline_ui.recipes.suggest import suggest_model, suggest_rows
from trunkline_ui.recipes.workbench import Catalogue, Trial, Workbench, cut_to_fit

NAMES: dict[Step, str] = {
    "source": "What to read",
    "mapping": "Fields",
    "filter": "Filter and schedule",
    "review": "Review",
}
MANY = 80  # fields; a select with more is searched more easily as a list of suggestions


class Sheet(msgspec.Struct, kw_only=True):
    """One page of the wizard about to be shown."""

    place: Place
    draft: Draft
    step: Step
    editing: bool
    catalogue: Catalogue
    model: TargetModel | None = None
    errors: Sequence[DefinitionError] = ()
    trial: Trial | None = None
    problem: str = ""
    """Why it could not be saved, beyond the errors of fields."""
    seen_stream: str = ""
    """What was chosen to be read when the choice of models was last shown."""

    @property
    def definition(self) -> RecipeDefinition:
        if self.model is None:
            return RecipeDefinition(self.draft.stream, self.draft.model, ())
        return self.draft.definition(self.model)

    def located(self) -> list[tuple[str, str, Step]]:
        """(control id, sentence, step) of every error."""
        found: list[tuple[str, str, Step]] = []
        for error in self.errors:
            if self.model is None:
                found.append((error.path, error.message, "source"))
            else:
                control, step = control_of(error, self.definition, self.model)
                found.append((control, error.message, step))
        return found

    def context(self) -> dict[str, Any]:
        model, draft = self.model, self.draft
        order = steps_of(editing=self.editing)
        if self.step not in order:
            self.step = order[0]
        at = order.index(self.step)
        here = [(control, text) for control, text, step in self.located() if step == self.step]
        labels = {field.name: field.label for field in model.fields} if model else {}
        return {
            "sheet": self,
            "place": self.place,
            "manifest": self.place.manifest,
            "draft": draft,
            "step": self.step,
            "editing": self.editing,
            "hidden": draft.hidden(self.step),
            "summary": [(control, _headed(control, text, labels)) for control, text in here],
            "errors": dict(reversed(here)),
            "steps": [
                {"label": NAMES[step], "state": "done" if i < at else "current" if i == at else "todo"}
                for i, step in enumerate(order)
            ],
            "first": at == 0,
            "last": at == len(order) - 1,
            "model": model,
            # what suggestions mapped to before is offered to nobody who has not chosen it already
            "models": {
                name: one
                for name, one in self.place.models.items()
                if name not in FORMER.values() or name == draft.model
            },
            "rows": [(field, draft.row(field.name), words.type_of(field)) for field in model.fields]
            if model
            else [],
            "fields": choices(self.catalogue, self.place.manifest, draft),
            "many": len(self.catalogue.fields) > MANY,
            "catalogue": self.catalogue,
            "trial": self.trial,
            "operators": [(key, operator.words) for key, operator in OPERATORS.items()],
            "conditions": [*draft.conditions, Condition("", "is")][:MAX_CONDITIONS],
            "schedules": SCHEDULES,
            "enum_options": enum_options,
            "functions": _grouped(),
            "example_record": EXAMPLE_RECORD,
            "readable": words.readable(
                self.definition,
                draft.schedule,
                self.place.manifest,
                model,
                {field.name: field.label for field in self.catalogue.fields},
            ),
        }


def _headed(control: str, text: str, labels: dict[str, str]) -> str:
    """In the summary a sentence stands far from its field, so it begins with the field's name."""
    parts = control.split("-")
    label = (
        labels.get(parts[1], "")
        if parts[0] == "m"
        else f"Condition {int(parts[1]) + 1}"
        if parts[0] == "c"
        else ""
    )
    return f"{label}: {text}" if label and not text.startswith(label) else text


def steps_of(*, editing: bool) -> tuple[Step, ...]:
    """A recipe keeps its stream and model, so editing begins with the fields."""
    return STEPS[1:] if editing else STEPS


class Wizard:
    """For one request."""

    def __init__(self, place: Place, bench: Workbench, *, editing: bool) -> None:
        self._place = place
        self._bench = bench
        self.editing = editing

    async def open(self, draft: Draft, step: Step) -> Sheet:
        return await self._sheet(draft, step)

    async def press(self, draft: Draft, given: dict[str, str]) -> Sheet:
        """`given`: step, go, seen_stream of the form. Raises BadInputError for a button we do not have."""
        order = steps_of(editing=self.editing)
        step = given.get("step") or order[0]
        go = given.get("go") or "next"
        if step not in order:
            raise BadInputError(f'There is no step "{step[:40]}" here. Open the page again.', field="step")
        draft = self._followed(draft, step, given.get("seen_stream", ""))
        missing = self._missing(draft)
        if missing:
            return await self._sheet(draft, order[0] if self.editing else "source", missing)
        if go.startswith("cut."):
            return await self._sheet(self._cut(draft, go.removeprefix("cut.")), step)
        if go == "back":
            return await self._sheet(draft, order[max(order.index(step) - 1, 0)])
        if go in order:
            return await self._sheet(draft, go)
        if go in {"preview", "save"}:
            sheet = await self._sheet(draft, step, check=True)
            if go == "save":
                return sheet
            return await self.tried(sheet, fresh=True, keep_errors=False)
        if go != "next":
            raise BadInputError(f'There is no button "{go[:40]}" here. Open the page again.', field="go")
        sheet = await self._sheet(draft, step, check=True)
        sheet.errors = [e for e, (_, _, at) in zip(sheet.errors, sheet.located(), strict=True) if at == step]
        if sheet.errors or step == order[-1]:
            return sheet
        return await self._sheet(sheet.draft, order[order.index(step) + 1])

    async def tried(self, sheet: Sheet, *, fresh: bool = False, keep_errors: bool = True) -> Sheet:
        """With a preview of what is sound of the draft."""
        if sheet.model is None or self._place.manifest.stream(sheet.draft.stream) is None:
            return sheet
        draft = self._filled(sheet.draft, sheet.catalogue, sheet.model)
        definition = draft.definition(sheet.model)
        found = [*draft.problems(), *await self._checked(definition, sheet)]
        sheet.trial = await self._bench.trial(definition, found, sheet.catalogue, sheet.model, fresh=fresh)
        if not keep_errors:
            sheet.errors = []
        return sheet

    async def _checked(self, definition: RecipeDefinition, sheet: Sheet) -> list[DefinitionError]:
        assert sheet.model is not None
        return await self._bench.check(definition, sheet.catalogue, sheet.model)

    async def _sheet(
        self, draft: Draft, step: Step, errors: Sequence[DefinitionError] = (), *, check: bool = False
    ) -> Sheet:
        manifest, models = self._place.manifest, self._place.models
        if not draft.stream and manifest.streams:
            draft = msgspec.structs.replace(draft, stream=manifest.streams[0].name)
        if not draft.model:
            suggested = suggest_model(manifest, draft.stream, list(models))
            draft = msgspec.structs.replace(draft, model=suggested)
        model = models.get(draft.model)
        catalogue = await self._bench.catalogue(draft.stream) if model else Catalogue((), known=False)
        if model is not None and step != "source":
            draft = self._filled(draft, catalogue, model)
        if not draft.name and step == "filter":
            spec = manifest.stream(draft.stream)
            draft = msgspec.structs.replace(draft, name=spec.label if spec else "")
        sheet = Sheet(
            place=self._place,
            draft=draft,
            step=step,
            editing=self.editing,
            catalogue=catalogue,
            model=model,
            errors=errors,
        )
        if check and model is not None and not errors:
            sheet.errors = [
                *draft.problems(),
                *(await self._checked(sheet.definition, sheet) if step != "source" else ()),
                *self._named(draft),
            ]
        return sheet

    @staticmethod
    def _named(draft: Draft) -> list[DefinitionError]:
        found = []
        if wrong := fault(draft.name, 120):
            found.append(DefinitionError("name", wrong))
        if draft.schedule not in SCHEDULES:
            found.append(DefinitionError("schedule_seconds", "Choose one of the schedules."))
        return found

    def _missing(self, draft: Draft) -> list[DefinitionError]:
        found = []
        if self._place.manifest.stream(draft.stream) is None:
            found.append(DefinitionError("stream", "Choose what to read from the account."))
        if draft.model not in self._place.models:
            found.append(DefinitionError("model", "Choose what it becomes in your product."))
        return found

    def _followed(self, draft: Draft, step: Step, seen: str) -> Draft:
        """Another stream brings its usual model along, unless somebody chose a model of their own."""
        manifest, names = self._place.manifest, list(self._place.models)
        if step != "source" or not seen or draft.stream == seen or manifest.stream(draft.stream) is None:
            return draft
        if draft.model not in {"", suggest_model(manifest, seen, names)}:
            return draft
        return msgspec.structs.replace(draft, model=suggest_model(manifest, draft.stream, names))

    def _filled(self, draft: Draft, catalogue: Catalogue, model: TargetModel) -> Draft:
        if draft.made_for == draft.choice:
            return draft
        rows = suggest_rows(self._place.manifest, draft.stream, model, catalogue.fields)
        return msgspec.structs.replace(draft, rows=rows, made_for=draft.choice, name="")

    def _cut(self, draft: Draft, target: str) -> Draft:
        model = self._place.models[draft.model]
        definition = draft.definition(model)
        found = next((m for m in definition.mappings if m.target == target and m.kind != "constant"), None)
        if found is None:
            raise BadInputError("That field is not mapped. Open the page again.", field="go")
        row = Row(target, "expression", expression=cut_to_fit(found), default=draft.row(target).default)
        return draft.with_row(row)


def choices(catalogue: Catalogue, manifest: Manifest, draft: Draft) -> list[dict[str, Any]]:
    """For ui.select: the connector's fields, then the account's own; a chosen one that is gone stays."""
    spec = manifest.stream(draft.stream)
    usual = set(spec.field_names) | {"id"} if spec else set()
    known = {field.name for field in catalogue.fields}
    chosen = {row.source for row in draft.rows if row.source} | {c.field for c in draft.conditions if c.field}
    groups = [
        ("Usual fields", [field for field in catalogue.fields if field.name in usual]),
        ("Further fields of this account", [field for field in catalogue.fields if field.name not in usual]),
        ("Not in this account", [SourceField(name, name) for name in sorted(chosen - known)]),
    ]
    return [
        {"label": label, "options": [(field.name, _option(field)) for field in fields]}
        for label, fields in groups
        if fields
    ]


def enum_options(field: TargetField) -> list[tuple[str, str]]:
    return [(value.value, value.label or value.value) for value in field.enum_values]


def _option(field: SourceField) -> str:
    kind = words.SOURCE_TYPES.get(field.type, field.type)
    sample = f" · e.g. {field.example[:40]}" if field.example else ""
    return f"{field.label} · {kind}{sample}"


def _grouped() -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for function in FUNCTIONS:
        groups.setdefault(function.group, []).append(function)
    return groups
