"""The engine on real servers: PostgreSQL, Valkey, and HubSpot's simulator behind HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from trunkline.connections.models import Connection
from trunkline.connections.schemas import Tokens
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.principal import SYSTEM
from trunkline.kernel.settings import Settings
from trunkline.recipes.definition import RecipeDefinition
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.service import RecipeService, definition_of
from trunkline.resilience.budgets import Budget
from trunkline.resilience.limiter import RateLimiter
from trunkline.runs import repository
from trunkline.runs.events import RunEvents
from trunkline.runs.jobs import handlers
from trunkline.runs.provider import ProviderClient
from trunkline.runs.schemas import RunView
from trunkline.runs.service import RunService, document_context
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, Rate
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthClient
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.executor import Executor
from trunkline.work.fairness import Caps
from trunkline.work.queue import WorkQueue
from trunkline_connectors.catalogue import contracts, manifests
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS, Portal

CLIENT = OAuthClient("client", "secret", ("http://127.0.0.1:1/oauth/callback/hubspot",))
NORTHWIND, BLUE_HARBOR, QUIET = (portal.id for portal in PORTALS)


class Sandbox:
    """The simulator, and the address of its server."""

    def __init__(self, simulator: HubSpotSimulator, url: str) -> None:
        self.hubspot = simulator
        self.url = url

    def unlimited(self) -> None:
        self.hubspot.crm.burst = RateWindow(self.hubspot.now, 10**6, 10)
        self.hubspot.crm.search_window = RateWindow(self.hubspot.now, 10**6, 1)

    def truth(self, account: str, kind: str = "contacts") -> dict[str, dict[str, Any]]:
        """What a list gives for each live object, with the manifest's fields."""
        names = next(m for m in manifests() if m.name == "hubspot").stream(kind).field_names  # type: ignore[union-attr]
        crm = self.hubspot.crm
        return {item.id: crm.render(kind, item, names) for item in crm.store.walk(account, kind)}

    def calls(self, ending: str = "") -> int:
        return sum(run.count for run in self.hubspot.log.runs() if run.path.endswith(ending))


@pytest.fixture
def sandboxes(threads: Any) -> Iterator[Callable[..., Sandbox]]:
    """Starts a server in a thread of its own; all end with the test."""
    with ExitStack() as stack:

        def start(*portals: Portal, now: Now = wall_now) -> Sandbox:
            simulator = HubSpotSimulator(clients=[CLIENT], portals=portals or PORTALS, now=now)
            return Sandbox(simulator, stack.enter_context(threads.serve(create_sandbox([simulator]))))

        yield start


@pytest.fixture
def sandbox(sandboxes: Callable[..., Sandbox]) -> Sandbox:
    found = sandboxes()
    found.unlimited()
    return found


@pytest.fixture(scope="session")
async def evaluator() -> AsyncIterator[Evaluator]:
    async with Evaluator() as running:
        yield running


