"""A worker that is killed after the provider has answered a refresh, and before the answer is written down."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

from trunkline.connections.provider import ProviderOAuth
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline_connectors.catalogue import manifests

_refresh = ProviderOAuth.refresh


async def refresh_and_die(self, *given):
    await _refresh(self, *given)
    os.kill(os.getpid(), signal.SIGKILL)


async def main(database_url: str, sandbox_url: str, data: str, tenant: str, connection: str) -> None:
    settings = Settings(
        database_url=database_url,
        valkey_url="unix:///nowhere",
        public_url="http://127.0.0.1:8700",
        sandbox_url=sandbox_url,
        data=Path(data),
    )
    services = build_services(settings, Connectors(manifests()), application="dies")
    await services.connections.access_token(UUID(tenant), UUID(connection))


if __name__ == "__main__":
    ProviderOAuth.refresh = refresh_and_die  # type: ignore[method-assign]
    asyncio.run(main(*sys.argv[1:]))
