"""The portal on a real database, with two tenants whose rows are made by hand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from ui_kit.factory import Factory
from ui_kit.installation import ORIGIN, built, with_pages
from ui_kit.visitor import Visitor

from trunkline.services import Services
from trunkline.web import Web
from trunkline_tenants.seed import Seeded
from trunkline_ui.assets import static_file
from trunkline_ui.auth import AuthPages
from trunkline_ui.portal.routes import PORTAL


@pytest.fixture
async def services(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    async with built(database_url, valkey_url, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def stage(make_stage: Any) -> Any:
    return make_stage()


@pytest.fixture
def app(services: Services, stage: Any) -> Web:
    return with_pages(services, stage, [*PORTAL, AuthPages, static_file])


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
