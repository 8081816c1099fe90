"""Models, connectors and recipes over the API."""

from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.service import ConnectionService
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import ForbiddenError
from trunkline.kernel.principal import Principal
from trunkline.kernel.problems import PROBLEM, FieldError, Problem, request_id
from trunkline.kernel.scopes import needs
from trunkline.recipes.errors import InvalidDefinitionError
from trunkline.recipes.schemas import ConnectorList, ConnectorOut, ModelList, RecipeList, RecipeOut
from trunkline.recipes.service import RecipeService
from trunkline.recipes.target import TargetModel, check_model
from trunkline.sdk.registry import Connectors


def invalid_definition(request: Request[Any, Any, Any], error: InvalidDefinitionError) -> Response[Problem]:
    """422 with every error, each with the path of its field."""
    first = error.errors[0]
    problem = Problem(
        title="Unprocessable Content",
        status=422,
        code="invalid_definition",
        detail=f"{first.path}: {first.message}"
        if len(error.errors) == 1
        else "Several fields are wrong; see errors.",
        request_id=request_id(request.scope),
        field=first.path if len(error.errors) == 1 else None,
        errors=[FieldError(one.message, one.path, "body") for one in error.errors],
    )
    return Response(problem, status_code=422, media_type=PROBLEM)


class ModelController(Controller):
    path = "/v1/models"
    tags = ("Models",)
    dependencies = ONCE
    exception_handlers = {InvalidDefinitionError: invalid_definition}  # noqa: RUF012 - Litestar's own shape

    @get(**needs("recipes:read"), summary="Target models", operation_id="listModels")
    async def list_models(
        self,
        db: NamedDependency[Database],
        recipes: NamedDependency[RecipeService],
        principal: NamedDependency[Principal],
    ) -> ModelList:
        """Those that come with the product and those declared, each in its newest version.

        No tenant need be named: a key of the whole installation then sees the installation's own.
        """
        owner = principal.tenant_id or OPERATOR
        async with db.tenant(owner) as session:
            return ModelList(list((await recipes.models(session, owner)).values()))

    @post(status_code=201, **needs("recipes:write"), summary="Declare a model", operation_id="declareModel")
    async def declare_model(
        self,
        once: NamedDependency[Once],
        recipes: NamedDependency[RecipeService],
        principal: NamedDependency[Principal],
        data: JSONBody[TargetModel],
    ) -> Response[TargetModel]:
        """For every tenant of the installation, by a key of the whole installation, naming no tenant.

        A model's version never changes: declare the next `version` to change a model. A model of a name that
        comes with the product takes its place.
        """
        if principal.tenant_id is not None:
            raise ForbiddenError(
                "A model is declared for the whole installation: use a key that is bound to no tenant, "
                "and name none."
            )
        errors = check_model(data)
        if errors:
            raise InvalidDefinitionError(errors)

        async def deed(session: AsyncSession) -> TargetModel:
            await recipes.declare_model(session, OPERATOR, data)
            return data

        return await once(OPERATOR, deed)


class ConnectorController(Controller):
    path = "/v1/connectors"
    tags = ("Connectors",)

    @get(
        **needs("recipes:read"),
        summary="Connectors of this installation",
        operation_id="listConnectors",
    )
    async def list_connectors(
        self, connectors: NamedDependency[Connectors], principal: NamedDependency[Principal]
    ) -> ConnectorList:
        """With what they read, what they ask the customer to allow, and the recipes they suggest.

        Of a tenant that is named, those that it may connect; else those that every tenant may.
        """
        await connectors.refresh()
        offered = connectors.offered(principal.tenant_id or OPERATOR)
        return ConnectorList([ConnectorOut.of(manifest) for manifest in offered])


class RecipeController(Controller):
    path = "/v1/connections/{connection_id:uuid}/recipes"
    tags = ("Recipes",)

    @get(**needs("recipes:read"), summary="Recipes of a connection", operation_id="listRecipes")
    async def list_recipes(
        self,
        db: NamedDependency[Database],
        connections: NamedDependency[ConnectionService],
        recipes: NamedDependency[RecipeService],
        tenant_id: NamedDependency[UUID],
        connection_id: FromPath[UUID],
    ) -> RecipeList:
        """With the definition in force; removed ones are left out."""
        async with db.tenant(tenant_id) as session:
            await connections.get(session, tenant_id, connection_id)
            found = await recipes.of_connection(session, tenant_id, connection_id)
        return RecipeList([RecipeOut.of(recipe) for recipe in found])
