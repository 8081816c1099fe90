"""What the wizard and the recipe's pages have in common."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.kernel.settings import Settings
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.service import RecipeService
from trunkline.recipes.target import TargetModel
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline_tenants.cookies import Tone, flash_cookie

AnyRequest = Request[Any, Any, Any]

MANAGE = {"can": "recipes.manage"}
"""`opt` of every handler that changes recipes or is of use only to who may."""


class Place(msgspec.Struct, frozen=True):
    """Where a recipe belongs: whose connection, at which provider, with which models to choose from."""

    id: UUID
    name: str
    state: str
    manifest: Manifest
    models: dict[str, TargetModel]

    @property
    def address(self) -> str:
        return f"/portal/connections/{self.id}"

    def crumbs(self) -> list[tuple[str, str]]:
        return [("Connections", "/portal"), (self.name, self.address)]


async def place_of(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    connections: ConnectionService,
    recipes: RecipeService,
    connectors: Connectors,
) -> Place:
    """Raises NotFoundError, also for another tenant's connection."""
    connection: Connection = await connections.get(session, tenant_id, connection_id)
    return Place(
        connection.id,
        connection.name or connection.connector,
        connection.state,
        await connectors.find(connection.spoken),
        await recipes.models(session, tenant_id),
    )


async def place_of_recipe(
    session: AsyncSession,
    tenant_id: UUID,
    recipe_id: UUID,
    connections: ConnectionService,
    recipes: RecipeService,
    connectors: Connectors,
) -> tuple[RecipeInForce, Place]:
    """Raises NotFoundError, also for another tenant's recipe."""
    recipe = await recipes.get(session, tenant_id, recipe_id)
    return recipe, await place_of(session, tenant_id, recipe.connection_id, connections, recipes, connectors)


def go_to(
    request: AnyRequest, settings: Settings, location: str, text: str = "", tone: Tone = "success"
) -> Response[bytes]:
    """303, or what htmx takes for it; `text` is shown there once."""
    cookies = [flash_cookie(settings, text, tone)] if text else []
    if request.headers.get("hx-request") == "true":
        headers = {"hx-redirect": location}
        return Response(b"", status_code=200, headers=headers, media_type="text/html", cookies=cookies)
    headers = {"location": location, "cache-control": "no-store"}
    return Response(b"", status_code=303, headers=headers, media_type="text/html", cookies=cookies)
