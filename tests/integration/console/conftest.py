"""The console on a real database, with tenants in every state whose rows are made by hand."""

import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import insert

from trunkline.connections.models import Connection
from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.ids import new_id
from trunkline.kernel.settings import Settings
from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import pack
from trunkline.runs.models import Run, Stream
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline.web import Web
from trunkline.work.models import Work
from trunkline_connectors.catalogue import manifests
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.seed import Seeded
from trunkline_tenants.throttle import Throttle
from trunkline_ui.auth import AuthPages
from trunkline_ui.console.routes import CONSOLE
from trunkline_ui.rendering import error_page, template_config

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"
EVERY_STATE = {
    "Hooli": "reconnect_needed",
    "Pied Piper": "failing",
    "Vandelay": "degraded",
    "Stark": "delayed",
    "Wayne": "healthy",
    "Soylent": "paused",
}
"""Name -> how `Rows.tenant_at` makes it."""


class Rows:
    """Rows as the engine writes them, one tenant at a time."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.db = services.db
        self.directory = Directory(services.db)

    async def connection(self, tenant_id: UUID, *, state: str = "active", **values: Any) -> UUID:
        identity = new_id()
        row = {
            "tenant_id": tenant_id,
            "id": identity,
            "connector": "hubspot",
            "name": "HubSpot",
            "state": state,
            "account_id": "24681012",
            "account_label": "somebody@personal.example",
            "oauth_client_tenant": OPERATOR,
            "oauth_client_id": UUID(int=7),
            "scopes": ["oauth"],
            "via": "portal",
            "created_by": "Ada Personal",
            "end_user_id": "user-personal",
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
            "created_at": moment - timedelta(days=20),
            "last_success_at": moment - timedelta(seconds=20),
            "next_due_at": moment + timedelta(seconds=40),
            "records": 1234,
            **values,
        }
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                insert(Stream).values(tenant_id=tenant_id, connection_id=connection_id, stream=stream, **row)
            )

    async def run(self, tenant_id: UUID, connection_id: UUID, **values: Any) -> UUID:
        identity, moment = new_id(), now()
        row = {
            "stream": "contacts",
            "mode": "incremental",
            "trigger": "schedule",
            "state": "succeeded",
            "attempt": 1,
            "fetched": 321,
            "created_at": moment - timedelta(seconds=90),
            "started_at": moment - timedelta(seconds=80),
            "finished_at": moment - timedelta(seconds=20),
            **values,
        }
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                insert(Run).values(tenant_id=tenant_id, id=identity, connection_id=connection_id, **row)
            )
        return identity

    async def work(self, tenant_id: UUID, connection_id: UUID, **values: Any) -> None:
        row = {"kind": "sync", "key": f"{connection_id}:contacts", **values}
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                insert(Work).values(tenant_id=tenant_id, id=new_id(), connection_id=connection_id, **row)
            )

    async def issue(self, tenant_id: UUID, connection_id: UUID, cause: str, **options: Any) -> None:
        async with self.db.tenant(tenant_id) as session:
            await open_issue(session, tenant_id, connection_id, cause, **options)

    async def tenant_at(self, name: str, level: str, **connection: Any) -> UUID:
        """A new tenant with one connection at this level, its issue, a run and pending work."""
        slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")[:60]
        tenant_id = (await self.directory.create_tenant(slug, name)).id
        moment, state, stream, cause = now(), "active", {}, ""
        if level == "reconnect_needed":
            state, cause = "reconnect_required", "grant_revoked"
            connection |= {"cause": cause, "state_since": moment - timedelta(hours=2)}
        elif level in {"failing", "degraded"}:
            cause = "provider_error" if level == "failing" else "provider_timeout"
            stream = {
                "failures": 5 if level == "failing" else 1,
                "cause": cause,
                "cause_since": moment - timedelta(minutes=42),
                "last_success_at": moment - timedelta(minutes=50),
                "waiting_until": moment + timedelta(seconds=90),
            }
        elif level == "delayed":
            stream = {"last_success_at": moment - timedelta(hours=5)}
        elif level == "paused":
            state = "paused"
        connection_id = await self.connection(tenant_id, state=state, **connection)
        await self.stream(tenant_id, connection_id, **stream)
        await self.stream(tenant_id, connection_id, "companies", records=56)
        await self.run(tenant_id, connection_id)
        if cause and level != "degraded":
            detail = {"status": 503, "correlation_id": f"corr-{slug}"}
            await self.issue(tenant_id, connection_id, cause, stream="contacts", detail=detail)
            await self.run(tenant_id, connection_id, state="failed", cause=cause)
        await self.work(tenant_id, connection_id, due_at=moment + timedelta(seconds=40))
        return tenant_id

    async def every_state(self) -> dict[str, UUID]:
        """By the tenant's name."""
        return {name: await self.tenant_at(name, level) for name, level in EVERY_STATE.items()}


class Visitor:
    """A browser of one person."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.csrf = ""

    async def sign_in(self, email: str) -> "Visitor":
        await self.client.get("/login")
        form = {"email": email, "password": PASSWORD, "csrf_token": self.client.cookies["trunkline_form"]}
        answer = await self.client.post("/login", data=form)
        assert answer.status_code == 303, answer.text
        text = (await self.client.get("/console")).text
        self.csrf = text.partition('name="csrf-token" content="')[2].partition('"')[0]
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
        sandbox_url="http://127.0.0.1:9",
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
        pages=[*CONSOLE, AuthPages],
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
def rows(services: Services) -> Rows:
    return Rows(services)


@pytest.fixture
async def visitors(app: Web, people: Seeded) -> AsyncIterator[Any]:
    """`await visitors("ada@globex.example")`: signed in, in the test's own event loop."""
    clients: list[AsyncClient] = []

    async def enter(email: str) -> Visitor:
        client = AsyncClient(transport=ASGITransport(app=app), base_url=ORIGIN)
        clients.append(client)
        return await Visitor(client).sign_in(email)

    yield enter
    for client in clients:
        await client.aclose()


@pytest.fixture
async def support(visitors: Any) -> Visitor:
    return await visitors("support@trunkline.example")


@pytest.fixture
async def chief(visitors: Any) -> Visitor:
    return await visitors("chief@trunkline.example")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., bytes]:
    """`make("0.1.1", ("old", "new"), ...)`: the scaffold's package with that version and those edits."""

    def made(
        version: str = "0.1.0", *edits: tuple[str, str], name: str = "acme", contract: str | None = None
    ) -> bytes:
        into = tmp_path / uuid4().hex
        scaffold(name, into)
        if contract is not None:
            (into / name / "webhooks.json").write_text(contract)
        manifest = into / name / "manifest.toml"
        text = manifest.read_text().replace('version = "0.1.0"', f'version = "{version}"')
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        manifest.write_text(text)
        return pack(into / name)

    return made
