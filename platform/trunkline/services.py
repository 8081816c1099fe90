"""The platform's services, made once a process and handed to whoever needs them by name."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.access.service import AccessService
from trunkline.actions.running import Runner
from trunkline.actions.service import ACT, ActionService
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.jobs import EXPIRE_PENDING, expire_pending
from trunkline.connections.models import Connection
from trunkline.connections.schemas import AccessToken
from trunkline.connections.service import ConnectionService
from trunkline.deliveries.housekeeping import (
    purge_deliveries,
    recover_everywhere,
    watch_certificate,
    watch_health,
)
from trunkline.deliveries.jobs import SHARED, DeliverHandler
from trunkline.deliveries.outbox import DELIVER, WATCH
from trunkline.deliveries.outbox import PURGE as PURGE_DELIVERIES
from trunkline.deliveries.reader import WebhookReader
from trunkline.deliveries.sender import Sender
from trunkline.deliveries.service import RECOVER, WATCH_CERTIFICATE, DeliveryService
from trunkline.health.service import HealthService
from trunkline.idempotency.jobs import PURGE, purge_answers
from trunkline.idempotency.service import Idempotency
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.packages.jobs import Settling, examine_connector
from trunkline.packages.moving import Mover
from trunkline.packages.service import EXAMINE, SETTLE, PackageService
from trunkline.packages.shelf import PackageShelf
from trunkline.readers.daily import DailyChangesReader
from trunkline.readers.jobs import read_handlers
from trunkline.readers.service import FeedService
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.preview import RecipePreview
from trunkline.recipes.service import RecipeService
from trunkline.resilience.limiter import RateLimiter
from trunkline.reviews.service import ReviewService
from trunkline.runs.calling import Calls
from trunkline.runs.calls import DatabaseBooks
from trunkline.runs.events import RunEvents
from trunkline.runs.jobs import handlers as run_handlers
from trunkline.runs.provider import ProviderClient
from trunkline.runs.samples import Samples
from trunkline.runs.service import RunService
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import key_provider
from trunkline.vault.service import Vault
from trunkline.webhooks.applying import Applier
from trunkline.webhooks.intake import Intake
from trunkline.webhooks.jobs import EXPIRE, SWEEP, HookHandler, expire_payloads, sweep
from trunkline.webhooks.lifecycle import HookEvents
from trunkline.webhooks.own_systems import OwnSystems
from trunkline.webhooks.registering import REGISTER, REMOVE, RegisterHandler, RemoveHandler
from trunkline.webhooks.registrar import Registrar
from trunkline.webhooks.replays import REPLAY, ReplayService
from trunkline.webhooks.repository import PROCESS
from trunkline.webhooks.service import EndpointService
from trunkline.webhooks.sources import Sources
from trunkline.webhooks.waker import Waker
from trunkline.work.fairness import Caps
from trunkline.work.lease import Handler
from trunkline.work.queue import WorkQueue

EVALUATORS = 2
"""Expression processes a process of ours may keep: a preview need not wait for another's."""


DELIVERIES_AT_ONCE = 48
"""Endpoints that a worker process sends to at a time; nearly all of it is waiting."""


class Lane(msgspec.Struct, frozen=True):
    """Kinds of work with places of their own; `slots` None: as the settings say."""

    handlers: dict[str, Handler]
    slots: int | None = None
    caps: Caps | None = None


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
    last_calls: Calls
    """With the access of connections that have ended, until it is revoked."""
    runs: RunService
    feeds: FeedService
    reviews: ReviewService
    health: HealthService
    hooks: EndpointService
    systems: OwnSystems
    intake: Intake
    outward: Egress
    """To webhook endpoints: connections of their own, so that no endpoint keeps a provider waiting."""
    deliveries: DeliveryService
    applier: Applier
    replays: ReplayService
    packages: PackageService
    moves: Mover
    actions: ActionService

    async def start(self) -> None:
        """Raises EvaluatorUnavailableError where expressions cannot run at all."""
        await self.connectors.refresh()
        await self.evaluator.start()

    async def close(self) -> None:
        await self.actions.close()
        await self.evaluator.close()
        await self.connections.close()
        await self.egress.close()
        await self.outward.close()
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
                work=self.work,
            ),
            **read_handlers(self.db, (DailyChangesReader(), WebhookReader())),
            DELIVER: DeliverHandler(self.db, self.vault, Sender(self.outward)),
            PURGE_DELIVERIES: purge_deliveries(self.db),
            RECOVER: recover_everywhere(self.db, self.deliveries.recover_one),
            WATCH: watch_health(self.db, self.health),
            WATCH_CERTIFICATE: watch_certificate(self.db),
            PROCESS: HookHandler(
                db=self.db,
                vault=self.vault,
                connectors=self.connectors,
                connections=self.connections,
                applier=self.applier,
                work=self.work,
            ),
            REGISTER: RegisterHandler(
                db=self.db,
                connectors=self.connectors,
                grants=self.connections,
                endpoints=self.hooks,
                registrar=Registrar(self.provider.calls),
            ),
            REMOVE: RemoveHandler(
                db=self.db,
                connectors=self.connectors,
                grants=self.connections,
                registrar=Registrar(self.last_calls),
            ),
            EXPIRE: expire_payloads(self.db),
            SWEEP: sweep(self.db, self.work),
            REPLAY: self.replays.handler(),
            EXAMINE: examine_connector(self.db),
            SETTLE: Settling(self.db, self.connectors, self.connections, self.work),
            ACT: self.actions.handler(),
        }

    def lanes(self) -> list[Lane]:
        """Kinds of work that run beside each other: who waits for an endpoint takes no place from a sync."""
        every = self.handlers()
        sending = {kind: every.pop(kind) for kind in (DELIVER,)}
        return [Lane(every), Lane(sending, DELIVERIES_AT_ONCE, Caps(tenant=16, connection=SHARED))]


