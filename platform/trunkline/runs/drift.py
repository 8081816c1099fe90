"""How a provider's fields differ from those that recipes were built on, and what that means. Pure.

Nothing is nulled by it. A field that a recipe uses and that is gone or has another type stops the stream, or
by the recipe's own rule sets its records aside; both keep what is held. A change that was accepted keeps, for
each target that used the field, the value last held. A new value of an enumeration flows where the recipe
makes something of it; where it makes nothing, the record is set aside.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from trunkline.recipes import expression as cel_text
from trunkline.recipes.definition import RecipeDefinition
from trunkline.recipes.document import flatten
from trunkline.recipes.errors import FieldError
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import Failed, Mapped, MapResult
from trunkline.sdk.manifest import Field

Change = Literal["gone", "retyped", "new_values", "lost_values"]
Verdict = Literal["pause", "quarantine", "ignore"]
MAX_FIELDS = 3000
"""Kept of a stream; HubSpot allows 1,000 own ones of an object beside some 300 of its own."""
VALUES_SHOWN = 20

_TYPES = {
    "string": "Text",
    "number": "Number",
    "boolean": "Yes or no",
    "datetime": "Date and time",
    "date": "Date",
    "enum": "One of a list",
    "json": "Structured",
}


class KnownField(msgspec.Struct, frozen=True, omit_defaults=True):
    """`gone`: that it is no longer there was accepted."""

    type: str
    label: str
    options: tuple[str, ...] = ()
    gone: bool = False


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A difference, as it is kept and shown. `recipes`: names of those that use the field."""

    field: str
    label: str
    change: Change
    was: str
    now: str
    verdict: Verdict
    recipes: list[str] = []
    values: list[str] = []
    """The new values of an enumeration."""
    seen: KnownField | None = None
    """As it is now."""
    since: datetime


def known(fields: Iterable[Field]) -> dict[str, KnownField]:
    listed = list(fields)[:MAX_FIELDS]
    return {one.name: KnownField(one.type, one.label, one.options) for one in listed}


def accepted(held: Mapping[str, KnownField], found: Sequence["Drift"]) -> dict[str, KnownField]:
    """What recipes are built on once the changes are accepted: fields that went are remembered as gone."""
    after = dict(held)
    for one in found:
        if one.seen is not None:
            after[one.field] = one.seen
        elif one.field in held:
            after[one.field] = msgspec.structs.replace(held[one.field], gone=True)
    return after


def compare(
    held: Mapping[str, KnownField],
    seen: Mapping[str, KnownField],
    recipes: Sequence[RecipeInForce],
    moment: datetime,
    before: Sequence[Drift] = (),
) -> list[Drift]:
    """Worst first. `before`: as found earlier, for since when it is so."""
    since = {(one.field, one.change): one.since for one in before}
    found = []
    for name, field in held.items():
        for change, was, now, values in _changes(field, seen.get(name)):
            using = [one for one in recipes if name in RecipeMapper.fields_used(one.definition)]
            found.append(
                Drift(
                    field=name,
                    label=field.label,
                    change=change,
                    was=was,
                    now=now,
                    verdict=_verdict(change, using),
                    recipes=[one.name for one in using],
                    values=values,
                    seen=seen.get(name),
                    since=since.get((name, change), moment),
                )
            )
    order = {"pause": 0, "quarantine": 1, "ignore": 2}
    return sorted(found, key=lambda one: (order[one.verdict], one.field))


