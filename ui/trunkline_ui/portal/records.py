"""`/portal/records`: what is held, by source or by model, and where each value of a record comes from."""

from uuid import UUID

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.recipes import repository as recipes_repository
from trunkline.recipes.service import RecipeService
from trunkline.runs import repository
from trunkline.runs.schemas import EntityView
from trunkline.runs.service import RunService
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.changed import ChangeStep, change_steps, headline
from trunkline_ui.portal.common import (
    AnyRequest,
    Frame,
    asked,
    asked_id,
    connection_of,
    label_of,
    stream_labels,
    usable,
)
from trunkline_ui.portal.record_lists import of_model, of_source
from trunkline_ui.rendering import Page, page

CHANGES_SHOWN = 20


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipe made of the record, with its history."""

    entity: EntityView
    recipe: str
    model: str
    steps: list[ChangeStep]


class RecordPages(Controller):
    include_in_schema = False

    @get("/portal/records")
    async def browse(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        recipes: NamedDependency[RecipeService],
        runs: NamedDependency[RunService],
    ) -> Page:
        chosen, model = asked_id(request, "connection"), asked(request, "model")
        async with db.tenant(tenant_id) as session:
            found = list(await connections.list(session, tenant_id))
            if chosen is not None:
                await connection_of(connections, session, tenant_id, chosen)
            context = await framed(session, "/portal/records")
            held = await repository.models_held(session, tenant_id)
            models = await recipes.models(session, tenant_id)
            context |= {
                "connections": found,
                "choices": [(one.id, _choice(one, connectors)) for one in found],
                "models": [(name, models[name].label if name in models else name) for name in held],
                "q": asked(request, "q"),
                "model": model,
                "show": "",
                "connection": None,
                "streams": [],
                "stream": "",
                "stream_label": "",
                "quarantined": 0,
            }
            if model:
                context |= await of_model(request, session, tenant_id, model, found, connectors)
            else:
                held_by = await repository.held(session, tenant_id)
                connection = next((one for one in found if one.id == chosen), None) or next(
                    (one for one in found if one.id in held_by), None
                )
                context |= await of_source(request, session, tenant_id, connection, connectors, runs)
        return page("portal/records.html", context)

    @get("/portal/records/{connection_id:uuid}/{stream:str}/{external_id:str}")
    async def show(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        recipes: NamedDependency[RecipeService],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        stream: FromPath[str],
        external_id: FromPath[str],
    ) -> Page:
        if external_id == "-":
            external_id = str(request.query_params.get("id", ""))
        if not usable(stream) or not usable(external_id):
            raise NotFoundError
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            detail = await runs.record(session, tenant_id, connection_id, stream, external_id)
            ids = {one.recipe_id for one in detail.entities} | {one.recipe_id for one in detail.quarantine}
            names = await recipes_repository.names(session, tenant_id, ids)
            models = await recipes.models(session, tenant_id)
            mapped = []
            for entity in detail.entities:
                changes = await repository.changes_of(session, tenant_id, entity.id, limit=CHANGES_SHOWN + 1)
                mapped.append(
                    Mapped(
                        entity=entity,
                        recipe=names.get(entity.recipe_id, "Removed recipe"),
                        model=models[entity.model].label if entity.model in models else entity.model,
                        steps=change_steps(changes, CHANGES_SHOWN),
                    )
                )
            context = await framed(session, "/portal/records")
        title = next((first for one in detail.entities if (first := headline(one.data)[0])), "")
        labels = stream_labels(connectors, connection.spoken)
        context |= {
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "stream": stream,
            "stream_label": labels.get(stream, stream),
            "detail": detail,
            "mapped": mapped,
            "names": names,
            "title": title or f"{labels.get(stream, stream)} {external_id}",
        }
        return page("portal/record.html", context)


def _choice(connection: Connection, connectors: Connectors) -> str:
    label = label_of(connectors, connection.spoken)
    return connection.name if label in connection.name else f"{connection.name} ({label})"
