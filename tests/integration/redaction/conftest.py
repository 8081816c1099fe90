"""The web application and a worker in this process, on real servers, with every word that they say kept."""

import asyncio
import contextlib
import io
import logging
import re
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
import pytest
import structlog
import uvicorn
from redis.asyncio import Redis
from sqlalchemy import text

from trunkline.connections.models import Connection
from trunkline.connections.schemas import Tokens
from trunkline.kernel import logs
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.settings import Settings
from trunkline.main import connectors, run_worker, web_app
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_oauth import Grant, OAuthClient
from trunkline.services import Services, build_services
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS
from trunkline_tenants.directory import Directory
from trunkline_tenants.seed import seed_people

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"
ACCOUNT = PORTALS[1].id


_CORE = re.compile(r"q\d{4}[0-9a-f]{10}|4915\d{13}", re.IGNORECASE)
_CORE_IN_HEX = re.compile(r"71(?:3\d){4}(?:3\d|6[1-6]){10}|34393135(?:3\d){13}")


class Canaries:
    """Values that must appear nowhere, found again by a core that no code holds."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}
        self.given: list[str] = []

    def _new(self, kind: str) -> str:
        core = f"q{len(self.planted):04d}{secrets.token_hex(5)}"
        self.planted[core] = kind
        return core

    def secret(self, kind: str = "secret") -> str:
        return f"tk-{self._new(kind)}"

    def email(self, kind: str = "email") -> str:
        return f"{self._new(kind)}@people.example"

    def person(self, kind: str = "name") -> str:
        return f"Maya {self._new(kind)} Chén"

    def phone(self, kind: str = "phone") -> str:
        number = f"4915{len(self.planted):04d}{secrets.randbelow(10**9):09d}"
        self.planted[number] = kind
        return f"+{number}"

    def known(self, kind: str, value: str) -> str:
        """A secret that the system made by itself."""
        self.planted[value] = kind
        self.given.append(value)
        return value

    def found(self, where: str) -> list[str]:
        """What `where` holds of them, with its surroundings; in hexadecimal too, as bytes are shown."""
        cores = {match[0].lower(): match.start() for match in _CORE.finditer(where)}
        cores |= {
            bytes.fromhex(match[0]).decode().lower(): match.start() for match in _CORE_IN_HEX.finditer(where)
        }
        cores |= {value: where.find(value) for value in self.given if value in where}
        cores |= {
            value: where.find(value.encode().hex()) for value in self.given if value.encode().hex() in where
        }
        return [
            f"{self.planted[core]}: ...{where[max(0, at - 200) : at + 60]}..."
            for core, at in cores.items()
            if core in self.planted
        ]


class Hostile:
    """In front of the simulator: answers of the test's own, for as many calls as there are."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.given = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not self.answers:
            await self.app(scope, receive, send)
            return
        status, headers, body = self.answers.pop(0)
        self.given += 1
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


class Rig:
    """What a test acts on and searches."""

    def __init__(
        self, settings: Settings, services: Services, sandbox: Hostile, simulator: HubSpotSimulator
    ) -> None:
        self.canaries = Canaries()
        self.settings = settings
        self.services = services
        self.sandbox = sandbox
        self.simulator = simulator
        self.logs = io.StringIO()
        self.valkey: list[str] = []
        self.answers: list[tuple[str, str]] = []
        self.app: Any = None
        self.tenant_id = UUID(int=0)
        self.key = ""
        self.client_secret = ""

    def browser(self) -> httpx2.AsyncClient:
        """Every answer that is an error is kept."""

        async def keep(answer: httpx2.Response) -> None:
            if answer.status_code >= 400:
                await answer.aread()
                whole = f"{answer.headers}\n{answer.text}"
                self.answers.append(
                    (f"{answer.request.method} {answer.request.url.path} {answer.status_code}", whole)
                )

        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url=ORIGIN,
            event_hooks={"response": [keep]},
            headers={"origin": ORIGIN},
        )

    async def signed_in(self, email: str) -> tuple[httpx2.AsyncClient, str]:
        browser = self.browser()
        await browser.get("/login")
        form = {"email": email, "password": PASSWORD, "csrf_token": browser.cookies["trunkline_form"]}
        assert (await browser.post("/login", data=form)).status_code == 303
        page = (await browser.get("/console" if "trunkline" in email else "/portal")).text
        return browser, page.partition('name="csrf-token" content="')[2].partition('"')[0]

    async def connect(self) -> UUID:
        manifest, connection_id = self.services.connectors.get("hubspot"), uuid4()
        oauth = self.simulator.oauth
        client_id = next(iter(oauth.clients))
        grant = Grant(f"grant-{uuid4()}", client_id, ACCOUNT, manifest.auth.scopes, datetime.now(UTC))
        oauth.grants[grant.id] = grant
        issued = oauth._issue(grant, None)
        self.canaries.known("access token", issued.access_token)
        self.canaries.known("refresh token", issued.refresh_token)
        db = self.services.db
        async with db.tenant(OPERATOR) as session:
            await self.services.connections.clients.register(
                session, OPERATOR, "hubspot", client_id=client_id, secret=self.client_secret
            )
            client = await session.scalar(text("SELECT id FROM oauth_clients WHERE connector = 'hubspot'"))
        async with db.tenant(self.tenant_id) as session:
            session.add(
                Connection(
                    tenant_id=self.tenant_id,
                    id=connection_id,
                    connector="hubspot",
                    name="HubSpot",
                    state="active",
                    account_id=ACCOUNT,
                    oauth_client_tenant=OPERATOR,
                    oauth_client_id=client,
                    scopes=list(manifest.auth.scopes),
                    via="portal",
                    created_by="test",
                )
            )
            await session.flush()
            await self.services.connections._tokens.store(
                session,
                self.tenant_id,
                connection_id,
                Tokens(
                    access_token=issued.access_token,
                    refresh_token=issued.refresh_token,
                    expires_at=datetime.fromtimestamp(time.time() + 1800, UTC),
                    scopes=None,
                ),
            )
        return connection_id

    async def database(self, without: tuple[str, ...]) -> dict[str, str]:
        """Every table as text, whoever's rows; the login is the servers' own superuser."""
        login = await asyncpg.connect(self.settings.database_url)
        try:
            names = await login.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {
                name: str(await login.fetchval(f'SELECT string_agg(t::text, chr(10)) FROM "{name}" AS t'))
                for (name,) in names
                if name not in without
            }
        finally:
            await login.close()


