"""The whole application on real servers, one for a module, with a tenant that has a little of everything."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import uvicorn
from redis.asyncio import Redis
from sqlalchemy import insert

from trunkline.connections.models import Connection
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.ids import new_id
from trunkline.kernel.settings import Settings
from trunkline.main import connectors, web_app
from trunkline.runs.models import Run, Stream
from trunkline.services import Services, build_services
from trunkline_tenants.directory import Directory

ORIGIN = "http://testserver.local"
_numbers = itertools.count(1)


class Stand:
    def __init__(self, app: Any, services: Services, port: int) -> None:
        self.app = app
        self.services = services
        self.db = services.db
        self.directory = Directory(services.db)
        self.url = f"http://127.0.0.1:{port}"
        self.clients: list[httpx2.AsyncClient] = []
        self.tenant_id = self.connection_id = UUID(int=0)
        self.key = ""

    def client(self, key: str = "", **headers: str) -> httpx2.AsyncClient:
        """In this event loop; by default with the key of the tenant's own."""
        made = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url=ORIGIN,
            headers={"authorization": f"Bearer {key or self.key}", **headers},
        )
        self.clients.append(made)
        return made

    async def seed(self) -> None:
        self.tenant_id = (await self.directory.create_tenant("globex", "Globex")).id
        await self.directory.create_tenant("initech", "Initech")
        self.key, _ = await self.directory.create_api_key("globex", tenant_id=self.tenant_id)
        await self.directory.authenticate_key(self.key)  # so that no request of a test moves "last used"
        self.connection_id = await self.connection()

    async def connection(self) -> UUID:
        """An active one with a stream and a run that is over."""
        identity, moment = uuid4(), datetime.now(UTC)
        async with self.db.tenant(self.tenant_id) as session:
            await session.execute(
                insert(Connection).values(
                    tenant_id=self.tenant_id,
                    id=identity,
                    connector="hubspot",
                    name="HubSpot",
                    state="active",
                    account_id=str(identity),
                    oauth_client_tenant=OPERATOR,
                    oauth_client_id=UUID(int=7),
                    scopes=["oauth"],
                    via="portal",
                    created_by="test",
                )
            )
            await session.execute(
                insert(Stream).values(
                    tenant_id=self.tenant_id,
                    connection_id=identity,
                    stream="contacts",
                    schedule_seconds=60,
                    freshness_seconds=900,
                    created_at=moment,
                )
            )
            await session.execute(
                insert(Run).values(
                    tenant_id=self.tenant_id,
                    id=new_id(),
                    connection_id=identity,
                    stream="contacts",
                    mode="first",
                    trigger="schedule",
                    state="succeeded",
                    created_at=moment,
                )
            )
        return identity


@pytest.fixture(scope="module")
async def stand(
    servers: EmbeddedServers, copies: Any, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stand]:
    name, number = f"api_{next(_numbers)}", 63
    valkey_url = f"unix://{servers.valkey.socket}?db={number}"
    valkey = Redis.from_url(valkey_url)
    await valkey.flushdb()
    await valkey.aclose()
    folder: Path = tmp_path_factory.mktemp("api")
    settings = Settings(
        data=folder,
        public_url=ORIGIN,
        database_url=await copies.make(name, migrated),
        valkey_url=valkey_url,
        sandbox_url="http://127.0.0.1:9",
        access_log=False,
    )
    app = web_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on", ws="none")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.02)
    services = build_services(settings, connectors(), application="test")
    made = Stand(app, services, server.servers[0].sockets[0].getsockname()[1])
    await made.seed()
    yield made
    for client in made.clients:
        await client.aclose()
    server.should_exit = True
    await task
    await services.close()
    await copies.drop(name)


@pytest.fixture
def api(stand: Stand) -> httpx2.AsyncClient:
    return stand.client()