def build_services(settings: Settings, connectors: Connectors, *, application: str) -> Services:
    """`settings` with both URLs filled in. Opens no connection yet."""
    db = Database(settings.database_url, application=application)
    connectors.use(PackageShelf(db))
    valkey = Redis.from_url(settings.valkey_url, socket_timeout=2, socket_connect_timeout=2)
    endpoints, egress = Endpoints(settings), Egress(settings)
    outward = Egress(settings, loopback=True)
    vault, work = Vault(key_provider(settings)), WorkQueue(valkey)
    evaluator = Evaluator(EVALUATORS)
    mapper = RecipeMapper(evaluator)
    runs = RunService(work, vault)
    recipes = RecipeService(connectors, mapper, runs)
    hooks = EndpointService(settings, vault, connectors)
    lifecycle = Lifecycle(recipes, RunEvents(runs), HookEvents(hooks, work))
    connections = ConnectionService(
        settings,
        db,
        connectors,
        endpoints,
        egress,
        vault,
        work,
        lifecycle,
    )
    limiter = RateLimiter(valkey)
    provider = ProviderClient(
        db=db,
        egress=egress,
        endpoints=endpoints,
        connectors=connectors,
        connections=connections,
        limiter=limiter,
    )
    last_calls = Calls(
        books=DatabaseBooks(db),
        egress=egress,
        endpoints=endpoints,
        connections=EndedAccess(connections),
        limiter=limiter,
    )
    applier = Applier(db=db, vault=vault, mapper=mapper, provider=provider, work=work)
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
        previews=RecipePreview(mapper, Samples(db, vault, provider)),
        provider=provider,
        last_calls=last_calls,
        runs=runs,
        feeds=FeedService(),
        reviews=ReviewService(runs),
        health=HealthService(),
        hooks=hooks,
        systems=OwnSystems(vault, hooks, runs, lifecycle),
        intake=Intake(
            db,
            Sources(db, vault, connectors, connections.clients),
            Waker(db, work),
            origin=settings.origin,
        ),
        outward=outward,
        deliveries=DeliveryService(db, vault, outward, work),
        applier=applier,
        replays=ReplayService(db, vault, connectors, applier, work),
        packages=PackageService(db, connectors, work),
        moves=Mover(db, connectors, connections, runs, work),
        actions=ActionService(db, vault, connectors, work, Runner(db, vault, provider, connections)),
    )


class EndedAccess:
    """Tokens of connections that have ended, for what is to be ended at the provider too."""

    def __init__(self, connections: ConnectionService) -> None:
        self._connections = connections

    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> AccessToken:
        return await self._connections.last_access_token(tenant_id, connection_id)

    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
        """It is not renewed any more: `access_token` gives what there is."""


class Lifecycle:
    """What a connection's change means for the others, in order: its recipes, its runs, its webhooks."""

    def __init__(self, recipes: RecipeService, runs: ConnectionEvents, hooks: ConnectionEvents) -> None:
        self._recipes = recipes
        self._runs = runs
        self._hooks = hooks

    async def activated(
        self, session: AsyncSession, connection: Connection, suggested: Sequence[str], principal: Principal
    ) -> None:
        await self._recipes.install_suggested(
            session,
            connection.tenant_id,
            principal,
            connection_id=connection.id,
            connector=connection.spoken,
            keys=suggested,
        )
        await self._runs.activated(session, connection, suggested, principal)
        await self._hooks.activated(session, connection, suggested, principal)

    async def reconnected(self, session: AsyncSession, connection: Connection) -> None:
        await self._runs.reconnected(session, connection)
        await self._hooks.reconnected(session, connection)

    async def ending(self, session: AsyncSession, connection: Connection) -> bool:
        return await self._hooks.ending(session, connection)

    async def stopped(self, session: AsyncSession, connection: Connection) -> None:
        await self._runs.stopped(session, connection)
        await self._hooks.stopped(session, connection)
