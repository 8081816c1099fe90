"""A whole web application with a few routes of each area, on a real database."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient
from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, JSONBody
from sqlalchemy import select

from trunkline.audit import service as audit
from trunkline.connections.models import Connection
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.kernel.settings import Settings
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.web import Web, database_check
from trunkline_tenants.account import Account
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard, requires
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.schemas import Login
from trunkline_tenants.second_factor import SecondFactors
from trunkline_tenants.seed import Seeded
from trunkline_tenants.single_sign_on import SingleSignOn
from trunkline_tenants.throttle import CODE_LIMITS, Throttle
from trunkline_ui.account.pages import AccountPages
from trunkline_ui.account.second_factor import SecondFactorPages
from trunkline_ui.assets import static_file
from trunkline_ui.auth import AuthPages
from trunkline_ui.auth_steps import StepPages
from trunkline_ui.rendering import error_page, template_config
from trunkline_ui.theme import choose_theme

if str(Path(__file__).parent) not in sys.path:  # for `oidc_provider`
    sys.path.insert(0, str(Path(__file__).parent))

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"


class Note(msgspec.Struct):
    text: str
    count: int = 1


class Portal(Controller):
    @get("/portal")
    async def home(
        self,
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        login: NamedDependency[Login],
    ) -> dict[str, Any]:
        return {"name": principal.label, "tenant": str(tenant_id), "csrf": login.csrf, "role": principal.role}

    @get("/portal/connections/{connection_id:uuid}")
    async def one(
        self, db: NamedDependency[Database], tenant_id: NamedDependency[UUID], connection_id: FromPath[UUID]
    ) -> dict[str, Any]:
        async with db.tenant(tenant_id) as session:
            found = (
                await session.execute(select(Connection.name).where(Connection.id == connection_id))
            ).scalar()
        if found is None:
            raise NotFoundError
        return {"name": found}

    @post("/portal/notes", status_code=200, opt={"can": "connections.manage"})
    async def note(
        self,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        data: Annotated[Note, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> dict[str, Any]:
        async with db.tenant(tenant_id) as session:
            await audit.append(session, principal, "note.written", "note", "1", {"count": data.count})
        return {"text": data.text, "count": data.count}

    @post("/portal/files", status_code=200, opt={"can": "connections.manage"})
    async def file(
        self, data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]
    ) -> dict[str, Any]:
        return {"text": data["text"]}

    @get("/portal/owners", guards=[requires("members.manage")])
    async def owners(self) -> str:
        return "only owners"


class Console(Controller):
    @get("/console")
    async def home(self, principal: NamedDependency[Principal]) -> dict[str, Any]:
        return {"name": principal.label, "role": principal.role}

    @get("/console/tenants/{tenant:str}")
    async def tenant(self, tenant_id: NamedDependency[UUID], tenant: FromPath[str]) -> dict[str, Any]:
        return {"tenant": str(tenant_id), "slug": tenant}

    @post("/console/act", status_code=200, opt={"can": "console.act"})
    async def act(self) -> str:
        return "done"


class Api(Controller):
    path = "/v1"
    tags = ("Demo",)
    opt = needs("records:read")["opt"]

    @get("/whoami", summary="Who calls")
    async def whoami(
        self, principal: NamedDependency[Principal], tenant_id: NamedDependency[UUID]
    ) -> dict[str, Any]:
        """The key's `label` and tenant."""
        return {"label": principal.label, "tenant": str(tenant_id)}

    @post("/notes", status_code=200)
    async def note(self, tenant_id: NamedDependency[UUID], data: JSONBody[Note]) -> Note:
        return data

    @get("/broken")
    async def broken(self) -> None:
        raise RuntimeError("secret-in-the-exception")


@get("/nowhere-declared")
async def undeclared(request: Request[Any, Any, Any]) -> str:
    return "signed in"


@pytest.fixture
def settings() -> Settings:
    return Settings(public_url=ORIGIN)


@pytest.fixture
def directory(db: Database) -> Directory:
    return Directory(db)


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
def vault(tmp_path: Path) -> Vault:
    return Vault(LocalKeyFile(tmp_path / "wrapping.key"))


@pytest.fixture
async def sso(db: Database, settings: Settings, directory: Directory) -> AsyncIterator[SingleSignOn]:
    egress = Egress(settings)
    made = SingleSignOn(settings, db, directory, Logins(db, Throttle(None)), egress)
    yield made
    await made.close()
    await egress.close()


@pytest.fixture
def app(
    db: Database, settings: Settings, directory: Directory, vault: Vault, sso: SingleSignOn, stage: Any
) -> Web:
    logins = Logins(db, Throttle(None))
    people = {
        "directory": directory,
        "logins": logins,
        "account": Account(db, logins),
        "second_factors": SecondFactors(db, vault, Throttle(None, CODE_LIMITS), directory, logins),
        "sso": sso,
    }
    return stage.create_app(
        settings,
        {"settings": settings, "db": db, **people},
        api=[Api],
        pages=[
            *(Portal, Console, AuthPages, StepPages, AccountPages, SecondFactorPages),
            *(undeclared, choose_theme, static_file),
        ],
        error_page=error_page,
        guards=[AccessGuard(settings, directory)],
        middleware=[Authentication(settings, directory, logins)],
        dependencies=DEPENDENCIES,
        checks={"database": database_check(db)},
        template_config=template_config(),
    )


def browse(app: Web) -> AsyncClient:
    """In this event loop, as the database's pool needs; Litestar's own test client brings another."""
    transport = ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url=ORIGIN)


@pytest.fixture
async def client(app: Web, people: Seeded) -> AsyncIterator[AsyncClient]:
    async with browse(app) as made:
        yield made


@pytest.fixture
async def other(app: Web, people: Seeded) -> AsyncIterator[AsyncClient]:
    """A second browser."""
    async with browse(app) as made:
        yield made


class Browser:
    """Signs in as people do: open the form, send it back with its token."""

    async def sign_in(self, client: AsyncClient, email: str, password: str = PASSWORD, **fields: str) -> Any:
        await client.get("/login")
        token = client.cookies["trunkline_form"]
        form = {"email": email, "password": password, "csrf_token": token, **fields}
        return await client.post("/login", data=form)

    async def csrf(self, client: AsyncClient) -> str:
        return (await client.get("/portal")).json()["csrf"]


@pytest.fixture
def browser() -> Browser:
    return Browser()
