"""The web application with connections and widget, a real database, and the sandbox's HubSpot over HTTP."""

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx2
import pytest
from litestar import Request, Response, post
from litestar.di import NamedDependency
from sqlalchemy import text

from trunkline.access.controllers import ConnectSessionController
from trunkline.access.service import AccessService
from trunkline.connections.controllers import ConnectionController
from trunkline.connections.cookies import flow_cookie
from trunkline.connections.service import ConnectionService
from trunkline.health.service import HealthService
from trunkline.idempotency.service import Idempotency
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.throttle import Throttle
from trunkline_ui.auth import AuthPages
from trunkline_ui.rendering import error_page, template_config
from trunkline_ui.widget.controllers import ROUTES

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

ORIGIN = "http://127.0.0.1:8700"
PRODUCT = "http://localhost:9999"
PASSWORD = "correct horse battery"
CLIENT = OAuthClient("app-1", "very-secret", (f"{ORIGIN}/oauth/callback/hubspot",), "Trunkline")


class Listener:
    """Records what a connection's life tells others."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    async def activated(self, session, connection, suggested, principal) -> None:
        self.heard.append(("activated", connection.id, tuple(suggested), principal.kind))

    async def reconnected(self, session, connection) -> None:
        self.heard.append(("reconnected", connection.id))

    async def ending(self, session, connection) -> bool:
        return False

    async def stopped(self, session, connection) -> None:
        self.heard.append(("stopped", connection.id))


@pytest.fixture
def others() -> list[HubSpotSimulator]:
    """Providers besides HubSpot; with `registry` for a test to replace."""
    return []


@pytest.fixture
def registry() -> Connectors:
    return Connectors(manifests())


@pytest.fixture
def hubspot(others, threads) -> Iterator[SimpleNamespace]:
    simulator = HubSpotSimulator(clients=[CLIENT])
    accounts = [account.id for account in simulator.accounts]
    with threads.serve(create_sandbox([simulator, *others])) as url:
        yield SimpleNamespace(sim=simulator, url=url, accounts=accounts, oauth=simulator.oauth)


@pytest.fixture(scope="session")
def stage(make_stage):
    return make_stage()


@pytest.fixture
def settings(hubspot, tmp_path) -> Settings:
    return Settings(public_url=ORIGIN, sandbox_url=hubspot.url, data=tmp_path)


@pytest.fixture
async def egress(settings) -> AsyncIterator[Egress]:
    made = Egress(settings)
    yield made
    await made.close()


@pytest.fixture
def make_service(settings, egress, tmp_path, registry):
    """A ConnectionService as another process would have it: its own database pool and vault."""

    def make(db: Database, events=None, connectors=None) -> ConnectionService:
        vault = Vault(LocalKeyFile(tmp_path / "wrapping.key"))
        connectors = connectors or registry
        return ConnectionService(
            settings, db, connectors, Endpoints(settings), egress, vault, WorkQueue(), events
        )

    return make


@pytest.fixture
def events() -> Listener:
    return Listener()


@pytest.fixture
async def connections(db, make_service, events) -> ConnectionService:
    service = make_service(db, events)
    async with db.tenant(OPERATOR) as session:
        await service.clients.register(
            session, OPERATOR, "hubspot", client_id=CLIENT.client_id, secret=CLIENT.client_secret
        )
    return service


@post("/portal/connections/start", status_code=303, opt={"can": "connections.manage"})
async def start(
    request: Request[Any, Any, Any],
    db: NamedDependency[Database],
    settings: NamedDependency[Settings],
    connections: NamedDependency[ConnectionService],
    tenant_id: NamedDependency[UUID],
    principal: NamedDependency[Principal],
) -> Response[None]:
    """As the portal does it."""
    form = await request.form()
    connection_id = form.get("connection_id")
    async with db.tenant(tenant_id) as session:
        begun = await connections.begin(
            session,
            tenant_id,
            principal,
            form.get("connector") or "hubspot",
            connection_id=UUID(connection_id) if connection_id else None,
        )
    cookie = flow_cookie(begun, secure=settings.secure)
    return Response(None, status_code=303, headers={"location": begun.url}, cookies=[cookie])


@pytest.fixture
async def world(db, settings, connections, hubspot, registry, stage) -> SimpleNamespace:
    """Two tenants with an owner each, an API key, and the application."""
    directory, logins = Directory(db), Logins(db, Throttle(None))
    connectors = registry
    access = AccessService(settings, db, connectors, connections)
    tenants = {}
    for slug in ("globex", "initech"):
        tenants[slug] = await directory.create_tenant(slug, slug.title())
        user = await directory.create_user(f"owner@{slug}.example", f"Owner {slug}", PASSWORD)
        await directory.set_member(tenants[slug].id, user.id, "owner")
    key, _ = await directory.create_api_key("product")
    app = stage.create_app(
        settings,
        {
            "settings": settings,
            "db": db,
            "directory": directory,
            "logins": logins,
            "connections": connections,
            "health": HealthService(),
            "connectors": connectors,
            "endpoints": Endpoints(settings),
            "access": access,
            "idempotency": Idempotency(db, Vault(LocalKeyFile(settings.wrapping_key_file)), WorkQueue()),
        },
        api=[ConnectionController, ConnectSessionController],
        pages=[AuthPages, start, *ROUTES],
        error_page=error_page,
        guards=[AccessGuard(settings, directory)],
        middleware=[Authentication(settings, directory, logins)],
        dependencies=DEPENDENCIES,
        template_config=template_config(),
    )
    return SimpleNamespace(app=app, tenants=tenants, key=key, access=access, tenant=tenants["globex"].id)


class Browser:
    """Cookies, redirects by hand, and a person at the provider's consent page."""

    def __init__(self, world, hubspot) -> None:
        self.hubspot = hubspot
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(world.app), base_url=ORIGIN, headers={"origin": ORIGIN}
        )
        self.provider = httpx2.AsyncClient(base_url=hubspot.url)

    async def close(self) -> None:
        await self.client.aclose()
        await self.provider.aclose()

    async def sign_in(self, slug: str = "globex") -> None:
        await self.client.get("/login")
        form = {
            "email": f"owner@{slug}.example",
            "password": PASSWORD,
            "csrf_token": self.client.cookies["trunkline_form"],
        }
        answer = await self.client.post("/login", data=form)
        assert answer.status_code == 303, answer.text

    async def csrf(self, db) -> str:
        async with db.system() as session:
            return str(
                await session.scalar(text("select csrf from login_sessions order by created_at desc limit 1"))
            )

    async def consent(self, url: str, account: str, decision: str = "connect") -> str:
        """Approves at the provider; the address that it sends the browser back to."""
        shown = await self.provider.get(url)
        assert shown.status_code == 200, shown.text
        request = shown.text.partition('name="request" value="')[2].partition('"')[0]
        action = urlsplit(url).path
        answer = await self.provider.post(
            action, data={"request": request, "account": account, "decision": decision}
        )
        return answer.headers["location"]

    async def back(self, location: str) -> httpx2.Response:
        return await self.client.get(location.removeprefix(ORIGIN))


