"""`/portal/activity`: who did what, newest first."""

from uuid import UUID

from litestar import Controller, get
from litestar.di import NamedDependency

from trunkline.audit.repository import Entry
from trunkline.audit.service import history
from trunkline.connections.service import ConnectionService
from trunkline.health.service import HealthService
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.recipes import repository as recipes_repository
from trunkline_ui.portal.common import AnyRequest, address, asked, frame, moment_cursor, read_moment_cursor
from trunkline_ui.portal.words import deed
from trunkline_ui.rendering import Page, page

SHOWN = 50


class ActivityPages(Controller):
    include_in_schema = False

    @get("/portal/activity")
    async def activity(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        health: NamedDependency[HealthService],
    ) -> Page:
        before = read_moment_cursor(asked(request, "after"))
        async with db.tenant(tenant_id) as session:
            entries = await history(session, tenant_id, before=before, limit=SHOWN + 1)
            names = {str(one.id): one.name for one in await connections.list(session, tenant_id)}
            recipe_ids = [found for entry in entries if (found := _recipe(entry)) is not None]
            recipes = await recipes_repository.names(session, tenant_id, recipe_ids)
            context = await frame(request, session, tenant_id, principal, health, "/portal/activity")
        names |= {str(recipe_id): name for recipe_id, name in recipes.items()}
        shown = entries[:SHOWN]
        last = shown[-1] if len(entries) > SHOWN else None
        context |= {
            "deeds": [deed(entry, names.get(entry.target_id, ""), _address(entry, names)) for entry in shown],
            "later": before is not None,
            "following": address("/portal/activity", after=moment_cursor(last.at, last.id)) if last else "",
        }
        return page("portal/activity.html", context)


def _recipe(entry: Entry) -> UUID | None:
    if entry.target_kind != "recipe":
        return None
    try:
        return UUID(entry.target_id)
    except ValueError:
        return None


def _address(entry: Entry, names: dict[str, str]) -> str:
    if entry.target_id not in names or entry.action == "recipe.archived":
        return ""
    places = {"connection": "/portal/connections/", "recipe": "/portal/recipes/"}
    place = places.get(entry.target_kind)
    return f"{place}{entry.target_id}" if place else ""
