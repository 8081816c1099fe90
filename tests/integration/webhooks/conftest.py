"""Deliveries to the real intake, on real PostgreSQL; the engine's rig where they become records."""

import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from trunkline.connections.clients import OAuthClients
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.principal import SYSTEM
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.webhooks.applying import Applier
from trunkline.webhooks.intake import Intake
from trunkline.webhooks.jobs import EXPIRE, SWEEP, HookHandler, expire_payloads, sweep
from trunkline.webhooks.repository import PROCESS
from trunkline.webhooks.service import EndpointService
from trunkline.webhooks.sources import Sources
from trunkline.webhooks.waker import Waker
from trunkline.work.dispatcher import Dispatcher
from trunkline.work.fairness import Caps
from trunkline.work.queue import WorkQueue
from trunkline_connectors.catalogue import manifests

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from webhooks_kit.flow import Flow
from webhooks_kit.hooks import ORIGIN, SECRET, Hooks

_spec = importlib.util.spec_from_file_location(
    "webhooks_engine_rig", Path(__file__).parents[1] / "runs" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
engine = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(engine)
sandboxes, sandbox, evaluator = engine.sandboxes, engine.sandbox, engine.evaluator
make_rig, rig = engine.make_rig, engine.rig

_spec = importlib.util.spec_from_file_location(
    "webhooks_deliveries", Path(__file__).parents[1] / "deliveries" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
outward = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(outward)
harbor = outward.harbor
"""Everything put together, and a receiver of the product's."""


@pytest.fixture
def make_hooks(db: Database, tmp_path: Path) -> Callable[..., Any]:
    async def make(**options: Any) -> Hooks:
        settings = Settings(data=tmp_path, public_url=ORIGIN, database_url=db.url)
        vault, connectors = Vault(LocalKeyFile(settings.wrapping_key_file)), Connectors(manifests())
        clients = OAuthClients(db, vault, connectors)
        service = EndpointService(settings, vault, connectors)
        async with db.tenant(OPERATOR) as session:
            await clients.register(session, OPERATOR, "hubspot", client_id="app", secret=SECRET)
            view = await service.of_client(session, OPERATOR, "hubspot")
        intake = Intake(
            db, Sources(db, vault, connectors, clients), Waker(db, WorkQueue()), origin=ORIGIN, **options
        )
        made = Hooks(db, vault, view.url.removeprefix(ORIGIN), intake, service)
        async with db.tenant(OPERATOR) as session:
            made.client_id = (await session.execute(text("SELECT id FROM oauth_clients"))).scalar_one()
        return made

    return make


@pytest.fixture
async def hooks(make_hooks: Callable[..., Any]) -> AsyncIterator[Hooks]:
    made = await make_hooks()
    yield made
    await made.intake.close()


EMPTY = "48120003"


@pytest.fixture
async def flow(rig: Any, sandbox: Any) -> AsyncIterator[Flow]:
    manifest = rig.manifest
    rig.provider.applier = applier = Applier(
        db=rig.db, vault=rig.vault, mapper=rig.mapper, provider=rig.provider, work=rig.work
    )
    rig.handlers |= {
        PROCESS: HookHandler(
            db=rig.db,
            vault=rig.vault,
            connectors=rig.connectors,
            connections=rig.connections,
            applier=applier,
            work=rig.work,
        ),
        EXPIRE: expire_payloads(rig.db),
        SWEEP: sweep(rig.db, rig.work),
    }
    rig.dispatcher = Dispatcher(rig.db, list(rig.handlers), lease_seconds=15, caps=Caps())
    connected = await rig.connect(sandbox, EMPTY)
    await connected.recipe()
    await connected.sync()
    clients = OAuthClients(rig.db, rig.vault, rig.connectors)
    service = EndpointService(rig.settings, rig.vault, rig.connectors)
    async with rig.db.tenant(OPERATOR) as session:
        view = await service.of_client(session, OPERATOR, "hubspot")
    intake = Intake(
        rig.db,
        Sources(rig.db, rig.vault, rig.connectors, clients),
        Waker(rig.db, rig.work),
        origin=ORIGIN,
    )
    path = view.url.removeprefix(rig.settings.origin)
    hooks = Hooks(rig.db, rig.vault, path, intake, service)
    hooks.secret = engine.CLIENT.client_secret
    yield Flow(rig, connected, hooks)
    assert manifest.webhooks is not None
    await intake.close()


__all__ = ["SYSTEM", "evaluator", "harbor", "make_rig", "rig", "sandbox", "sandboxes"]
