"""The portal on a real database, with two tenants whose rows are made by hand."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import insert

from trunkline.actions import repository as calls
from trunkline.actions.running import sealed_place
from trunkline.audit.service import append
from trunkline.connections.models import Connection
from trunkline.deliveries.schemas import EndpointIn
from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.models import Recipe, RecipeVersion
from trunkline.reviews import repository as reviews
from trunkline.runs.models import Change, Entity, Quarantined, Record, Run, Stream
from trunkline.runs.service import document_context
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline.vault.sealed import place
from trunkline.web import Web
from trunkline.webhooks.models import InboundEvent, Replay
from trunkline_connectors.catalogue import manifests
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.seed import Seeded
from trunkline_tenants.throttle import Throttle
from trunkline_ui.assets import static_file
from trunkline_ui.auth import AuthPages
from trunkline_ui.portal.routes import PORTAL
from trunkline_ui.rendering import error_page, template_config

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"
SANDBOX = "http://127.0.0.1:9"


class Made(msgspec.Struct, frozen=True):
    """What `Factory.whole` left behind."""

    tenant_id: UUID
    connection_id: UUID
    stream: str
    run_id: UUID
    recipe_id: UUID
    external_id: str


class Factory:
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

    async def review(self, made: Made, *, doubtful: bool = False, stream: str = "contacts") -> UUID:
        """An open one, and the issue that tells of it."""
        review_id = new_id()
        async with self.db.tenant(made.tenant_id) as session:
            await reviews.add(
                session,
                made.tenant_id,
                review_id,
                connection_id=made.connection_id,
                stream=stream,
                count=60,
                total=120,
                doubtful=doubtful,
                sample=["51", "a/b <x>"],
                run_id=made.run_id,
            )
            await open_issue(session, made.tenant_id, made.connection_id, "mass_deletion", stream=stream)
        return review_id

    async def written(self, made: Made, state: str = "unknown", **more: Any) -> dict[str, str]:
        """A call of an action, by the name that paths call it."""
        call_id = new_id()
        async with self.db.tenant(made.tenant_id) as session:
            box = await self.services.vault.box(session, made.tenant_id)
            row = {
                "tenant_id": made.tenant_id,
                "id": call_id,
                "connection_id": made.connection_id,
                "action": "update_deal_stage",
                "state": state,
                "count": 1,
                "input": box.seal(b'[{"deal_id":"1","stage":"contractsent"}]', sealed_place(call_id)),
                "key_version": box.version,
                "asked_by": "Acme Desk",
                "asked_at": now(),
                "cause": "unknown_outcome" if state == "unknown" else None,
                "finished_at": now() if state in {"done", "failed", "unknown"} else None,
            }
            await calls.add(session, {**row, **more})
        return {"call_id": str(call_id)}

    async def inbound(self, made: Made) -> dict[str, str]:
        """An event that arrived and a replay of it that was planned, by the names that paths call them."""
        event, replay = new_id(), new_id()
        async with self.db.tenant(made.tenant_id) as session:
            box = await self.services.vault.box(session, made.tenant_id)
            row = {
                "tenant_id": made.tenant_id,
                "id": event,
                "source_id": made.connection_id,
                "identity": event.bytes,
                "connection_id": made.connection_id,
                "endpoint_id": new_id(),
                "connector": "hubspot",
                "event_id": "77",
                "type": "Initech only",
                "received_at": now(),
                "verdict": "verified",
                "headers": box.seal(b"{}", place("inbound_events", event, field="headers")),
                "body": box.seal(b"{}", place("inbound_events", event, field="body")),
                "key_version": box.version,
                "size": 2,
                "request_id": "request-1",
                "expires_at": now() + timedelta(days=30),
                "state": "dead",
            }
            await session.execute(insert(InboundEvent).values(**row))
            plan = {
                "tenant_id": made.tenant_id,
                "id": replay,
                "connection_id": made.connection_id,
                "filter": {},
                "state": "planned",
                "total": 1,
                "calls": 1,
                "up_to": event,
                "created_by": "Ada",
            }
            await session.execute(insert(Replay).values(**plan))
        return {"event_id": str(event), "replay_id": str(replay)}

    async def webhook(self, made: Made) -> dict[str, str]:
        """An endpoint and a test that is on its way there, by the names that paths call them."""
        who = Principal(kind="member", id=str(new_id()), role="owner", label="Ada", tenant_id=made.tenant_id)
        service = self.services.deliveries
        async with self.db.tenant(made.tenant_id) as session:
            view, _ = await service.create(
                session, made.tenant_id, who, EndpointIn(url="http://127.0.0.1:9/", types=["*"])
            )
        async with self.db.tenant(made.tenant_id) as session:
            await service.test(session, made.tenant_id, view.id, who)
        async with self.db.tenant(made.tenant_id) as session:
            (sent,) = await service.deliveries(session, made.tenant_id, endpoint_id=view.id)
            system, _ = await self.services.systems.make(session, made.tenant_id, "Initech only", who)
        return {
            **await self.inbound(made),
            "endpoint_id": str(view.id),
            "delivery_id": str(sent.id),
            "system_id": str(system.id),
        }


class Visitor:
    """A browser of one member."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.csrf = ""

    async def sign_in(self, email: str) -> "Visitor":
        await self.client.get("/login")
        form = {"email": email, "password": PASSWORD, "csrf_token": self.client.cookies["trunkline_form"]}
        answer = await self.client.post("/login", data=form)
        assert answer.status_code == 303, answer.text
        text = (await self.client.get("/portal")).text
        self.csrf = text.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert self.csrf
        return self

    async def get(self, path: str, *, target: str = "") -> Any:
        headers = {"hx-request": "true", "hx-target": target} if target else {}
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, **data: str) -> Any:
        return await self.client.post(path, data={"csrf_token": self.csrf, **data})

    async def flash(self, answer: Any) -> str:
        """The page that a redirect leads to."""
        assert answer.status_code == 303, answer.text
        return (await self.client.get(answer.headers["location"])).text


