"""The product with some of its pages, as the tests of portal and console put it together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline.web import Web
from trunkline_connectors.catalogue import manifests
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.throttle import Throttle
from trunkline_ui.rendering import error_page, template_config

ORIGIN = "http://testserver.local"
NOBODY = "http://127.0.0.1:9"
"""Where a sandbox would be: nothing here calls a provider."""


@asynccontextmanager
async def built(database_url: str, valkey_url: str, data: Path) -> AsyncIterator[Services]:
    settings = Settings(
        public_url=ORIGIN, database_url=database_url, valkey_url=valkey_url, data=data, sandbox_url=NOBODY
    )
    made = build_services(settings, Connectors(manifests()), application="test")
    yield made
    await made.close()


def with_pages(services: Services, stage: Any, pages: Sequence[Any]) -> Web:
    """`stage`: of the fixture `make_stage`."""
    directory, logins = Directory(services.db), Logins(services.db, Throttle(None))
    app: Web = stage.create_app(
        services.settings,
        {**msgspec.structs.asdict(services), "directory": directory, "logins": logins},
        api=[],
        pages=pages,
        error_page=error_page,
        guards=[AccessGuard(services.settings, directory)],
        middleware=[Authentication(services.settings, directory, logins)],
        dependencies=DEPENDENCIES,
        template_config=template_config(),
    )
    return app