@pytest.fixture
def sandbox() -> Iterator[tuple[Hostile, HubSpotSimulator, str, str]]:
    secret = f"cs-{secrets.token_hex(12)}"
    client = OAuthClient("client", secret, (f"{ORIGIN}/oauth/callback/hubspot",))
    simulator = HubSpotSimulator(clients=[client], portals=PORTALS[1:])
    hostile = Hostile(create_sandbox([simulator]))
    server = uvicorn.Server(
        uvicorn.Config(hostile, host="127.0.0.1", port=0, log_config=None, lifespan="on", ws="none")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield hostile, simulator, url, secret
    server.should_exit = True
    thread.join(10)


@contextlib.contextmanager
def every_word(settings: Settings, into: io.StringIO) -> Iterator[None]:
    """Both shapes of the log at its most talkative, and standard error, in one place."""
    root, before = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, logging.raiseExceptions
    handlers = []
    for shape in ("json", "console"):
        logs.configure(msgspec.structs.replace(settings, log_format=shape, log_level="debug"), "test")
        handlers += root.handlers
    for handler in handlers:
        handler.setStream(into)  # type: ignore[attr-defined]
    root.handlers[:] = handlers
    error, sys.stderr = sys.stderr, into
    try:
        yield
    finally:
        sys.stderr = error
        sys.excepthook, threading.excepthook, sys.unraisablehook, logging.raiseExceptions = hooks
        root.handlers[:], level = before
        root.setLevel(level)
        structlog.reset_defaults()


@pytest.fixture
async def rig(
    database_url: str, valkey_url: str, tmp_path: Path, sandbox: tuple[Hostile, HubSpotSimulator, str, str]
) -> AsyncIterator[Rig]:
    hostile, simulator, url, secret = sandbox
    settings = Settings(
        data=tmp_path,
        public_url=ORIGIN,
        database_url=database_url,
        valkey_url=valkey_url,
        sandbox_url=url,
        access_log=True,
        check_seconds=1,
    )
    services = build_services(settings, connectors(), application="test")
    made = Rig(settings, services, hostile, simulator)
    made.client_secret = made.canaries.known("client secret", secret)
    seeded = await seed_people(Directory(services.db), member_password=PASSWORD, staff_password=PASSWORD)
    made.tenant_id = seeded.tenants["globex"].id
    made.canaries.known("member's password", PASSWORD)
    made.app = web_app(settings)
    begun, ended, listening = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def web() -> None:
        async with made.app.lifespan():
            begun.set()
            await ended.wait()

    async def listen() -> None:
        async with Redis.from_url(valkey_url) as client, client.monitor() as monitor:
            listening.set()
            async for command in monitor.listen():
                made.valkey.append(str(command["command"]))

    with every_word(settings, made.logs):
        tasks = [asyncio.create_task(web()), asyncio.create_task(run_worker(settings, ended))]
        listener = asyncio.create_task(listen())
        await begun.wait()
        await listening.wait()
        try:
            yield made
        finally:
            ended.set()
            await asyncio.gather(*tasks)
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            await services.provider.close()
            await services.close()
