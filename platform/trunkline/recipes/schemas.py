"""Shapes that this slice gives over the API."""

from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from trunkline.recipes.definition import RecipeDefinition
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.target import TargetModel
from trunkline.sdk.manifest import Manifest, SuggestedRecipe


class ModelList(msgspec.Struct, frozen=True):
    models: list[TargetModel]


class RecipeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with the version in force."""

    id: UUID
    name: str
    connection_id: UUID
    stream: str
    model: str
    enabled: bool
    version: int
    schedule_seconds: int
    definition: RecipeDefinition
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, recipe: RecipeInForce) -> Self:
        values = {name: getattr(recipe, name) for name in cls.__struct_fields__ if name != "id"}
        return cls(id=recipe.recipe_id, **values)


class RecipeList(msgspec.Struct, frozen=True):
    recipes: list[RecipeOut]


class StreamOut(msgspec.Struct, frozen=True):
    name: str
    label: str
    description: str


class SuggestedOut(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is what a connect session names to set the recipe up."""

    key: str
    name: str
    description: str
    stream: str
    model: str
    schedule_seconds: int

    @classmethod
    def of(cls, recipe: SuggestedRecipe) -> Self:
        return cls(**{name: getattr(recipe, name) for name in cls.__struct_fields__})


class ConnectorOut(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    label: str
    version: str
    category: str
    description: str
    permissions: list[str]
    """What the customer is asked to allow, in words."""
    streams: list[StreamOut]
    recipes: list[SuggestedOut]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        return cls(
            name=manifest.name,
            label=manifest.label,
            version=manifest.version,
            category=manifest.category,
            description=manifest.description,
            permissions=list(manifest.auth.words),
            streams=[StreamOut(one.name, one.label, one.description) for one in manifest.streams],
            recipes=[SuggestedOut.of(recipe) for recipe in manifest.recipes],
        )


class ConnectorList(msgspec.Struct, frozen=True):
    connectors: list[ConnectorOut]
