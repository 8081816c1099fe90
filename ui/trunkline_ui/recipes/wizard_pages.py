"""The wizard over HTTP: new recipes, suggested ones, and editing. All state is in the form."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.errors import EvaluatorUnavailableError, InvalidDefinitionError
from trunkline.recipes.preview import RecipePreview
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.service import RecipeService, definition_of, standing
from trunkline.sdk.manifest import SuggestedRecipe
from trunkline.sdk.registry import Connectors
from trunkline.work.queue import WorkQueue
from trunkline_ui.recipes import words
from trunkline_ui.recipes.draft import Draft, of_definition, of_form
from trunkline_ui.recipes.shared import MANAGE, AnyRequest, Place, go_to, place_of, place_of_recipe
from trunkline_ui.recipes.wizard import Sheet, Wizard, steps_of
from trunkline_ui.recipes.workbench import Catalogue, Workbench
from trunkline_ui.rendering import Page, page
from trunkline_ui.shells import portal_shell

MAX_SUGGESTED = 50
"""Recipes set up by one click."""
UNAVAILABLE = (
    "Expressions cannot be checked at the moment, so nothing was saved; the cause is on our side. "
    "Your entries are kept: try again in a moment."
)


class RecipeWizard(Controller):
    include_in_schema = False
    opt = MANAGE

    @get("/portal/connections/{connection_id:uuid}/recipes/new")
    async def start(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        previews: NamedDependency[RecipePreview],
        connection_id: FromPath[UUID],
    ) -> Page:
        """The choice; with `?suggested=` one suggestion in detail, with `?step=` the first step."""
        async with db.tenant(tenant_id) as session:
            place = await place_of(session, tenant_id, connection_id, connections, recipes, connectors)
            present = await recipes.of_connection(session, tenant_id, connection_id)
        wizard = Wizard(place, Workbench(previews, place.manifest, tenant_id, connection_id), editing=False)
        given = request.query_params
        if "suggested" in given:
            return await self._suggestion(request, principal, place, wizard, given["suggested"], present)
        if "from" in given:
            draft = self._suggested_draft(place, given["from"])
            return self._show(request, principal, await wizard.open(draft, "mapping"))
        if "step" in given:
            return self._show(request, principal, await wizard.open(Draft(), "source"))
        context = {
            "shell": portal_shell(request, principal, "/portal"),
            "place": place,
            "suggested": [(recipe, self._present(recipe, present)) for recipe in place.manifest.recipes],
            "readable": {
                recipe.key: words.readable(
                    definition_of(recipe),
                    recipe.schedule_seconds,
                    place.manifest,
                    place.models.get(recipe.model),
                )
                for recipe in place.manifest.recipes
            },
        }
        return page("recipes/choose.html", context)

    @post("/portal/connections/{connection_id:uuid}/recipes/new", status_code=200)
    async def press(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        previews: NamedDependency[RecipePreview],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Page | Response[bytes]:
        draft, given = await _read(request)
        async with db.tenant(tenant_id) as session:
            place = await place_of(session, tenant_id, connection_id, connections, recipes, connectors)
        wizard = Wizard(place, Workbench(previews, place.manifest, tenant_id, connection_id), editing=False)
        sheet = await self._pressed(request, wizard, draft, given)
        if given.get("go") != "save" or sheet.errors or _only_preview(request):
            return self._show(request, principal, _at_fault(sheet) if given.get("go") == "save" else sheet)
        try:
            async with db.tenant(tenant_id) as session:
                recipe_id = await recipes.create(
                    session,
                    tenant_id,
                    principal,
                    connection_id=connection_id,
                    connector=place.manifest.spoken,
                    name=sheet.draft.name,
                    definition=sheet.definition,
                    schedule_seconds=sheet.draft.schedule,
                    note=sheet.draft.note[:500] or None,
                )
        except (InvalidDefinitionError, EvaluatorUnavailableError) as error:
            return self._show(request, principal, _refused(sheet, error))
        await work.wake()
        text = f"“{sheet.draft.name}” is saved. It reads the account right away."
        return go_to(request, settings, f"/portal/recipes/{recipe_id}", text)

    @post("/portal/connections/{connection_id:uuid}/recipes/suggested", status_code=303)
    async def use_suggested(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Response[bytes]:
        """`key`, once or several times. Pressed twice it leads to the recipe that is there."""
        keys = [str(one)[:100] for one in (await request.form()).getall("key", [])[:MAX_SUGGESTED]]
        async with db.tenant(tenant_id) as session:
            place = await place_of(session, tenant_id, connection_id, connections, recipes, connectors)
            made = await recipes.install_suggested(
                session,
                tenant_id,
                principal,
                connection_id=connection_id,
                connector=place.manifest.spoken,
                keys=keys,
            )
            suggested = place.manifest.recipe(keys[0]) if keys else None
            present = await recipes.of_connection(session, tenant_id, connection_id)
        await work.wake()
        if not keys:
            return go_to(
                request, settings, f"{place.address}#recipes", "Choose at least one recipe.", "warning"
            )
        if len(made) > 1:
            text = f"{len(made)} recipes are set up. They read the account right away."
            return go_to(request, settings, place.address, text)
        if made:
            text = "The recipe is set up. It reads the account right away."
            return go_to(request, settings, f"/portal/recipes/{made[0]}", text)
        held = self._present(suggested, present) if suggested else None
        target = f"/portal/recipes/{held}" if held else place.address
        return go_to(request, settings, target, "This recipe was already set up.", "info")

    @get("/portal/recipes/{recipe_id:uuid}/edit")
    async def edit(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        previews: NamedDependency[RecipePreview],
        recipe_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            recipe, place = await place_of_recipe(
                session, tenant_id, recipe_id, connections, recipes, connectors
            )
        _must_be_there(recipe)
        wizard = Wizard(place, Workbench(previews, place.manifest, tenant_id, place.id), editing=True)
        draft = of_definition(
            recipe.definition,
            name=recipe.name,
            schedule=recipe.schedule_seconds,
            based_on=recipe.version,
        )
        return self._show(request, principal, await wizard.open(draft, "mapping"), recipe)

    @post("/portal/recipes/{recipe_id:uuid}/edit", status_code=200)
    async def press_edit(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        previews: NamedDependency[RecipePreview],
        work: NamedDependency[WorkQueue],
        recipe_id: FromPath[UUID],
    ) -> Page | Response[bytes]:
        draft, given = await _read(request)
        async with db.tenant(tenant_id) as session:
            recipe, place = await place_of_recipe(
                session, tenant_id, recipe_id, connections, recipes, connectors
            )
        _must_be_there(recipe)
        choice = f"{recipe.stream}/{recipe.model}"
        draft = msgspec.structs.replace(draft, stream=recipe.stream, model=recipe.model, made_for=choice)
        wizard = Wizard(place, Workbench(previews, place.manifest, tenant_id, place.id), editing=True)
        sheet = await self._pressed(request, wizard, draft, given)
        if given.get("go") != "save" or sheet.errors or _only_preview(request):
            shown = _at_fault(sheet) if given.get("go") == "save" else sheet
            return self._show(request, principal, shown, recipe)
        address = f"/portal/recipes/{recipe_id}"
        same = (sheet.definition, draft.name, draft.schedule) == (
            recipe.definition,
            recipe.name,
            recipe.schedule_seconds,
        )
        if same and draft.based_on == recipe.version:
            return go_to(request, settings, address, "Nothing was changed, so no version was made.", "info")
        try:
            async with db.tenant(tenant_id) as session:
                version = await recipes.save(
                    session,
                    tenant_id,
                    principal,
                    recipe_id,
                    connector=place.manifest.spoken,
                    name=sheet.draft.name,
                    definition=sheet.definition,
                    schedule_seconds=sheet.draft.schedule,
                    based_on=sheet.draft.based_on,
                    note=sheet.draft.note[:500] or None,
                )
        except (InvalidDefinitionError, EvaluatorUnavailableError, ConflictError) as error:
            return self._show(request, principal, _refused(sheet, error), recipe)
        await work.wake()
        text = f"Version {version} is saved. The records already held are mapped again."
        return go_to(request, settings, address, text)

    # -- inside -------------------------------------------------------------------------------

    async def _pressed(
        self, request: AnyRequest, wizard: Wizard, draft: Draft, given: dict[str, str]
    ) -> Sheet:
        if not _only_preview(request):
            return await wizard.press(draft, given)
        step = given.get("step") or ""
        if step not in steps_of(editing=wizard.editing):
            raise BadInputError("There is no such step here. Open the page again.", field="step")
        sheet = await wizard.press(draft, {**given, "go": step})
        sheet.seen_stream = given.get("seen_stream", "")
        return sheet if sheet.errors else await wizard.tried(sheet)

    def _show(
        self, request: AnyRequest, principal: Principal, sheet: Sheet, recipe: RecipeInForce | None = None
    ) -> Page:
        action = (
            f"/portal/recipes/{recipe.recipe_id}/edit" if recipe else f"{sheet.place.address}/recipes/new"
        )
        context = {
            **sheet.context(),
            "shell": portal_shell(request, principal, "/portal"),
            "action": action,
            "recipe": recipe,
            "cancel": f"/portal/recipes/{recipe.recipe_id}" if recipe else sheet.place.address,
            "oob": _only_preview(request),
        }
        wrong = not _only_preview(request) and (context["summary"] or sheet.problem)
        return page("recipes/wizard.html", context, block=("wizard", "preview"), status=422 if wrong else 200)

    async def _suggestion(
        self,
        request: AnyRequest,
        principal: Principal,
        place: Place,
        wizard: Wizard,
        key: str,
        present: list[RecipeInForce],
    ) -> Page:
        recipe = place.manifest.recipe(key)
        if recipe is None:
            raise NotFoundError
        draft = self._suggested_draft(place, key)
        sheet: Sheet | None = None
        if request.headers.get("hx-request") == "true" or "preview" in request.query_params:
            sheet = await wizard.tried(await wizard.open(draft, "review"), fresh=True)
        else:
            sheet = Sheet(
                place=place,
                draft=draft,
                step="review",
                editing=False,
                catalogue=Catalogue((), known=False),
                model=place.models.get(draft.model),
            )
        context = {
            **sheet.context(),
            "shell": portal_shell(request, principal, "/portal"),
            "suggestion": recipe,
            "held": self._present(recipe, present),
            "oob": False,
        }
        return page("recipes/suggestion.html", context, block="preview")

    @staticmethod
    def _suggested_draft(place: Place, key: str) -> Draft:
        recipe = place.manifest.recipe(key)
        if recipe is None:
            raise NotFoundError
        return of_definition(definition_of(recipe), name=recipe.name, schedule=recipe.schedule_seconds)

    @staticmethod
    def _present(recipe: SuggestedRecipe, present: list[RecipeInForce]) -> UUID | None:
        found = standing(recipe, present)
        return None if found is None else found.recipe_id


async def _read(request: AnyRequest) -> tuple[Draft, dict[str, str]]:
    """The draft, and the form's other controls that are text."""
    items: list[tuple[str, Any]] = list((await request.form()).multi_items())
    draft = of_form(items)
    return draft, {name: value for name, value in items if name in {"step", "go", "seen_stream"}}


def _only_preview(request: AnyRequest) -> bool:
    headers = request.headers
    return headers.get("hx-request") == "true" and headers.get("hx-target") == "preview"


def _at_fault(sheet: Sheet) -> Sheet:
    """The step that shows the first error."""
    if located := sheet.located():
        sheet.step = located[0][2]
    return sheet


def _refused(sheet: Sheet, error: Exception) -> Sheet:
    if isinstance(error, InvalidDefinitionError):
        sheet.errors = error.errors
        return _at_fault(sheet)
    sheet.problem = error.message if isinstance(error, ConflictError) else UNAVAILABLE
    return sheet


def _must_be_there(recipe: RecipeInForce) -> None:
    if recipe.archived_at is not None:
        raise ConflictError("This recipe was removed. Open it and press “Undo” before you edit it.")
