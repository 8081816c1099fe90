"""A provider that is down is asked hardly more often than there is work: 200 connections, by a virtual clock."""

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from redis.asyncio import Redis
from resilience_kit.one import Clock

from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.settings import Settings
from trunkline.resilience import limiter as limits
from trunkline.resilience.breaker import FAILURES, LONGEST_SECONDS, SPREAD
from trunkline.resilience.limiter import RateLimiter
from trunkline.runs import calling as calls
from trunkline.runs.calling import Calls
from trunkline.runs.errors import ProviderError
from trunkline.runs.provider import ProviderClient, Target
from trunkline.runs.sync import MAX_TRIES, next_run, next_try
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline_connectors.catalogue import manifests

HUBSPOT = next(manifest for manifest in manifests() if manifest.name == "hubspot")
CONTACTS = HUBSPOT.stream("contacts")
SCHEDULE = 60
WORKERS = 3


class Provider:
    """Counts what reaches it, and answers 503 or an empty list."""

    def __init__(self) -> None:
        self.calls = 0
        self.down = False
        self.server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.calls += 1
                status, body = ("503 Down", b"down") if self.down else ("200 OK", b'{"results": []}')
                head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Token(msgspec.Struct):
    value: str = "t"
    generation: int = 1
    config: dict[str, str] = {}


class Tokens:
    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> Token:
        return Token()

    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
        raise AssertionError


class Stream(msgspec.Struct):
    """What `streams` and `work` remember of one connection's stream."""

    target: Target
    failures: int = 0
    waits: int = 0
    open: bool = False
    """A run is under way: tried at least once, or put off, and not ended."""


class Fleet:
    """Workers as they are; a backlog that holds every stream's due time; time that jumps to the next one."""

    def __init__(self, clients: list[ProviderClient], clock: Clock, connections: int, tenants: int) -> None:
        self.clock = clock
        self.runs = 0
        """Units of work: runs that were begun while this counted."""
        self.ended: list[str] = []
        self._clients = itertools.cycle(clients)
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Stream]] = []
        for number in range(connections):
            target = Target(UUID(int=1 + number % tenants), UUID(int=1000 + number), HUBSPOT)
            self._put(clock.now + random.Random(number).uniform(0, SCHEDULE), Stream(target))

    def _put(self, at: float, stream: Stream) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), stream))

    async def until(self, moment: float) -> None:
        """What is due within the same tenth of a second is worked on at the same time."""
        while self._due[0][0] <= moment:
            self.clock.now = max(self.clock.now, self._due[0][0])
            batch = []
            while self._due and self._due[0][0] <= self.clock.now + 0.1:
                batch.append(heapq.heappop(self._due)[2])
            await asyncio.gather(*map(self._work, batch))
        self.clock.now = moment

    async def _work(self, stream: Stream) -> None:
        moment = datetime.fromtimestamp(self.clock.now, UTC)
        if not stream.open:
            stream.open, self.runs = True, self.runs + 1
        try:
            await next(self._clients).page(stream.target, CONTACTS, CONTACTS.list, {})
        except ProviderError as error:
            action = error.failure.action
            stream.failures += action != "wait"
            stream.waits += 1
            if action == "wait" or (action == "retry" and stream.failures < MAX_TRIES):
                at = next_try(action, stream.failures, stream.waits, moment, error.retry_at)
            else:
                at, stream.open = next_run(stream.failures, moment, SCHEDULE), False
            self.ended.append(error.failure.code)
            self._put(at.timestamp(), stream)
        else:
            stream.failures, stream.waits, stream.open = 0, 0, False
            self.ended.append("")
            self._put(self.clock.now + SCHEDULE, stream)


Make = Callable[..., Awaitable[Fleet]]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    running = Provider()
    await running.start()
    yield running
    running.server.close()


@pytest.fixture
async def make_fleet(
    db: Database,
    valkey: Redis,
    clock: Clock,
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Make]:
    monkeypatch.setattr(calls, "now", lambda: datetime.fromtimestamp(clock.now, UTC))
    settings = Settings(data=tmp_path, sandbox_url=provider.url)
    egress = Egress(settings)
    clients: list[ProviderClient] = []

    async def make(connections: int, tenants: int) -> Fleet:
        clients.extend(
            ProviderClient(
                db=db,
                egress=egress,
                endpoints=Endpoints(settings),
                connectors=Connectors([HUBSPOT]),
                connections=Tokens(),
                limiter=RateLimiter(valkey, clock=clock),
            )
            for _ in range(WORKERS)
        )
        return Fleet(clients, clock, connections, tenants)

    yield make
    for client in clients:
        await client.close()
    await egress.close()


@pytest.mark.parametrize("kind", ["503", "refused"])
async def test_a_full_outage_costs_at_most_a_tenth_more_calls_than_there_are_runs(
    make_fleet: Make, provider: Provider, clock: Clock, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry amplification: calls during the outage to runs begun or pending in it, one first try each."""
    tried = await _count_tries(monkeypatch)
    fleet = await make_fleet(200, 40)
    await fleet.until(clock.now + SCHEDULE / 6)
    assert provider.calls == len(tried) >= 20
    assert set(fleet.ended) == {""}
    provider.down = True
    if kind == "refused":
        provider.server.close()
        await provider.server.wait_closed()
    tried.clear()
    fleet.ended.clear()
    fleet.runs = 0
    began = clock.now
    await fleet.until(began + (900 if kind == "503" else 120))
    assert fleet.runs >= 200
    assert FAILURES <= len(tried) <= 1.1 * fleet.runs
    # and by far: the breaker, not the backoff, is what holds the calls back
    assert len(tried) <= 60
    assert fleet.ended.count("circuit_open") >= 200
    assert set(fleet.ended) <= {"circuit_open", "provider_error", "provider_unreachable"}
    if kind == "refused":
        return
    provider.down = False
    fleet.ended.clear()
    tried.clear()
    await fleet.until(clock.now + LONGEST_SECONDS * (1 + SPREAD) * 1.25 + 2)
    assert fleet.ended.count("") >= 200, "everything goes on by itself"
    assert set(fleet.ended[-100:]) == {""}


async def test_without_the_breaker_it_would_be_a_multiple(
    make_fleet: Make, provider: Provider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure of the test above is able to see it."""
    tried = await _count_tries(monkeypatch)
    monkeypatch.setattr(limits.breaker, "FAILURES", 10**9)
    fleet = await make_fleet(20, 20)
    provider.down = True
    await fleet.until(clock.now + 150)
    assert len(tried) > 2 * fleet.runs


async def _count_tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What leaves the worker, whether or not anybody listens."""
    tried: list[str] = []
    client = Calls._client

    def counted(self: Calls, manifest: Any, values: Any) -> Any:
        tried.append(manifest.name)
        return client(self, manifest, values)

    monkeypatch.setattr(Calls, "_client", counted)
    return tried
