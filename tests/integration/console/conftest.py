"""The console on a real database, with tenants in every state whose rows are made by hand."""

import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import insert
from ui_kit import rows as plain
from ui_kit.installation import ORIGIN, built, with_pages
from ui_kit.visitor import Visitor

from trunkline.health.issues import open_issue
from trunkline.kernel.clock import now
from trunkline.kernel.ids import new_id
from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import pack
from trunkline.services import Services
from trunkline.web import Web
from trunkline.work.models import Work
from trunkline_tenants.directory import Directory
from trunkline_tenants.seed import Seeded
from trunkline_ui.auth import AuthPages
from trunkline_ui.console.routes import CONSOLE

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

EVERY_STATE = {
    "Hooli": "reconnect_needed",
    "Pied Piper": "failing",
    "Vandelay": "degraded",
    "Stark": "delayed",
    "Wayne": "healthy",
    "Soylent": "paused",
}
"""Name -> how `Rows.tenant_at` makes it."""


class Rows(plain.Rows):
    """Of tenants whose people must not show: `personal` stands wherever a person's words can."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.directory = Directory(services.db)

    async def connection(self, tenant_id: UUID, **values: Any) -> UUID:
        personal = {
            "account_label": "somebody@personal.example",
            "created_by": "Ada Personal",
            "end_user_id": "user-personal",
        }
        return await super().connection(tenant_id, **{**personal, **values})

    async def stream(
        self, tenant_id: UUID, connection_id: UUID, stream: str = "contacts", **values: Any
    ) -> None:
        old = {"created_at": now() - timedelta(days=20), "records": 1234}
        await super().stream(tenant_id, connection_id, stream, **{**old, **values})

    async def run(
        self, tenant_id: UUID, connection_id: UUID, stream: str = "contacts", **values: Any
    ) -> UUID:
        return await super().run(tenant_id, connection_id, stream, **{"fetched": 321, **values})

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


@pytest.fixture
async def services(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    async with built(database_url, valkey_url, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def stage(make_stage: Any) -> Any:
    return make_stage()


@pytest.fixture
def app(services: Services, stage: Any) -> Web:
    return with_pages(services, stage, [*CONSOLE, AuthPages])


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
        return await Visitor(client, "/console").sign_in(email)

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