@pytest.fixture
async def services(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    settings = Settings(
        public_url=ORIGIN,
        database_url=database_url,
        valkey_url=valkey_url,
        data=tmp_path,
        sandbox_url=SANDBOX,
    )
    made = build_services(settings, Connectors(manifests()), application="test")
    yield made
    await made.close()


@pytest.fixture(scope="session")
def stage(make_stage: Any) -> Any:
    return make_stage()


@pytest.fixture
def app(services: Services, stage: Any) -> Web:
    directory, logins = Directory(services.db), Logins(services.db, Throttle(None))
    given = msgspec.structs.asdict(services)
    return stage.create_app(
        services.settings,
        {**given, "directory": directory, "logins": logins},
        api=[],
        pages=[*PORTAL, AuthPages, static_file],
        error_page=error_page,
        guards=[AccessGuard(services.settings, directory)],
        middleware=[Authentication(services.settings, directory, logins)],
        dependencies=DEPENDENCIES,
        template_config=template_config(),
    )


@pytest.fixture(scope="session")
def template(peopled: tuple[str, Seeded]) -> str:
    return peopled[0]


@pytest.fixture
def people(services: Services, peopled: tuple[str, Seeded]) -> Seeded:
    return peopled[1]


@pytest.fixture
def factory(services: Services) -> Factory:
    return Factory(services)


@pytest.fixture
def visitors(app: Web, people: Seeded) -> Any:
    """`await visitors("ada@globex.example")`: signed in, in the test's own event loop."""

    async def enter(email: str) -> Visitor:
        client = AsyncClient(transport=ASGITransport(app=app), base_url=ORIGIN)
        return await Visitor(client).sign_in(email)

    return enter


@pytest.fixture
async def owner(visitors: Any) -> Visitor:
    return await visitors("ada@globex.example")


@pytest.fixture
async def viewer(visitors: Any) -> Visitor:
    return await visitors("vera@globex.example")
