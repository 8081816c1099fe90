"""The rules of recipes: making them, versioning them, putting them in force."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.recipes import repository
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.errors import DefinitionError, InvalidDefinitionError
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce, Version
from trunkline.recipes.target import FORMER, TargetModel, built_in_models
from trunkline.sdk.manifest import Manifest, StreamSpec, SuggestedMapping, SuggestedRecipe
from trunkline.sdk.registry import Connectors

SCHEDULES = {60: "Every minute", 300: "Every 5 minutes", 900: "Every 15 minutes", 3600: "Every hour"}
MAX_NAME = 120


class Streams(Protocol):
    """What the engine does for recipes (`trunkline.runs`)."""

    async def ensure_stream(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        schedule_seconds: int,
        freshness_seconds: int,
    ) -> None: ...

    async def stop_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None: ...

    async def remap(self, session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> None: ...


class RecipeService:
    def __init__(self, connectors: Connectors, mapper: RecipeMapper, streams: Streams) -> None:
        self._connectors = connectors
        self._mapper = mapper
        self._streams = streams

    async def models(self, session: AsyncSession, tenant_id: UUID) -> dict[str, TargetModel]:
        """Those of the product, and those declared, which may replace them."""
        declared = await repository.declared_models(session, tenant_id)
        return {**built_in_models(), **{model.name: model for model in declared}}

    async def model(self, session: AsyncSession, tenant_id: UUID, name: str) -> TargetModel:
        found = (await self.models(session, tenant_id)).get(name)
        if found is None:
            raise NotFoundError(f'There is no model named "{name}".', field="model")
        return found

    async def get(self, session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> RecipeInForce:
        found = await repository.by_id(session, tenant_id, recipe_id)
        if found is None:
            raise NotFoundError
        return found

    async def of_connection(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID
    ) -> list[RecipeInForce]:
        return await repository.of_connection(session, tenant_id, connection_id)

    async def versions(self, session: AsyncSession, tenant_id: UUID, recipe_id: UUID) -> list[Version]:
        return await repository.versions(session, tenant_id, recipe_id)

    async def create(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        *,
        connection_id: UUID,
        connector: str,
        name: str,
        definition: RecipeDefinition,
        schedule_seconds: int,
        note: str | None = None,
    ) -> UUID:
        """A new recipe with its first version; its stream starts at once. Raises InvalidDefinitionError."""
        spec = await self._spec(connector, definition.stream)
        model = await self.model(session, tenant_id, definition.model)
        await self._must_be_valid(definition, model, name, schedule_seconds)
        recipe_id = new_id()
        await repository.add(
            session,
            {
                "tenant_id": tenant_id,
                "id": recipe_id,
                "connection_id": connection_id,
                "name": name.strip(),
                "stream": definition.stream,
                "model": definition.model,
                "version": 1,
                "schedule_seconds": schedule_seconds,
                "created_by": principal.label,
            },
            _version(tenant_id, recipe_id, 1, principal, definition, schedule_seconds, note),
        )
        await append(
            session,
            principal,
            "recipe.created",
            "recipe",
            recipe_id,
            {"connection_id": str(connection_id), "stream": definition.stream, "model": definition.model},
            after=_settings(name, schedule_seconds, 1),
            tenant_id=tenant_id,
        )
        await self._reschedule(session, tenant_id, connection_id, connector, spec.name)
        await self._streams.remap(session, tenant_id, recipe_id)
        return recipe_id

    async def save(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        recipe_id: UUID,
        *,
        connector: str,
        name: str,
        definition: RecipeDefinition,
        schedule_seconds: int,
        based_on: int,
        note: str | None = None,
    ) -> int:
        """A further version. `based_on`: the version that the editor saw; a newer one is a conflict."""
        recipe = await self.get(session, tenant_id, recipe_id)
        current = await repository.lock(session, tenant_id, recipe_id)
        if current is None:
            raise NotFoundError
        if current != based_on:
            raise ConflictError(
                f"Somebody saved version {current} while you edited version {based_on}. "
                "Open the recipe again, look at what changed, and repeat your change."
            )
        if (definition.stream, definition.model) != (recipe.stream, recipe.model):
            raise BadInputError(
                "A recipe keeps its stream and model; make a new one instead.", field="stream"
            )
        model = await self.model(session, tenant_id, definition.model)
        await self._must_be_valid(definition, model, name, schedule_seconds)
        version = current + 1
        await repository.add_version(
            session, _version(tenant_id, recipe_id, version, principal, definition, schedule_seconds, note)
        )
        await repository.change(
            session,
            tenant_id,
            recipe_id,
            version=version,
            name=name.strip(),
            schedule_seconds=schedule_seconds,
        )
        await append(
            session,
            principal,
            "recipe.saved",
            "recipe",
            recipe_id,
            {"version": version},
            before=_settings(recipe.name, recipe.schedule_seconds, current),
            after=_settings(name, schedule_seconds, version),
            tenant_id=tenant_id,
        )
        await self._reschedule(session, tenant_id, recipe.connection_id, connector, recipe.stream)
        await self._streams.remap(session, tenant_id, recipe_id)
        return version

    async def set_enabled(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        recipe_id: UUID,
        *,
        connector: str,
        enabled: bool,
    ) -> None:
        """Off keeps the entities as they are; on again catches up on what the records became meanwhile."""
        recipe = await self.get(session, tenant_id, recipe_id)
        await repository.change(session, tenant_id, recipe_id, enabled=enabled)
        action = "recipe.enabled" if enabled else "recipe.disabled"
        await append(
            session,
            principal,
            action,
            "recipe",
            recipe_id,
            before={"enabled": recipe.enabled},
            after={"enabled": enabled},
            tenant_id=tenant_id,
        )
        await self._reschedule(session, tenant_id, recipe.connection_id, connector, recipe.stream)
        if enabled:
            await self._streams.remap(session, tenant_id, recipe_id)

    async def set_archived(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        recipe_id: UUID,
        *,
        connector: str,
        archived: bool,
    ) -> None:
        """Removes the recipe from sight; its versions and entities stay. `archived=False` is the undo."""
        recipe = await self.get(session, tenant_id, recipe_id)
        await repository.change(session, tenant_id, recipe_id, archived_at=now() if archived else None)
        action = "recipe.archived" if archived else "recipe.restored"
        await append(session, principal, action, "recipe", recipe_id, tenant_id=tenant_id)
        await self._reschedule(session, tenant_id, recipe.connection_id, connector, recipe.stream)
        if not archived:
            await self._streams.remap(session, tenant_id, recipe_id)

    async def install_suggested(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        principal: Principal,
        *,
        connection_id: UUID,
        connector: str,
        keys: Sequence[str],
    ) -> list[UUID]:
        """The connector's recipes of these keys, but those there already. An unknown key: BadInputError."""
        manifest = await self._connectors.find(connector)
        present = await repository.of_connection(session, tenant_id, connection_id)
        made = []
        for key in keys:
            suggested = manifest.recipe(key)
            if suggested is None:
                raise BadInputError(f'{manifest.label} suggests no recipe "{key}".', field="recipes")
            if standing(suggested, present) is None:
                made.append(
                    await self.create(
                        session,
                        tenant_id,
                        principal,
                        connection_id=connection_id,
                        connector=connector,
                        name=suggested.name,
                        definition=definition_of(suggested),
                        schedule_seconds=suggested.schedule_seconds,
                        note=f"Suggested by {manifest.label} {manifest.version}",
                    )
                )
        return made

    async def declare_model(self, session: AsyncSession, tenant_id: UUID, model: TargetModel) -> None:
        """Raises ConflictError for a version that exists: a model's version never changes."""
        try:
            async with session.begin_nested():
                await repository.declare(session, tenant_id, model)
        except IntegrityError:
            raise ConflictError(
                f'Version {model.version} of "{model.name}" exists; declare the next one.', field="version"
            ) from None

    async def _spec(self, connector: str, stream: str) -> StreamSpec:
        manifest: Manifest = await self._connectors.find(connector)
        spec = manifest.stream(stream)
        if spec is None:
            raise InvalidDefinitionError(
                [DefinitionError("stream", f'{manifest.label} has no stream "{stream[:80]}".')]
            )
        return spec

    async def _must_be_valid(
        self, definition: RecipeDefinition, model: TargetModel, name: str, schedule_seconds: int
    ) -> None:
        errors = await self._mapper.validate(definition, (), model)
        if not name.strip() or len(name) > MAX_NAME:
            errors.append(
                DefinitionError("name", f"Give the recipe a name of at most {MAX_NAME} characters.")
            )
        if schedule_seconds not in SCHEDULES:
            errors.append(DefinitionError("schedule_seconds", "Choose one of the schedules."))
        if errors:
            raise InvalidDefinitionError(errors)

    async def _reschedule(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, connector: str, stream: str
    ) -> None:
        """A stream is read as often as its most eager recipe wants, and not at all without one; a recipe on
        what is read for each of its records counts too. What is sent to us, where nothing can be asked, is
        kept either way.
        """
        manifest = await self._connectors.find(connector)
        for name in manifest.lineage((await self._spec(connector, stream)).name):
            spec = await self._spec(connector, name)
            wanted = [
                await repository.fastest_schedule(session, tenant_id, connection_id, one)
                for one in manifest.dependents(name)
            ]
            seconds = min((one for one in wanted if one is not None), default=None)
            if not manifest.asks:
                seconds = 0
            if seconds is None:
                await self._streams.stop_stream(session, tenant_id, connection_id, name)
            else:
                await self._streams.ensure_stream(
                    session, tenant_id, connection_id, name, seconds, spec.freshness_seconds
                )


