"""Connections whose actions are run, on real servers. `journey_kit` is shared with the connectors' tests."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

if str(Path(__file__).parents[1] / "connectors") not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))

from journey_kit.acting import Acting
from journey_kit.journey import ORIGIN, quick
from journey_kit.rows import ROWS
from journey_kit.way import Ahead

from trunkline.kernel.settings import Settings
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline_connectors.catalogue import manifests


class Wire:
    """Between us and the providers. While `holding`, answers to what changed something there do not come."""

    def __init__(self, app: Any, simulators: list[Any]) -> None:
        self._app = app
        self._simulators = simulators
        self.holding = threading.Event()
        self.keys: list[str] = []
        """Idempotency keys of the requests that had one."""

    def _changes(self) -> int:
        return sum(len(one.store.ledger) for one in self._simulators)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.keys += [value.decode() for name, value in scope["headers"] if name == b"idempotency-key"]
        answer: list[Any] = []

        async def kept(message: Any) -> None:
            answer.append(message)

        before = self._changes()
        await self._app(scope, receive, kept)
        while self.holding.is_set() and self._changes() > before:  # noqa: ASYNC110 - another thread's event
            await asyncio.sleep(0.01)
        for message in answer:
            await send(message)


class Scene:
    """Providers, and connections to them that share a process."""

    def __init__(self, made: dict[str, Acting], wire: Wire) -> None:
        self._made = made
        self.wire = wire

    def __getitem__(self, name: str) -> Acting:
        return self._made[name]


@pytest.fixture
async def scene(
    threads: Any, database_url: str, valkey_url: str, tmp_path: Path
) -> AsyncIterator[Callable[..., Any]]:
    """`await scene("hubspot", "stripe")`: each connected by a tenant of its own, allowed to write."""
    endings: list[Any] = []

    async def make(
        *names: str,
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        settle: float = 0.01,
        tenant: UUID | None = None,
    ) -> Scene:
        clock = Ahead()
        simulators = {name: ROWS[name].make(now=clock) for name in names}
        wire = Wire(create_sandbox(tuple(simulators.values())), list(simulators.values()))
        running = threads.serve(wire)
        url = running.__enter__()
        endings.append(running)
        settings = Settings(
            public_url=ORIGIN,
            database_url=database_url,
            valkey_url=valkey_url,
            data=tmp_path,
            sandbox_url=url,
        )
        known = [change(quick(one)) if one.name in names else one for one in manifests()]
        services = build_services(settings, Connectors(known), application="test")
        made = {}
        for name in names:
            acting = Acting(ROWS[name], name, services, simulators[name], clock, settle=settle)
            acting.tenant = tenant or acting.tenant
            acting.who = msgspec.structs.replace(acting.who, tenant_id=acting.tenant)
            endings.append(acting.service)
            await acting.register()
            await acting.connect(actions=None)
            made[name] = acting
        endings.append(services)
        return Scene(made, wire)

    yield make
    for one in endings:
        if hasattr(one, "close") and not hasattr(one, "__exit__"):
            await one.close()
        else:
            one.__exit__(None, None, None)
