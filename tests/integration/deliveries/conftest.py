"""Real deliveries to a real receiver on this machine, driven by real work; one database for a module."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from standardwebhooks import Webhook

from trunkline.deliveries.catalogue import ConnectionData
from trunkline.deliveries.outbox import emit
from trunkline.deliveries.schemas import EndpointIn, EndpointView
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.main import connectors
from trunkline.services import build_services
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps
from trunkline.work.lease import Lease
from trunkline.work.together import Together

_numbers = itertools.count(1)


class Got(msgspec.Struct, frozen=True):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Answer(msgspec.Struct, frozen=True):
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"thank you"
    then: Callable[[], Any] | None = None
    """Awaited before it is answered."""
    broken: bool = False
    """The connection ends instead."""


class Receiver:
    """A product's backend: keeps what arrives, answers by path as it is told, 200 by default."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.by: dict[str, Callable[[Got], Answer]] = {}
        """What is answered is said by what came."""
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """Requests at a time, by path."""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server
        self._server.close()

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def of(self, path: str) -> list[Got]:
        return [one for one in self.got if one.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split()
        assert method == "POST"
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers["content-length"]))
        got = Got(path, headers, body)
        self.got.append(got)
        self.now[path] += 1
        self.most[path] = max(self.most[path], self.now[path])
        try:
            queue = self.answers.get(path)
            answer = queue.pop(0) if queue else self.always.get(path, Answer())
            if path in self.by:
                answer = self.by[path](got)
            if answer.then is not None:
                await answer.then()
            await asyncio.sleep(0)
        finally:
            self.now[path] -= 1
        if answer.broken:
            return False
        lines = [f"HTTP/1.1 {answer.status} x", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
        return True


class Harbor:
    def __init__(self, services: Any, receiver: Receiver, owner: asyncpg.Connection) -> None:
        self.services = services
        self.db: Database = services.db
        self.receiver = receiver
        self.owner = owner
        self.deliveries = services.deliveries
        self.handlers = services.handlers()
        self.who = Principal(kind="api_key", id=str(uuid4()), role="product", label="Backend")

    @staticmethod
    def receiver_answer(**given: Any) -> Answer:
        return Answer(**given)

    async def tenant(self, slug: str = "") -> UUID:
        identity = uuid4()
        await self.owner.execute(
            "INSERT INTO tenants (id, slug, name) VALUES ($1, $2, 'X')",
            identity,
            slug or f"t{identity.hex[:12]}",
        )
        return identity

    async def endpoint(self, tenant_id: UUID, path: str = "", **given: Any) -> tuple[EndpointView, Webhook]:
        data = EndpointIn(
            **{"types": ["*"], "url": f"{self.receiver.url}{path or f'/{uuid4().hex}'}"} | given
        )
        async with self.db.tenant(tenant_id) as session:
            view, secret = await self.deliveries.create(session, tenant_id, self.who, data)
        return view, Webhook(secret)

    async def tell(
        self,
        tenant_id: UUID,
        *,
        subject: UUID | None = None,
        name: str = "CRM",
        records: Sequence[UUID] = (),
    ) -> UUID:
        """A connection's event, as its own transaction would tell of it; as if it were of `records`."""
        one = subject or uuid4()
        data = ConnectionData(connection_id=one, connector="hubspot", name=name, state="active")
        async with self.db.tenant(tenant_id) as session:
            return emit(session, tenant_id, "connection.confirmed", data, subject=one, records=list(records))

    async def step(self, *kinds: str, caps: Caps | None = None) -> int:
        """Does what is due once, everything at the same time; how much that was."""
        wanted = list(kinds or self.handlers)
        dispatcher = Dispatcher(
            self.db, wanted, lease_seconds=30, caps=caps or Caps(tenant=99, connection=99)
        )
        batch = await dispatcher.lease(50)
        if batch is None:
            return 0
        await asyncio.gather(*(self.do(handed) for handed in batch.handed))
        return len(batch.handed)

    async def do(self, handed: Any) -> None:
        lease = await self.claim(handed)
        if lease is None:
            return
        outcome = await self.handlers[lease.kind](lease)
        if not lease.finished:
            async with self.db.tenant(handed.tenant_id) as session:
                await lease.finish(session, outcome)

    async def claim(self, handed: Any) -> Lease | None:
        claimed = await Together(self.db, holder="test", seconds=30).claim(handed)
        return Lease(claimed, holder="test", lease_seconds=30) if claimed else None

    async def settle(self, *kinds: str) -> None:
        while await self.step(*kinds):
            pass

    async def forward(self, tenant_id: UUID) -> None:
        """To when the next try of everything is due."""
        await self.owner.execute(
            "UPDATE deliveries SET next_at = now() WHERE tenant_id = $1 AND state = 'pending'", tenant_id
        )
        await self.owner.execute(
            "UPDATE webhook_endpoints SET resting_until = NULL WHERE tenant_id = $1", tenant_id
        )
        await self.owner.execute(
            "UPDATE work SET due_at = now() WHERE tenant_id = $1 AND kind = 'deliver'", tenant_id
        )

    async def listed(self, tenant_id: UUID, **given: Any) -> list[Any]:
        async with self.db.tenant(tenant_id) as session:
            found: list[Any] = await self.deliveries.deliveries(session, tenant_id, **given)
        return found

    async def detail(self, tenant_id: UUID, delivery_id: UUID) -> Any:
        async with self.db.tenant(tenant_id) as session:
            return await self.deliveries.delivery(session, tenant_id, delivery_id)

    async def view(self, tenant_id: UUID, endpoint_id: UUID) -> EndpointView:
        async with self.db.tenant(tenant_id) as session:
            found: EndpointView = await self.deliveries.endpoint(session, tenant_id, endpoint_id)
        return found

    async def failing_for(self, view: EndpointView, lasted: timedelta) -> None:
        await self.owner.execute(
            "UPDATE webhook_endpoints SET failing_since = $2 WHERE id = $1",
            view.id,
            datetime.now(UTC) - lasted,
        )

    async def audited(self, tenant_id: UUID) -> list[str]:
        rows = await self.owner.fetch(
            "SELECT action FROM audit_entries WHERE tenant_id = $1 ORDER BY sequence", tenant_id
        )
        return [row["action"] for row in rows]

    async def connection(self, tenant_id: UUID) -> UUID:
        identity = uuid4()
        async with self.db.tenant(tenant_id) as session:
            await session.execute(
                text(
                    "INSERT INTO connections (tenant_id, id, connector, name, state, account_id,"
                    " oauth_client_tenant, oauth_client_id, scopes, via, created_by)"
                    " VALUES (:t, :c, 'hubspot', 'HubSpot', 'active', '42', :o, :c, '{}', 'portal', 'test')"
                ),
                {"t": tenant_id, "c": identity, "o": OPERATOR},
            )
        return identity


@pytest.fixture(scope="module")
async def harbor(
    servers: EmbeddedServers, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Harbor]:
    name = f"deliveries_{next(_numbers)}"
    admin = await asyncpg.connect(servers.postgres.url_of("postgres"))
    await admin.execute(f"create database {name} template {migrated} strategy file_copy")
    valkey_url = f"unix://{servers.valkey.socket}?db=62"
    valkey = Redis.from_url(valkey_url)
    await valkey.flushdb()
    await valkey.aclose()
    folder: Path = tmp_path_factory.mktemp("deliveries")
    settings = Settings(data=folder, database_url=servers.postgres.url_of(name), valkey_url=valkey_url)
    services = build_services(settings, connectors(), application="test")
    receiver = Receiver()
    await receiver.start()
    owner = await asyncpg.connect(servers.postgres.url_of(name))
    yield Harbor(services, receiver, owner)
    await receiver.stop()
    await owner.close()
    await services.close()
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()
