"""The platform's services, made once a process and handed to whoever needs them by name."""

from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access.service import AccessService
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.jobs import EXPIRE_PENDING, expire_pending
from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.health.service import HealthService
from trunkline.idempotency.jobs import PURGE, purge_answers
from trunkline.idempotency.service import Idempotency
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.preview import RecipePreview
from trunkline.recipes.service import RecipeService
from trunkline.resilience.limiter import RateLimiter
from trunkline.runs.events import RunEvents
from trunkline.runs.jobs import handlers as run_handlers
from trunkline.runs.provider import ProviderClient
from trunkline.runs.service import RunService
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import key_provider
from trunkline.vault.service import Vault
from trunkline.work.lease import Handler
from trunkline.work.queue import WorkQueue

EVALUATORS = 2
"""Expression processes a process of ours may keep: a preview need not wait for another's."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Members are the names by which handlers ask for them."""

    settings: Settings
    db: Database
    valkey: Redis
    connectors: Connectors
    endpoints: Endpoints
    egress: Egress
    vault: Vault
    work: WorkQueue
    idempotency: Idempotency
    connections: ConnectionService
    access: AccessService
    evaluator: Evaluator
    mapper: RecipeMapper
    recipes: RecipeService
    previews: RecipePreview
    provider: ProviderClient
    runs: RunService
    health: HealthService

    async def start(self) -> None:
        """Raises EvaluatorUnavailableError where expressions cannot run at all."""
        await self.evaluator.start()

    async def close(self) -> None:
        await self.evaluator.close()
        await self.connections.close()
        await self.egress.close()
        await self.valkey.aclose()
        await self.db.dispose()

    def handlers(self) -> dict[str, Handler]:
        """What a worker can do, by kind of work."""
        return {
            EXPIRE_PENDING: expire_pending(self.db, self.connections),
            PURGE: purge_answers(self.db),
            **run_handlers(
                settings=self.settings,
                db=self.db,
                vault=self.vault,
                connectors=self.connectors,
                connections=self.connections,
                mapper=self.mapper,
                provider=self.provider,
            ),
        }


def build_services(settings: Settings, connectors: Connectors, *, application: str) -> Services:
    """`settings` with both URLs filled in. Opens no connection yet."""
    db = Database(settings.database_url, application=application)
    valkey = Redis.from_url(settings.valkey_url, socket_timeout=2, socket_connect_timeout=2)
    endpoints, egress = Endpoints(settings), Egress(settings)
    vault, work = Vault(key_provider(settings)), WorkQueue(valkey)
    evaluator = Evaluator(EVALUATORS)
    mapper = RecipeMapper(evaluator)
    runs = RunService(work, vault)
    recipes = RecipeService(connectors, mapper, runs)
    connections = ConnectionService(
        settings, db, connectors, endpoints, egress, vault, work, Lifecycle(recipes, RunEvents(runs))
    )
    provider = ProviderClient(
        db=db,
        egress=egress,
        endpoints=endpoints,
        connectors=connectors,
        connections=connections,
        limiter=RateLimiter(valkey),
    )
    return Services(
        settings=settings,
        db=db,
        valkey=valkey,
        connectors=connectors,
        endpoints=endpoints,
        egress=egress,
        vault=vault,
        work=work,
        idempotency=Idempotency(db, vault, work),
        connections=connections,
        access=AccessService(settings, db, connectors, connections),
        evaluator=evaluator,
        mapper=mapper,
        recipes=recipes,
        previews=RecipePreview(mapper, provider),
        provider=provider,
        runs=runs,
        health=HealthService(),
    )


class Lifecycle:
    """What a connection's change means for the others, in order: its recipes first, then its runs."""

    def __init__(self, recipes: RecipeService, runs: ConnectionEvents) -> None:
        self._recipes = recipes
        self._runs = runs

    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None:
        await self._recipes.install_suggested(
            session,
            connection.tenant_id,
            principal,
            connection_id=connection.id,
            connector=connection.connector,
            keys=suggested,
        )
        await self._runs.activated(session, connection, suggested, principal)

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None:
        await self._runs.reconnected(session, connection)

    async def stopped(self, session: AsyncSession, connection: Connection) -> None:
        await self._runs.stopped(session, connection)
