"""One attempt at a run: what is known when its work begins."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.recipes import repository as recipes
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.target import TargetModel, built_in_models
from trunkline.runs import writes
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.drift import Drift, KnownField
from trunkline.runs.errors import NewerVersionError
from trunkline.runs.models import Stream
from trunkline.runs.parents import Parents
from trunkline.runs.writes import Place
from trunkline.sdk.manifest import Manifest, StreamSpec

_Shape = TypeVar("_Shape")


class Attempt(msgspec.Struct, kw_only=True):
    """What is known when work on a run begins."""

    place: Place
    run_id: UUID
    manifest: Manifest
    spec: StreamSpec
    recipes: list[tuple[RecipeInForce, TargetModel]]
    checkpoint: Checkpoint
    fields: list[str]
    """What the recipes in force need, and what the stream always asks for."""
    known_fields: dict[str, KnownField] | None
    """As last seen at the provider and, where they differ, as the recipes were built on them."""
    fields_checked_at: datetime | None
    drift: list[Drift]
    watermark: datetime | None
    schedule_seconds: int
    told_since: datetime | None = None
    """Changes from then on are told of by webhooks."""
    approved: list[UUID] = []
    """Reviews whose plan is to be carried out first."""

    @property
    def children(self) -> tuple[str, ...]:
        """Streams that are read for each record of this one."""
        return self.manifest.children(self.spec.name)

    @property
    def used(self) -> set[str]:
        """The fields that the recipes themselves name."""
        return {name for recipe, _ in self.recipes for name in RecipeMapper.fields_used(recipe.definition)}


STREAM = select(
    Stream.run_id,
    Stream.checkpoint,
    Stream.settled,
    Stream.watermark,
    Stream.schedule_seconds,
    Stream.paused_at,
    Stream.known_fields,
    Stream.fields_checked_at,
    Stream.drift,
    Stream.records,
    Stream.complete_at,
    Stream.told_since,
    func.now().label("moment"),
)


def what_is_known(row: Any) -> dict[str, Any]:
    held = None if row.known_fields is None else msgspec.convert(row.known_fields, dict[str, KnownField])
    return {
        "known_fields": held,
        "fields_checked_at": row.fields_checked_at,
        "drift": msgspec.convert(row.drift or [], list[Drift]),
    }


def fields_of(spec: StreamSpec, in_force: Sequence[RecipeInForce]) -> list[str]:
    """What to ask a provider for, sorted."""
    used = {name for recipe in in_force for name in RecipeMapper.fields_used(recipe.definition)}
    return sorted({*spec.field_names, *used})


async def with_models_of(
    session: AsyncSession, tenant_id: UUID, in_force: Sequence[RecipeInForce]
) -> list[tuple[RecipeInForce, TargetModel]]:
    """Raises LookupError on a model that is not declared."""
    declared = await recipes.declared_models(session, tenant_id)
    models = {**built_in_models(), **{model.name: model for model in declared}}
    missing = [recipe.model for recipe in in_force if recipe.model not in models]
    if missing:
        raise LookupError(f"the model {missing[0]} is not declared")
    return [(recipe, models[recipe.model]) for recipe in in_force]


async def is_read(
    session: AsyncSession, place: Place, manifest: Manifest, in_force: Sequence[RecipeInForce]
) -> bool:
    """Whether a recipe is in force on the stream, or on one that is read for each of its records."""
    if in_force:
        return True
    for name in manifest.dependents(place.stream):
        if await recipes.in_force(session, place.tenant_id, place.connection_id, name):
            return True
    return False


def parents_of(db: Database, run: Attempt) -> Parents | None:
    """Of a stream that is read for each record of another: those."""
    parent = run.spec.parent
    return None if parent is None else Parents(db, run.place, parent.stream)


async def moved_on(session: AsyncSession, run: Attempt) -> bool:
    """Whether other recipes, or other versions, are in force than when the pass began."""
    in_force = await writes.recipes_in_force(session, run.place)
    return {str(recipe): version for recipe, version in in_force.items()} != run.checkpoint.recipes


def kept(written: Any, shape: type[_Shape]) -> _Shape:
    """Raises NewerVersionError: in a deploy a newer version may have written what this one cannot read."""
    try:
        return msgspec.convert(written, shape)
    except msgspec.ValidationError as error:
        raise NewerVersionError from error