@pytest.fixture
async def make_browser(world, hubspot) -> AsyncIterator[Any]:
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(world, hubspot))
        return made[-1]

    yield make
    for browser in made:
        await browser.close()


@pytest.fixture
async def browser(make_browser) -> Browser:
    return make_browser()


@pytest.fixture
async def product(world) -> AsyncIterator[httpx2.AsyncClient]:
    """The product's backend."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(world.app),
        base_url=ORIGIN,
        headers={"authorization": f"Bearer {world.key}"},
    ) as client:
        yield client


@pytest.fixture
def connect(browser, db, hubspot):
    """A person connects (or reconnects) in the portal; the callback's answer."""

    async def run(account: str | None = None, connection_id: UUID | None = None, **more: Any):
        if "trunkline_session" not in browser.client.cookies:
            await browser.sign_in()
        form = {"csrf_token": await browser.csrf(db)}
        if connection_id:
            form["connection_id"] = str(connection_id)
        begun = await browser.client.post("/portal/connections/start", data=form)
        assert begun.status_code == 303, begun.text
        location = await browser.consent(begun.headers["location"], account or hubspot.accounts[0], **more)
        return await browser.back(location)

    return run


@pytest.fixture
def connected(connect):
    """The id of a connection that the portal just made."""

    async def run(account: str | None = None) -> UUID:
        answer = await connect(account)
        assert answer.status_code == 303, answer.text
        return UUID(answer.headers["location"].rpartition("/")[2])

    return run


@pytest.fixture
async def age(db, world):
    """Lets the tokens of the tenant end in so many seconds."""

    async def run(seconds: int) -> None:
        async with db.tenant(world.tenant) as session:
            await session.execute(
                text("update credentials set expires_at = :at"), {"at": now() + timedelta(seconds=seconds)}
            )

    return run


@pytest.fixture
def exchanges(hubspot):
    """How many code exchanges, of whatever outcome, reached the provider."""

    def count(kind: str = "authorization_code") -> int:
        return sum(number for (_, grant, _), number in hubspot.oauth.token_calls.items() if grant == kind)

    return count


@pytest.fixture
def asked(hubspot, others):
    """Calls of any kind and outcome that reached a token endpoint, of any provider."""
    return lambda: sum(one.token_calls.total() for one in (hubspot.oauth, *(other.oauth for other in others)))


@pytest.fixture
def widget(product, hubspot):
    """The widget's path, step by step, as its scripts take it."""

    class Widget:
        async def session(self, **changes: Any) -> dict[str, Any]:
            body = {
                "tenant": "globex",
                "end_user": {"id": "user-1", "name": "Maya Chen"},
                "connectors": ["hubspot"],
                "recipes": ["contacts"],
                "origin": PRODUCT,
                **changes,
            }
            answer = await product.post("/v1/connect-sessions", json=body)
            assert answer.status_code == 201, answer.text
            return answer.json()

        async def redeem(self, browser: Browser, session: dict[str, Any]) -> str:
            path = f"/widget/sessions/{session['id']}/redeem"
            answer = await browser.client.post(path, json={"token": session["token"]})
            assert answer.status_code == 200, answer.text
            assert "Read contacts" in answer.json()["html"]
            return answer.json()["frame_key"]

        async def authorize(self, browser: Browser, session: dict[str, Any], key: str, **headers: str):
            form = {"frame_key": key, "connector": "hubspot", "nonce": "nonce-of-the-frame-1"}
            path = f"/widget/sessions/{session['id']}/authorize"
            return await browser.client.post(path, data=form, headers=headers)

        async def status(self, browser: Browser, session: dict[str, Any], key: str) -> dict[str, Any]:
            path = f"/widget/sessions/{session['id']}/status"
            return (await browser.client.post(path, json={"frame_key": key})).json()

        async def finish(self, browser: Browser, account: str | None = None, **changes: Any):
            """(session, answer of the popup's last page)."""
            session = await self.session(**changes)
            key = await self.redeem(browser, session)
            begun = await self.authorize(browser, session, key)
            assert begun.status_code == 303, begun.text
            location = await browser.consent(begun.headers["location"], account or hubspot.accounts[0])
            return session, await browser.back(location)

        async def confirm(self, code: str, tenant: str = "globex"):
            return await product.post("/v1/connections/confirm", json={"code": code, "tenant": tenant})

    return Widget()


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]
