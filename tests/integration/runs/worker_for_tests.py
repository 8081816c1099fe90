"""A worker process as main.py makes it, for tests that kill it: settings from the environment."""

import asyncio

from redis.asyncio import Redis

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.settings import Settings
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import RecipeMapper
from trunkline.resilience.limiter import RateLimiter
from trunkline.runs.events import RunEvents
from trunkline.runs.jobs import handlers
from trunkline.runs.provider import ProviderClient
from trunkline.runs.service import RunService
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue
from trunkline.work.worker import run_worker
from trunkline_connectors.catalogue import manifests


async def main() -> None:
    settings = Settings.load()
    db = Database(settings.database_url)
    valkey = Redis.from_url(settings.valkey_url)
    connectors = Connectors(manifests())
    vault = Vault(LocalKeyFile(settings.wrapping_key_file))
    egress = Egress(settings)
    endpoints = Endpoints(settings)
    work = WorkQueue(valkey)
    events = RunEvents(RunService(work, vault))
    connections = ConnectionService(settings, db, connectors, endpoints, egress, vault, work, events)
    provider = ProviderClient(
        db=db,
        egress=egress,
        endpoints=endpoints,
        connectors=connectors,
        connections=connections,
        limiter=RateLimiter(valkey),
    )
    async with Evaluator() as evaluator:
        await run_worker(
            settings,
            db,
            handlers(
                settings=settings,
                db=db,
                vault=vault,
                connectors=connectors,
                connections=connections,
                mapper=RecipeMapper(evaluator),
                provider=provider,
                work=WorkQueue(valkey),
            ),
        )
    await provider.close()
    await egress.close()
    await valkey.aclose()
    await db.dispose()


if __name__ == "__main__":
    asyncio.run(main())
