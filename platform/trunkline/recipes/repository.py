"""All SQL of recipes. Every function runs within the tenant of its session."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import OPERATOR
from trunkline.recipes.definition import RecipeDefinition, convert
from trunkline.recipes.models import DeclaredModel, Recipe, RecipeVersion
from trunkline.recipes.target import TargetModel
from trunkline.runs.models import Entity, Quarantined


class RecipeInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe with the version that counts now."""

    recipe_id: UUID
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
    archived_at: datetime | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version, with who made it and when."""

    version: int
    definition: RecipeDefinition
    schedule_seconds: int
    author: str
    note: str | None
    created_at: datetime


class RecipeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe has made so far."""

    entities: int
    """Without deleted ones."""
    quarantined: int
    changed_at: datetime | None


_CURRENT = (
    select(
        Recipe.id,
        Recipe.name,
        Recipe.connection_id,
        Recipe.stream,
        Recipe.model,
        Recipe.enabled,
        Recipe.version,
        Recipe.schedule_seconds,
        RecipeVersion.definition,
        Recipe.created_by,
        Recipe.created_at,
        Recipe.archived_at,
    )
    .join(
        RecipeVersion,
        (RecipeVersion.tenant_id == Recipe.tenant_id)
        & (RecipeVersion.recipe_id == Recipe.id)
        & (RecipeVersion.version == Recipe.version),
    )
    .order_by(Recipe.created_at, Recipe.id)
)


async def in_force(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
) -> list[RecipeInForce]:
    """The recipes that a page of the stream goes through: enabled, not archived."""
    return await _current(
        session,
        Recipe.tenant_id == tenant_id,
        Recipe.connection_id == connection_id,
        Recipe.stream == stream,
        Recipe.enabled,
        Recipe.archived_at.is_(None),
    )


