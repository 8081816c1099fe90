"""Rows as the engine writes them."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert

from trunkline.audit.service import append
from trunkline.connections.models import Connection
from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.recipes.models import Recipe, RecipeVersion
from trunkline.runs.models import Change, Entity, Quarantined, Record, Run, Stream
from trunkline.runs.service import document_context
from trunkline.services import Services


class Made(msgspec.Struct, frozen=True):
    """What `Rows.whole` left behind."""

    tenant_id: UUID
    connection_id: UUID
    stream: str
    run_id: UUID
    recipe_id: UUID
    external_id: str


class Rows:
    """Rows as the engine writes them, one tenant at a time."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.db = services.db

    async def connection(
        self, tenant_id: UUID, *, state: str = "active", name: str = "HubSpot", **values: Any
    ) -> UUID:
        identity = new_id()
        row = {
            "tenant_id": tenant_id,
            "id": identity,
            "connector": "hubspot",
            "name": name,
            "state": state,
            "account_id": "24681012",
            "account_label": "acme.hubspot.example",
            "oauth_client_tenant": OPERATOR,
            "oauth_client_id": UUID(int=7),
            "scopes": ["oauth"],
            "via": "portal",
            "created_by": "Ada Byron",
            **values,
        }
        async with self.db.tenant(tenant_id) as session:
            await session.execute(insert(Connection).values(**row))
        return identity

    async def stream(
        self, tenant_id: UUID, connection_id: UUID, stream: str = "contacts", **values: Any
    ) -> None:
        moment = now()
        row = {
            "schedule_seconds": 60,
            "freshness_seconds": 900,
            "last_success_at": moment - timedelta(seconds=20),
            "next_due_at": moment + timedelta(seconds=40),
            "records": 1,
            **values,
        }
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                insert(Stream).values(tenant_id=tenant_id, connection_id=connection_id, stream=stream, **row)
            )

    async def run(
        self, tenant_id: UUID, connection_id: UUID, stream: str = "contacts", **values: Any
    ) -> UUID:
        identity, moment = new_id(), now()
        row = {
            "mode": "incremental",
            "trigger": "schedule",
            "state": "succeeded",
            "attempt": 1,
            "created_at": moment - timedelta(seconds=90),
            "started_at": moment - timedelta(seconds=80),
            "finished_at": moment - timedelta(seconds=20),
            "progress_at": moment - timedelta(seconds=20),
            **values,
        }
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                insert(Run).values(
                    tenant_id=tenant_id, id=identity, connection_id=connection_id, stream=stream, **row
                )
            )
        return identity

    async def recipe(
        self, tenant_id: UUID, connection_id: UUID, name: str = "Contacts", **values: Any
    ) -> UUID:
        identity = new_id()
        definition = {
            "stream": "contacts",
            "model": "contact",
            "mappings": [{"target": "email", "kind": "field", "source": "email"}],
        }
        async with self.db.tenant(tenant_id) as session:
            row = {"created_at": now() - timedelta(hours=1), **values}
            await session.execute(
                insert(Recipe).values(
                    tenant_id=tenant_id,
                    id=identity,
                    connection_id=connection_id,
                    name=name,
                    stream="contacts",
                    model="contact",
                    version=1,
                    schedule_seconds=60,
                    created_by="Ada Byron",
                    **row,
                )
            )
            await session.execute(
                insert(RecipeVersion).values(
                    tenant_id=tenant_id,
                    recipe_id=identity,
                    version=1,
                    definition=definition,
                    schedule_seconds=60,
                    author_id="1",
                    author="Ada Byron",
                    created_at=now() - timedelta(hours=1),
                )
            )
        return identity

    async def record(
        self,
        tenant_id: UUID,
        connection_id: UUID,
        run_id: UUID,
        external_id: str,
        document: dict[str, Any],
        *,
        stream: str = "contacts",
        **values: Any,
    ) -> None:
        encoded = msgspec.json.encode(document)
        async with self.db.tenant(tenant_id) as session:
            box = await self.services.vault.box(session, tenant_id)
            await session.execute(
                insert(Record).values(
                    tenant_id=tenant_id,
                    connection_id=connection_id,
                    stream=stream,
                    external_id=external_id,
                    fingerprint=box.fingerprint(encoded),
                    document=box.seal(encoded, document_context(connection_id, stream, external_id)),
                    key_version=box.version,
                    run_id=run_id,
                    **values,
                )
            )

    async def entity(
        self,
        made: Made,
        external_id: str,
        history: list[dict[str, Any]],
        *,
        first_position: int = 1,
        deleted: bool = False,
    ) -> UUID:
        """`history`: the entity's data after each change; a deletion is one more."""
        identity = new_id()
        place = {
            "tenant_id": made.tenant_id,
            "model": "contact",
            "connection_id": made.connection_id,
            "stream": made.stream,
            "external_id": external_id,
            "recipe_id": made.recipe_id,
            "recipe_version": 1,
            "run_id": made.run_id,
        }
        steps = [("created" if not index else "updated", data) for index, data in enumerate(history)]
        if deleted:
            steps.append(("deleted", history[-1]))
        async with self.db.tenant(made.tenant_id) as session:
            await session.execute(
                insert(Entity).values(
                    **place,
                    id=identity,
                    data=history[-1],
                    fingerprint=hashlib.sha256(external_id.encode()).digest(),
                    revision=len(steps),
                    deleted_at=now() if deleted else None,
                )
            )
            for index, (operation, data) in enumerate(steps):
                await session.execute(
                    insert(Change).values(
                        **place,
                        position=first_position + index,
                        operation=operation,
                        entity_id=identity,
                        revision=index + 1,
                        data=data,
                    )
                )
        return identity

    async def quarantine(self, made: Made, external_id: str, message: str) -> None:
        async with self.db.tenant(made.tenant_id) as session:
            await session.execute(
                insert(Quarantined).values(
                    tenant_id=made.tenant_id,
                    recipe_id=made.recipe_id,
                    external_id=external_id,
                    connection_id=made.connection_id,
                    stream=made.stream,
                    errors=[{"target": "email", "message": message}],
                    recipe_version=1,
                    run_id=made.run_id,
                )
            )

    async def whole(self, tenant_id: UUID, *, text: str = "Zoë Åström", **connection: Any) -> Made:
        """A connection with everything a page can show; `text` stands wherever a stranger's words can."""
        connection_id = await self.connection(
            tenant_id, **{"name": text, "account_label": text, **connection}
        )
        await self.stream(tenant_id, connection_id)
        run_id = await self.run(
            tenant_id, connection_id, fetched=3, created=2, quarantined=1, changes=2, pages=1
        )
        recipe_id = await self.recipe(tenant_id, connection_id, name=text)
        made = Made(tenant_id, connection_id, "contacts", run_id, recipe_id, "51")
        await self.record(
            tenant_id, connection_id, run_id, "51", {"id": "51", "properties": {"firstname": text}}
        )
        await self.record(tenant_id, connection_id, run_id, "52", {"id": "52"}, deleted_at=now())
        await self.record(tenant_id, connection_id, run_id, "53", {"id": "53"})
        before, after = (
            {"first_name": "Before", "email": "old@x.example"},
            {"first_name": text, "email": None},
        )
        await self.entity(made, "51", [before, after])
        await self.entity(made, "52", [{"first_name": text}], first_position=10, deleted=True)
        await self.quarantine(made, "53", f"Email: {text}")
        async with self.db.tenant(tenant_id) as session:
            await open_issue(session, tenant_id, connection_id, "mapping_failed", stream="contacts")
            principal = Principal(kind="member", id="1", role="owner", label=text, tenant_id=tenant_id)
            await append(
                session,
                principal,
                "connection.renamed",
                "connection",
                connection_id,
                reason=text,
                before={"name": "Old"},
                after={"name": text},
            )
        return made
