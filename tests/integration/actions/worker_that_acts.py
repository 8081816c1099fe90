"""A worker process for tests that kill it: carries out action calls, with settings from the environment."""

import asyncio

from trunkline.actions.service import ACT
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline.work.worker import run_worker
from trunkline_connectors.catalogue import manifests


async def main() -> None:
    settings = Settings.load()
    services = build_services(settings, Connectors(manifests()), application="worker")
    await run_worker(settings, services.db, {ACT: services.actions.handler()})
    await services.close()


if __name__ == "__main__":
    asyncio.run(main())
