"""The whole web application, on real servers, with one connection to the simulated HubSpot."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text

from trunkline.connections.models import Connection
from trunkline.connections.schemas import Tokens
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.settings import Settings
from trunkline.main import connectors, web_app
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthClient
from trunkline.services import Services, build_services
from trunkline.web import Web
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS
from trunkline_tenants.seed import Seeded

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"
CLIENT = OAuthClient("client", "secret", ("http://127.0.0.1:1/oauth/callback/hubspot",))


class Sandbox:
    def __init__(self, simulator: HubSpotSimulator, url: str) -> None:
        self.hubspot = simulator
        self.url = url
        simulator.crm.burst = RateWindow(simulator.now, 10**6, 10)


@pytest.fixture(scope="session")
def sandbox(threads: Any) -> Iterator[Sandbox]:
    simulator = HubSpotSimulator(clients=[CLIENT], portals=PORTALS[1:])
    with threads.serve(create_sandbox([simulator])) as url:
        yield Sandbox(simulator, url)


@pytest.fixture
def settings(database_url: str, valkey_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path,
        public_url=ORIGIN,
        database_url=database_url,
        valkey_url=valkey_url,
        sandbox_url=sandbox.url,
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Beside the application's own, for what a test arranges and looks up."""
    made = build_services(settings, connectors(), application="test")
    yield made
    await made.provider.close()
    await made.close()


@pytest.fixture(scope="session")
def template(peopled: tuple[str, Seeded]) -> str:
    return peopled[0]


@pytest.fixture
def people(db: Database, peopled: tuple[str, Seeded]) -> Seeded:
    return peopled[1]


@pytest.fixture(scope="session")
def stage(make_stage: Any) -> Any:
    return make_stage()


@pytest.fixture
async def app(settings: Settings, people: Seeded, monkeypatch: pytest.MonkeyPatch, stage: Any) -> Web:
    """Previews ask the provider each time, so that a test sees what it arranged."""
    monkeypatch.setattr("trunkline.recipes.preview.KEPT_SECONDS", -1.0)
    monkeypatch.setattr("trunkline.web.create_app", stage.create_app)
    return web_app(settings)


@pytest.fixture
async def web(app: Web) -> AsyncIterator[Web]:
    # in a task of its own: the lifespan must end in the task that began it, which fixtures do not promise
    begun, ended = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            begun.set()
            await ended.wait()

    task = asyncio.create_task(live())
    await begun.wait()
    yield app
    ended.set()
    await task


class Browser:
    """One person's; sends the token with every form."""

    def __init__(self, app: Web) -> None:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url=ORIGIN)
        self.csrf = ""

    async def sign_in(self, email: str) -> "Browser":
        await self._client.get("/login")
        form = {"email": email, "password": PASSWORD, "csrf_token": self._client.cookies["trunkline_form"]}
        answer = await self._client.post("/login", data=form)
        assert answer.status_code == 303
        page = (await self._client.get("/switch-tenant")).text
        self.csrf = page.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert self.csrf
        return self

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self._client.get(path, headers=headers)

    async def post(self, path: str, data: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        return await self._client.post(path, data={"csrf_token": self.csrf, **(data or {})}, headers=headers)

    async def follow(self, answer: httpx2.Response) -> httpx2.Response:
        assert answer.status_code == 303, answer.text[:3000]
        return await self.get(answer.headers["location"])


@pytest.fixture
async def owner(web: Web) -> Browser:
    return await Browser(web).sign_in("ada@globex.example")


@pytest.fixture
async def viewer(web: Web) -> Browser:
    return await Browser(web).sign_in("vera@globex.example")


@pytest.fixture
async def stranger(web: Web) -> Browser:
    """Owner of another tenant."""
    return await Browser(web).sign_in("peter@initech.example")


async def connect(services: Services, sandbox: Sandbox, tenant_id: UUID, account: str) -> UUID:
    """An active connection with a real grant of the simulator's."""
    manifest, connection_id = services.connectors.get("hubspot"), uuid4()
    oauth = sandbox.hubspot.oauth
    grant = Grant(f"grant-{uuid4()}", CLIENT.client_id, account, manifest.auth.scopes, datetime.now(UTC))
    oauth.grants[grant.id] = grant
    issued = oauth._issue(grant, None)
    async with services.db.tenant(OPERATOR) as session:
        await services.connections.clients.register(
            session, OPERATOR, "hubspot", client_id=CLIENT.client_id, secret=CLIENT.client_secret
        )
        client = (
            await session.execute(text("SELECT id FROM oauth_clients WHERE tenant_id = :t"), {"t": OPERATOR})
        ).scalar_one()
    async with services.db.tenant(tenant_id) as session:
        session.add(
            Connection(
                tenant_id=tenant_id,
                id=connection_id,
                connector="hubspot",
                name="HubSpot",
                state="active",
                account_id=account,
                oauth_client_tenant=OPERATOR,
                oauth_client_id=client,
                scopes=list(manifest.auth.scopes),
                via="portal",
                created_by="test",
            )
        )
        await session.flush()
        await services.connections._tokens.store(
            session,
            tenant_id,
            connection_id,
            Tokens(
                access_token=issued.access_token,
                refresh_token=issued.refresh_token,
                expires_at=datetime.fromtimestamp(time.time() + 1800, UTC),
                scopes=None,
            ),
        )
    return connection_id


@pytest.fixture
async def connection_id(services: Services, sandbox: Sandbox, people: Seeded) -> UUID:
    return await connect(services, sandbox, people.tenants["globex"].id, PORTALS[1].id)


@pytest.fixture
def tenant_id(people: Seeded) -> UUID:
    return people.tenants["globex"].id
