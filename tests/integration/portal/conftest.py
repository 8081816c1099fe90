"""The portal on a real database, with two tenants whose rows are made by hand."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient

from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline.web import Web
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

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from portal_kit.factory import Factory
from portal_kit.visitor import Visitor

ORIGIN = "http://testserver.local"
SANDBOX = "http://127.0.0.1:9"


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