async def of_connection(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[RecipeInForce]:
    return await _current(
        session,
        Recipe.tenant_id == tenant_id,
        Recipe.connection_id == connection_id,
        Recipe.archived_at.is_(None),
    )


async def by_id(session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> RecipeInForce | None:
    found = await _current(session, Recipe.tenant_id == tenant_id, Recipe.id == recipe_id)
    return found[0] if found else None


async def _current(session: AsyncSession, *where: object) -> list[RecipeInForce]:
    rows = (await session.execute(_CURRENT.where(*where))).all()  # type: ignore[arg-type]
    return [
        RecipeInForce(
            recipe_id=row.id,
            name=row.name,
            connection_id=row.connection_id,
            stream=row.stream,
            model=row.model,
            enabled=row.enabled,
            version=row.version,
            schedule_seconds=row.schedule_seconds,
            definition=convert(row.definition),
            created_by=row.created_by,
            created_at=row.created_at,
            archived_at=row.archived_at,
        )
        for row in rows
    ]


async def add(session: AsyncSession, recipe: dict[str, object], version: dict[str, object]) -> None:
    await session.execute(insert(Recipe).values(recipe))
    await session.execute(insert(RecipeVersion).values(version))


async def lock(session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> int | None:
    """The version in force, held until the transaction ends: two editors cannot both make the next."""
    return (
        await session.execute(
            select(Recipe.version)
            .where(Recipe.tenant_id == tenant_id, Recipe.id == recipe_id, Recipe.archived_at.is_(None))
            .with_for_update()
        )
    ).scalar()


async def add_version(session: AsyncSession, version: dict[str, object]) -> None:
    await session.execute(insert(RecipeVersion).values(version))


async def change(session: AsyncSession, tenant_id: UUID, recipe_id: UUID, **values: object) -> bool:
    """False where there is no such recipe."""
    result = await session.execute(
        update(Recipe)
        .where(Recipe.tenant_id == tenant_id, Recipe.id == recipe_id)
        .values(**values)
        .returning(Recipe.id)
    )
    return result.scalar() is not None


async def versions(session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> list[Version]:
    """Newest first."""
    rows = await session.execute(
        select(
            RecipeVersion.version,
            RecipeVersion.definition,
            RecipeVersion.schedule_seconds,
            RecipeVersion.author,
            RecipeVersion.note,
            RecipeVersion.created_at,
        )
        .where(RecipeVersion.tenant_id == tenant_id, RecipeVersion.recipe_id == recipe_id)
        .order_by(RecipeVersion.version.desc())
    )
    return [
        Version(
            version=row.version,
            definition=convert(row.definition),
            schedule_seconds=row.schedule_seconds,
            author=row.author,
            note=row.note,
            created_at=row.created_at,
        )
        for row in rows
    ]


class RecipeAt(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe, and the version of it that counted at some moment."""

    recipe_id: UUID
    name: str
    model: str
    version: int
    author: str
    archived: bool
    """Removed since."""


async def as_of(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, moment: datetime
) -> list[RecipeAt]:
    """The stream's recipes that existed at `moment`, by name; names are today's."""
    newest = (
        select(RecipeVersion.recipe_id, func.max(RecipeVersion.version).label("version"))
        .where(RecipeVersion.tenant_id == tenant_id, RecipeVersion.created_at <= moment)
        .group_by(RecipeVersion.recipe_id)
        .subquery()
    )
    rows = await session.execute(
        select(
            Recipe.id,
            Recipe.name,
            Recipe.model,
            newest.c.version,
            RecipeVersion.author,
            Recipe.archived_at.is_not(None).label("archived"),
        )
        .join(newest, newest.c.recipe_id == Recipe.id)
        .join(
            RecipeVersion,
            (RecipeVersion.tenant_id == Recipe.tenant_id)
            & (RecipeVersion.recipe_id == Recipe.id)
            & (RecipeVersion.version == newest.c.version),
        )
        .where(
            Recipe.tenant_id == tenant_id,
            Recipe.connection_id == connection_id,
            Recipe.stream == stream,
            or_(Recipe.archived_at.is_(None), Recipe.archived_at > moment),
        )
        .order_by(Recipe.name, Recipe.id)
    )
    return [
        RecipeAt(
            recipe_id=row.id,
            name=row.name,
            model=row.model,
            version=row.version,
            author=row.author,
            archived=row.archived,
        )
        for row in rows
    ]


async def names(session: AsyncSession, tenant_id: UUID, recipe_ids: Collection[UUID]) -> dict[UUID, str]:
    """Archived ones too."""
    rows = await session.execute(
        select(Recipe.id, Recipe.name).where(Recipe.tenant_id == tenant_id, Recipe.id.in_(recipe_ids))
    )
    return {row.id: row.name for row in rows}


async def counts_of(session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> RecipeCounts:
    made = (
        await session.execute(
            select(
                func.count().filter(Entity.deleted_at.is_(None)).label("entities"),
                func.max(Entity.changed_at).label("changed_at"),
            ).where(Entity.tenant_id == tenant_id, Entity.recipe_id == recipe_id)
        )
    ).one()
    aside = (
        await session.execute(
            select(func.count())
            .select_from(Quarantined)
            .where(Quarantined.tenant_id == tenant_id, Quarantined.recipe_id == recipe_id)
        )
    ).scalar_one()
    return RecipeCounts(entities=made.entities, quarantined=aside, changed_at=made.changed_at)


async def fastest_schedule(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
) -> int | None:
    """Seconds; None where no recipe in force reads the stream."""
    return (
        await session.execute(
            select(func.min(Recipe.schedule_seconds)).where(
                Recipe.tenant_id == tenant_id,
                Recipe.connection_id == connection_id,
                Recipe.stream == stream,
                Recipe.enabled,
                Recipe.archived_at.is_(None),
            )
        )
    ).scalar()


async def declared_models(session: AsyncSession, tenant_id: UUID) -> Sequence[TargetModel]:
    """The newest version of each model that the operator or the tenant declared; the tenant's wins."""
    rows = await session.execute(
        select(DeclaredModel.tenant_id, DeclaredModel.definition)
        .where(or_(DeclaredModel.tenant_id == tenant_id, DeclaredModel.tenant_id == OPERATOR))
        .order_by(DeclaredModel.tenant_id == tenant_id, DeclaredModel.version)
    )
    models: dict[str, TargetModel] = {}
    for _, definition in rows:
        model = msgspec.convert(definition, TargetModel)
        models[model.name] = model
    return list(models.values())


async def declare(session: AsyncSession, tenant_id: UUID, model: TargetModel) -> None:
    await session.execute(
        insert(DeclaredModel).values(
            tenant_id=tenant_id,
            name=model.name,
            version=model.version,
            definition=msgspec.to_builtins(model),
        )
    )
