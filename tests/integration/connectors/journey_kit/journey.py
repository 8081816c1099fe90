"""A connection of one tenant and the provider behind it, driven as people and workers would."""

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2
import msgspec
from sqlalchemy import text

from trunkline.connections.cookies import flow_cookie
from trunkline.connections.schemas import Finished
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.principal import Principal
from trunkline.runs import repository
from trunkline.runs.service import document_context
from trunkline.sandbox.actions import Actions
from trunkline.sdk.manifest import Manifest, OAuth2, Rate
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.services import Services
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.executor import Executor
from trunkline.work.fairness import Caps

ORIGIN = "http://127.0.0.1:8700"


def quick(manifest: Manifest) -> Manifest:
    """Without our own limits."""
    rates = tuple(Rate(bucket=rate.bucket, requests=100_000, seconds=1) for rate in manifest.rates)
    return msgspec.structs.replace(manifest, rates=rates)


class Journey:
    """One connection of one tenant, and the provider behind it."""

    def __init__(self, row: Any, name: str, services: Services, simulator: Any, clock: Any) -> None:
        self.row, self.name, self.services = row, name, services
        self.simulator, self.clock = simulator, clock
        self.actions = Actions(simulator)
        self.manifest = services.connectors.get(name)
        self.tenant = uuid4()
        self.who = Principal(kind="member", id="1", role="owner", label="Ada", tenant_id=self.tenant)
        handlers = services.handlers()
        self.dispatcher = Dispatcher(services.db, list(handlers), lease_seconds=15, caps=Caps())
        self.executor = Executor(
            services.db, handlers, holder="test", lease_seconds=15, heartbeat_seconds=5, ended=lambda: None
        )
        self.connection: UUID | None = None

    async def register(self) -> None:
        """As an operator registers the app at the provider, where there is such a thing."""
        if not any(isinstance(way, OAuth2) for way in self.manifest.ways):
            return
        redirect = f"{self.services.settings.origin}/oauth/callback/{self.name}"
        self.simulator.oauth.register(OAuthClient("client", "secret", (redirect,)))
        async with self.services.db.tenant(OPERATOR) as session:
            await self.services.connections.clients.register(
                session, OPERATOR, self.name, client_id="client", secret="secret"
            )

    async def connect(self, actions: Collection[str] | None = ()) -> Finished:
        """By our own form, by the provider's consent page, or by both; again for a connection that is."""
        connections = self.services.connections
        async with self.services.db.tenant(self.tenant) as session:
            begun = await connections.begin(
                session,
                self.tenant,
                self.who,
                self.name,
                connection_id=self.connection,
                actions=actions,
            )
        cookie = flow_cookie(begun, secure=False)
        cookies = {cookie.key: str(cookie.value)}
        going: Any = begun.url
        if urlsplit(going).path.startswith("/connect/"):
            state = parse_qs(urlsplit(going).query)["state"][0]
            typed = self.row.typed(self.simulator, self.row.account)
            view = await connections.form(self.name, state, cookies, self.who)
            assert self.row.way in {way.key for way in view.ways}
            going = await connections.submit(self.name, state, cookies, self.who, self.row.way, typed)
        if not isinstance(going, Finished):
            back = urlsplit(await self.consent(going))
            query = {key: value[0] for key, value in parse_qs(back.query).items()}
            going = await connections.finish(self.name, back.path, query, cookies, self.who)
        self.connection = going.connection_id
        return going

    async def consent(self, url: str) -> str:
        """A person says yes on the provider's page; where the browser is sent."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            shown = await http.get(url)
            assert shown.status_code == 200, shown.text
            accounts = re.findall(r'name="account" value="([^"]+)"', shown.text)
            assert self.row.account in accounts
            request = re.findall(r'name="request" value="([^"]+)"', shown.text)[0]
            form = {"request": request, "account": self.row.account, "decision": "connect"}
            answer = await http.post(url.partition("?")[0], data=form)
            assert answer.status_code == 302, answer.text
            return answer.headers["location"]

    async def install(self, keys: Sequence[str] = ()) -> None:
        """All suggested recipes, or those."""
        async with self.services.db.tenant(self.tenant) as session:
            await self.services.recipes.install_suggested(
                session,
                self.tenant,
                self.who,
                connection_id=self.connection,  # type: ignore[arg-type]
                connector=self.name,
                keys=keys or [recipe.key for recipe in self.manifest.recipes],
            )

    async def work(self) -> None:
        """All that is due or soon will be, until nothing is."""
        soon = """SELECT 1 FROM work WHERE tenant_id = :tenant AND kind = 'sync'
                  AND due_at < now() + interval '5 seconds'"""
        for _ in range(600):
            batch = await self.dispatcher.lease(20)
            if batch is not None and batch.handed:
                await asyncio.gather(*(self.executor.start(one) for one in batch.handed))
            elif not await self.rows(soon):
                return
            else:
                await asyncio.sleep(0.05)
        raise AssertionError("the work does not end")

    async def sync(self, mode: Any = None, stream: str | None = None) -> None:
        # Exports leave the last minute out.
        self.clock.seconds += 90
        async with self.services.db.tenant(self.tenant) as session:
            await self.services.runs.sync_now(session, self.tenant, self.connection, stream, mode)  # type: ignore[arg-type]
        await self.work()

    async def rows(self, sql: str) -> list[Any]:
        async with self.services.db.tenant(self.tenant) as session:
            return list((await session.execute(text(sql), {"tenant": self.tenant})).all())

    async def state(self) -> str:
        return str((await self.rows("SELECT state FROM connections WHERE tenant_id = :tenant"))[0].state)

    async def documents(self) -> dict[str, dict[str, Any]]:
        """Live records by stream, opened."""
        found: dict[str, dict[str, Any]] = {stream.name: {} for stream in self.manifest.streams}
        async with self.services.db.tenant(self.tenant) as session:
            box = await self.services.vault.box(session, self.tenant)
            sql = """SELECT stream, external_id, document, key_version FROM records
                     WHERE tenant_id = :tenant AND deleted_at IS NULL"""
            for row in await session.execute(text(sql), {"tenant": self.tenant}):
                context = document_context(self.connection, row.stream, row.external_id)  # type: ignore[arg-type]
                opened = box.open(row.document, row.key_version, context)
                found[row.stream][row.external_id] = msgspec.json.decode(opened)
        return found

    async def holds(self) -> None:
        """What is held is what the provider has, and every run went well."""
        async with self.services.db.tenant(self.tenant) as session:
            runs = await repository.runs(session, self.tenant, self.connection, limit=100)  # type: ignore[arg-type]
        troubled = {(run.stream, run.mode, run.state, run.cause) for run in runs if run.state != "succeeded"}
        assert not troubled
        await self.agrees()

    async def settled(self) -> None:
        """No run of now waits or failed."""
        async with self.services.db.tenant(self.tenant) as session:
            runs = await repository.runs(session, self.tenant, self.connection, limit=100)  # type: ignore[arg-type]
        newest = {run.stream: run for run in reversed(runs)}
        assert {run.state for run in newest.values()} == {"succeeded"}

    async def agrees(self) -> None:
        held = await self.documents()
        truth = self.row.truth(self.simulator, self.row.account)
        for stream, documents in truth.items():
            assert held[stream].keys() == documents.keys(), stream
            assert [one for one in documents if held[stream][one] != documents[one]] == [], stream