def _changes(field: KnownField, now: KnownField | None) -> list[tuple[Change, str, str, list[str]]]:
    if now is None:
        return [] if field.gone else [("gone", _TYPES.get(field.type, field.type), "Not there any more", [])]
    if now.type != field.type:
        return [("retyped", _TYPES.get(field.type, field.type), _TYPES.get(now.type, now.type), [])]
    if not field.options or not now.options:
        return []
    new = [value for value in now.options if value not in field.options]
    lost = [value for value in field.options if value not in now.options]
    found: list[tuple[Change, str, str, list[str]]] = []
    if new:
        found.append(("new_values", _listed(field.options), f"Also: {_listed(new)}", new))
    if lost:
        found.append(("lost_values", _listed(field.options), f"No longer: {_listed(lost)}", []))
    return found


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:VALUES_SHOWN])
    more = len(values) - VALUES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _verdict(change: Change, using: Sequence[RecipeInForce]) -> Verdict:
    if not using or change == "lost_values":
        return "ignore"
    rules = [
        one.definition.on_new_value if change == "new_values" else one.definition.on_changed for one in using
    ]
    return "pause" if "pause" in rules else "quarantine"


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """What drift makes of mapping, for the recipes of one attempt."""

    aside: dict[UUID, FieldError] = {}
    """Recipes whose records are set aside."""
    keep: dict[UUID, frozenset[str]] = {}
    """Targets whose held value stays where the mapping gives none."""
    unknown: dict[UUID, dict[str, frozenset[str]]] = {}
    """Field -> new values, by recipes that make them out of a list."""

    def judged(
        self, recipe: RecipeInForce, documents: Sequence[Mapping[str, Any]], results: Sequence[MapResult]
    ) -> list[MapResult]:
        error = self.aside.get(recipe.recipe_id)
        if error is not None:
            return [Failed((error,)) for _ in results]
        unknown = self.unknown.get(recipe.recipe_id)
        if not unknown:
            return list(results)
        return [
            _refused(recipe.definition, unknown, document, result)
            for document, result in zip(documents, results, strict=True)
        ]


def caution(
    held: Mapping[str, KnownField], found: Sequence[Drift], recipes: Sequence[RecipeInForce]
) -> Caution:
    aside: dict[UUID, FieldError] = {}
    keep: dict[UUID, frozenset[str]] = {}
    unknown: dict[UUID, dict[str, frozenset[str]]] = {}
    gone = {name for name, field in held.items() if field.gone}
    for recipe in recipes:
        used = set(RecipeMapper.fields_used(recipe.definition))
        for one in found:
            if one.field not in used:
                continue
            if one.change in {"gone", "retyped"} and one.verdict == "quarantine":
                what = "disappeared" if one.change == "gone" else f"became: {one.now.lower()}"
                message = f"the field {one.label} of the connected service {what}"
                aside[recipe.recipe_id] = FieldError("", message)
            elif one.values:
                unknown.setdefault(recipe.recipe_id, {})[one.field] = frozenset(one.values)
        targets = frozenset(_targets(recipe.definition, gone))
        if targets:
            keep[recipe.recipe_id] = targets
    return Caution(aside=aside, keep=keep, unknown=unknown)


def _targets(definition: RecipeDefinition, names: set[str]) -> Iterable[str]:
    """Those whose mapping reads any of the fields."""
    for mapping in definition.mappings if names else ():
        if mapping.kind == "field":
            used = {mapping.source}
        else:
            used = set(
                cel_text.references(mapping.expression).record | cel_text.source_fields(mapping.expression)
            )
        if used & names:
            yield mapping.target


def _refused(
    definition: RecipeDefinition,
    unknown: Mapping[str, frozenset[str]],
    document: Mapping[str, Any],
    result: MapResult,
) -> MapResult:
    """A record with a new value of which its expression makes nothing."""
    if not isinstance(result, Mapped):
        return result
    flat = flatten(document)
    errors = []
    for field, values in unknown.items():
        if not values.isdisjoint(parts(flat.get(field))):
            errors += [
                FieldError(
                    target, f"{target}: the field {field} has a new value that the recipe does not know"
                )
                for target in _targets(definition, {field})
                if result.data.get(target) is None
            ]
    return Failed(tuple(errors)) if errors else result


def parts(value: Any) -> set[str]:
    """The values of an enumeration in a field; several are separated by semicolons."""
    return set(value.split(";")) if isinstance(value, str) and value else set()


def filters_on(recipes: Sequence[RecipeInForce], names: set[str]) -> list[str]:
    """Names of the recipes whose filter reads any of the fields."""
    found = []
    for recipe in recipes:
        text = recipe.definition.filter or ""
        if names & (cel_text.references(text).record | cel_text.source_fields(text)):
            found.append(recipe.name)
    return found


def evidence(
    held: Mapping[str, KnownField],
    asked: Iterable[str],
    used: Iterable[str],
    documents: Sequence[Mapping[str, Any]],
) -> set[str]:
    """Fields of which a page says that they may have changed: none of its records has the member at all, or
    one has a value that the enumeration did not have.
    """
    if not documents:
        return set()
    flat = [flatten(document) for document in documents]
    there = {name for name in asked if name in held and not held[name].gone}
    found = {name for name in there if not any(name in document for document in flat)}
    for name in set(used) & set(held):
        options = held[name].options
        if options and any(parts(document.get(name)) - set(options) for document in flat):
            found.add(name)
    return found