class Rig:
    """Everything that main.py makes, and a few tenants."""

    def __init__(
        self, db: Database, valkey: Redis, settings: Settings, evaluator: Evaluator, manifest: Manifest
    ) -> None:
        self.db = db
        self.settings = settings
        self.manifest = manifest
        self.connectors = Connectors([manifest], contracts=contracts())
        self.vault = Vault(LocalKeyFile(settings.wrapping_key_file))
        self.work = WorkQueue()
        self.valkey = valkey
        self.egress = Egress(settings)
        endpoints = Endpoints(settings)
        self.runs = RunService(self.work, self.vault)
        self.connections = ConnectionService(
            settings,
            db,
            self.connectors,
            endpoints,
            self.egress,
            self.vault,
            self.work,
            RunEvents(self.runs),
        )
        self.mapper = RecipeMapper(evaluator)
        self.recipes = RecipeService(self.connectors, self.mapper, self.runs)
        self.limiter = RateLimiter(valkey)
        self.provider = ProviderClient(
            db=db,
            egress=self.egress,
            endpoints=endpoints,
            connectors=self.connectors,
            connections=self.connections,
            limiter=self.limiter,
        )
        self.handlers = handlers(
            settings=settings,
            db=db,
            vault=self.vault,
            connectors=self.connectors,
            connections=self.connections,
            mapper=self.mapper,
            provider=self.provider,
            work=self.work,
        )
        self.dispatcher = Dispatcher(db, list(self.handlers), lease_seconds=15, caps=Caps())
        self.executor = Executor(
            db,
            self.handlers,
            holder="test",
            lease_seconds=15,
            heartbeat_seconds=5,
            ended=lambda: None,
        )

    async def close(self) -> None:
        await self.provider.close()
        await self.egress.close()
        await self.valkey.aclose()

    async def connect(self, sandbox: Sandbox, account: str, tenant: UUID | None = None) -> "Connected":
        """`account`: a portal of the simulator, or any other name for an empty one."""
        tenant_id, connection_id = tenant or uuid4(), uuid4()
        oauth = sandbox.hubspot.oauth
        grant = Grant(
            f"grant-{uuid4()}", CLIENT.client_id, account, self.manifest.auth.scopes, datetime.now(UTC)
        )
        oauth.grants[grant.id] = grant
        issued = oauth._issue(grant, None)
        async with self.db.tenant(OPERATOR) as session:
            await self.connections.clients.register(
                session, OPERATOR, "hubspot", client_id=CLIENT.client_id, secret=CLIENT.client_secret
            )
            client = (
                await session.execute(
                    text("SELECT id FROM oauth_clients WHERE tenant_id = :t"), {"t": OPERATOR}
                )
            ).scalar_one()
        async with self.db.tenant(tenant_id) as session:
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
                    scopes=list(self.manifest.auth.scopes),
                    via="portal",
                    created_by="test",
                )
            )
            await session.flush()
            await self.connections._tokens.store(
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
        return Connected(self, sandbox, tenant_id, connection_id, account, grant)


class Connected:
    """A tenant's connection."""

    def __init__(
        self, rig: Rig, sandbox: Sandbox, tenant_id: UUID, connection_id: UUID, account: str, grant: Grant
    ) -> None:
        self.rig = rig
        self.sandbox = sandbox
        self.tenant_id = tenant_id
        self.connection_id = connection_id
        self.account = account
        self.grant = grant

    async def recipe(
        self, key: str = "contacts", *, definition: RecipeDefinition | None = None, name: str = "Recipe"
    ) -> UUID:
        suggested = self.rig.manifest.recipe(key)
        assert suggested is not None
        async with self.rig.db.tenant(self.tenant_id) as session:
            return await self.rig.recipes.create(
                session,
                self.tenant_id,
                SYSTEM,
                connection_id=self.connection_id,
                connector="hubspot",
                name=name,
                definition=definition or definition_of(suggested),
                schedule_seconds=60,
            )

    async def save(self, recipe_id: UUID, definition: RecipeDefinition, based_on: int) -> None:
        async with self.rig.db.tenant(self.tenant_id) as session:
            await self.rig.recipes.save(
                session,
                self.tenant_id,
                SYSTEM,
                recipe_id,
                connector="hubspot",
                name="Recipe",
                definition=definition,
                schedule_seconds=60,
                based_on=based_on,
            )

    async def ask(self, mode: Any = None) -> None:
        async with self.rig.db.tenant(self.tenant_id) as session:
            await self.rig.runs.sync_now(session, self.tenant_id, self.connection_id, None, mode)

    async def work(self, rounds: int = 1) -> None:
        """Does what is due now, as a worker would."""
        for _ in range(rounds):
            batch = None
            while batch is None:
                batch = await self.rig.dispatcher.lease(10)
            await asyncio.gather(*(self.rig.executor.start(one) for one in batch.handed))

    async def sync(self, mode: Any = None) -> RunView:
        """Asks for a run and does it; the newest run."""
        await self.ask(mode)
        await self.work()
        return (await self.all_runs())[0]

    async def budget(self, bucket: str = "default") -> Budget:
        """What its calls are charged to."""
        target = await self.rig.provider.target(self.tenant_id, self.connection_id)
        return await self.rig.provider.calls.budget(target, bucket)

    async def due_now(self) -> None:
        await self.rows("UPDATE work SET due_at = now() WHERE tenant_id = :tenant RETURNING id")

    async def all_runs(self) -> list[RunView]:
        async with self.rig.db.tenant(self.tenant_id) as session:
            return await repository.runs(session, self.tenant_id, self.connection_id, limit=100)

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.rig.db.tenant(self.tenant_id) as session:
            return list((await session.execute(text(sql), {"tenant": self.tenant_id, **values})).all())

    async def one(self, sql: str, **values: Any) -> Any:
        return (await self.rows(sql, **values))[0]

    async def documents(self) -> dict[str, Any]:
        """Live records, opened."""
        async with self.rig.db.tenant(self.tenant_id) as session:
            box = await self.rig.vault.box(session, self.tenant_id)
            rows = await session.execute(
                text("""SELECT stream, external_id, document, key_version FROM records
                        WHERE tenant_id = :t AND deleted_at IS NULL AND connection_id = :c"""),
                {"t": self.tenant_id, "c": self.connection_id},
            )
            return {
                row.external_id: msgspec.json.decode(
                    box.open(
                        row.document,
                        row.key_version,
                        document_context(self.connection_id, row.stream, row.external_id),
                    )
                )
                for row in rows
            }

    async def entities(self, recipe_id: UUID | None = None) -> dict[str, Any]:
        rows = await self.rows(
            """SELECT external_id, data FROM entities WHERE tenant_id = :tenant AND deleted_at IS NULL
               AND (CAST(:recipe AS uuid) IS NULL OR recipe_id = :recipe)""",
            recipe=recipe_id,
        )
        return {row.external_id: row.data for row in rows}

    async def positions(self) -> list[int]:
        rows = await self.rows("SELECT position FROM changes WHERE tenant_id = :tenant ORDER BY position")
        return [row.position for row in rows]

    async def replayed(self) -> dict[Any, Any]:
        """The change log, played from the beginning: entity id -> data."""
        state: dict[Any, Any] = {}
        for row in await self.rows(
            """SELECT operation, entity_id, data FROM changes WHERE tenant_id = :tenant ORDER BY position"""
        ):
            if row.operation == "deleted":
                del state[row.entity_id]
            else:
                assert (row.entity_id in state) == (row.operation == "updated")
                state[row.entity_id] = row.data
        return state

    async def stands(self) -> None:
        """The promises that hold after any successful sync."""
        truth = self.sandbox.truth(self.account)
        assert await self.documents() == truth
        positions = await self.positions()
        assert positions == list(range(1, len(positions) + 1))
        live = await self.rows(
            "SELECT id, data FROM entities WHERE tenant_id = :tenant AND deleted_at IS NULL"
        )
        assert await self.replayed() == {row.id: row.data for row in live}
        row = await self.one("SELECT coalesce(sum(records), 0) AS n FROM streams WHERE tenant_id = :tenant")
        assert row.n == len(truth)


def quick(manifest: Manifest) -> Manifest:
    """Without our own limits, for tests that are about something else."""
    rates = tuple(Rate(bucket=rate.bucket, requests=100_000, seconds=1) for rate in manifest.rates)
    return msgspec.structs.replace(manifest, rates=rates)


@pytest.fixture
def make_rig(db: Database, valkey_url: str, tmp_path: Path, evaluator: Evaluator) -> Callable[..., Rig]:
    def make(sandbox: Sandbox, manifest: Manifest | None = None) -> Rig:
        valkey = Redis.from_url(valkey_url)
        settings = Settings(
            data=tmp_path,
            sandbox_url=sandbox.url,
            database_url=db.url,
            valkey_url=valkey_url,
            check_seconds=1,
        )
        return Rig(
            db,
            valkey,
            settings,
            evaluator,
            manifest or quick(next(m for m in manifests() if m.name == "hubspot")),
        )

    return make


@pytest.fixture
async def rig(make_rig: Callable[..., Rig], sandbox: Sandbox) -> AsyncIterator[Rig]:
    made = make_rig(sandbox)
    yield made
    await made.close()


@pytest.fixture
async def northwind(rig: Rig, sandbox: Sandbox) -> Connected:
    """5,000 contacts, some archived."""
    return await rig.connect(sandbox, NORTHWIND)


@pytest.fixture
async def harbor(rig: Rig, sandbox: Sandbox) -> Connected:
    """120 contacts."""
    return await rig.connect(sandbox, BLUE_HARBOR)