def standing(suggested: SuggestedRecipe, present: Sequence[RecipeInForce]) -> RecipeInForce | None:
    """The recipe that makes a suggestion needless: of its name, or one that maps its stream as was suggested
    before. So what customers get does not change by an update of ours, and nothing is mapped twice.
    """
    before = FORMER.get(suggested.model)
    return next(
        (
            one
            for one in present
            if one.stream == suggested.stream and (one.name == suggested.name or one.model == before)
        ),
        None,
    )


def definition_of(suggested: SuggestedRecipe) -> RecipeDefinition:
    return RecipeDefinition(
        stream=suggested.stream,
        model=suggested.model,
        filter=suggested.filter,
        mappings=tuple(_mapping(mapping) for mapping in suggested.all_mappings),
    )


def _mapping(suggested: SuggestedMapping) -> Mapping:
    if suggested.table:
        cases = ", ".join(f"{_quoted(key)}: {_quoted(value)}" for key, value in suggested.table.items())
        text = (
            f"cel.bind(t, {{{cases}}}, "
            f'text(record.{suggested.field}) in t ? t[text(record.{suggested.field})] : "")'
        )
        return Mapping(target=suggested.target, kind="expression", expression=text)
    if suggested.expression:
        return Mapping(target=suggested.target, kind="expression", expression=suggested.expression)
    return Mapping(target=suggested.target, kind="field", source=suggested.field or "")


def _quoted(text: str) -> str:
    """A literal of CEL."""
    return msgspec.json.encode(text).decode()


def _settings(name: str, schedule_seconds: int, version: int) -> dict[str, object]:
    """For the audit log; the version's definition is kept for good in `recipe_versions`."""
    return {"name": name.strip(), "schedule_seconds": schedule_seconds, "version": version}


def _version(
    tenant_id: UUID,
    recipe_id: UUID,
    version: int,
    principal: Principal,
    definition: RecipeDefinition,
    schedule_seconds: int,
    note: str | None,
) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "recipe_id": recipe_id,
        "version": version,
        "definition": msgspec.to_builtins(definition),
        "schedule_seconds": schedule_seconds,
        "author_id": principal.id,
        "author": principal.label,
        "note": note,
    }
