"""A recipe's own pages: what it does, its versions, and what can be done to it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.errors import EvaluatorUnavailableError, InvalidDefinitionError
from trunkline.recipes.repository import counts_of
from trunkline.recipes.service import RecipeService
from trunkline.sdk.registry import Connectors
from trunkline.work.queue import WorkQueue
from trunkline_tenants.permissions import can
from trunkline_ui.recipes import words
from trunkline_ui.recipes.shared import MANAGE, AnyRequest, go_to, place_of_recipe
from trunkline_ui.rendering import Page, page
from trunkline_ui.shells import portal_shell

GROWS = timedelta(minutes=2)
"""For how long after a change the counts on a recipe's page renew themselves."""


class RecipePages(Controller):
    path = "/portal/recipes/{recipe_id:uuid}"
    include_in_schema = False

    @get()
    async def show(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        recipe_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            recipe, place = await place_of_recipe(
                session, tenant_id, recipe_id, connections, recipes, connectors
            )
            versions = await recipes.versions(session, tenant_id, recipe_id)
            counts = await counts_of(session, tenant_id, recipe_id)
        model = place.models.get(recipe.model)
        context: dict[str, Any] = {
            "shell": portal_shell(request, principal, "/portal"),
            "place": place,
            "recipe": recipe,
            "model": model,
            "readable": words.readable(recipe.definition, recipe.schedule_seconds, place.manifest, model),
            "versions": versions,
            "counts": counts,
            "home": f"/portal/recipes/{recipe_id}",
            "growing": recipe.enabled
            and recipe.archived_at is None
            and place.state == "active"
            and (counts.changed_at is None or now() - counts.changed_at < GROWS),
            "may": can(principal, "recipes.manage"),
            "may_sync": can(principal, "runs.start"),
        }
        return page("recipes/recipe.html", context, block="made")

    @get("/versions/{number:int}")
    async def version(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        connectors: NamedDependency[Connectors],
        recipe_id: FromPath[UUID],
        number: FromPath[int],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            recipe, place = await place_of_recipe(
                session, tenant_id, recipe_id, connections, recipes, connectors
            )
            versions = {v.version: v for v in await recipes.versions(session, tenant_id, recipe_id)}
        chosen, earlier = versions.get(number), versions.get(number - 1)
        if chosen is None:
            raise NotFoundError
        model = place.models.get(recipe.model)
        context: dict[str, Any] = {
            "shell": portal_shell(request, principal, "/portal"),
            "place": place,
            "recipe": recipe,
            "version": chosen,
            "readable": words.readable(chosen.definition, chosen.schedule_seconds, place.manifest, model),
            "differences": words.differences(
                (earlier.definition, earlier.schedule_seconds) if earlier else None,
                (chosen.definition, chosen.schedule_seconds),
                model,
            ),
            "earlier": earlier,
            "later": versions.get(number + 1),
            "may": can(principal, "recipes.manage"),
        }
        return page("recipes/version.html", context)

    @post("/versions/{number:int}/restore", status_code=303, opt=MANAGE)
    async def restore(
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
        recipe_id: FromPath[UUID],
        number: FromPath[int],
    ) -> Response[bytes]:
        """The old definition as a new version; what lies between stays readable."""
        given = str((await request.form()).get("based_on", ""))
        address = f"/portal/recipes/{recipe_id}"
        try:
            async with db.tenant(tenant_id) as session:
                recipe, place = await place_of_recipe(
                    session, tenant_id, recipe_id, connections, recipes, connectors
                )
                versions = {v.version: v for v in await recipes.versions(session, tenant_id, recipe_id)}
                old = versions.get(number)
                if old is None or recipe.archived_at is not None:
                    raise NotFoundError
                made = await recipes.save(
                    session,
                    tenant_id,
                    principal,
                    recipe_id,
                    connector=place.manifest.spoken,
                    name=recipe.name,
                    definition=old.definition,
                    schedule_seconds=old.schedule_seconds,
                    based_on=int(given) if given.isdecimal() and len(given) < 10 else 0,
                    note=f"Restored from version {number}",
                )
        except InvalidDefinitionError as error:
            text = f"Version {number} cannot be restored: {error.errors[0].message}"
            return go_to(request, settings, f"{address}/versions/{number}", text, "danger")
        except EvaluatorUnavailableError:
            text = "Expressions cannot be checked at the moment; nothing was changed. Try again in a moment."
            return go_to(request, settings, f"{address}/versions/{number}", text, "danger")
        except ConflictError as error:
            return go_to(request, settings, address, error.message, "warning")
        await work.wake()
        return go_to(request, settings, address, f"Version {number} is in force again, as version {made}.")

    @post("/enabled", status_code=303, opt=MANAGE)
    async def set_enabled(
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
        recipe_id: FromPath[UUID],
    ) -> Response[bytes]:
        value = (await request.form()).get("enabled")
        if value not in {"0", "1"}:
            raise BadInputError("Say whether the recipe is to be on (1) or off (0).", field="enabled")
        async with db.tenant(tenant_id) as session:
            recipe, place = await place_of_recipe(
                session, tenant_id, recipe_id, connections, recipes, connectors
            )
            if recipe.archived_at is not None:
                raise ConflictError("This recipe was removed. Undo that first.")
            await recipes.set_enabled(
                session,
                tenant_id,
                principal,
                recipe_id,
                connector=place.manifest.spoken,
                enabled=value == "1",
            )
        await work.wake()
        text = (
            "The recipe is on again and catches up on what changed meanwhile."
            if value == "1"
            else "The recipe is off. What it made stays as it is."
        )
        return go_to(request, settings, f"/portal/recipes/{recipe_id}", text)

    @post("/removed", status_code=303, opt=MANAGE)
    async def set_removed(
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
        recipe_id: FromPath[UUID],
    ) -> Response[bytes]:
        """Removing leads to the recipe's page, which offers the undo for as long as anybody looks at it."""
        value = (await request.form()).get("removed")
        if value not in {"0", "1"}:
            raise BadInputError(
                "Say whether to remove (1) the recipe or to bring it back (0).", field="removed"
            )
        async with db.tenant(tenant_id) as session:
            _, place = await place_of_recipe(session, tenant_id, recipe_id, connections, recipes, connectors)
            await recipes.set_archived(
                session,
                tenant_id,
                principal,
                recipe_id,
                connector=place.manifest.spoken,
                archived=value == "1",
            )
        await work.wake()
        text = "" if value == "1" else "The recipe is back, with all its versions."
        return go_to(request, settings, f"/portal/recipes/{recipe_id}", text)
