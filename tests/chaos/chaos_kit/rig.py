"""A whole installation under a plan of faults: begun, struck, let come to rest, checked, ended."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec
from chaos_kit.accounts import account_ids
from chaos_kit.checker import check
from chaos_kit.crew import Crew, EndedError, free_port, listens, says, until
from chaos_kit.customers import Customers, Visitors
from chaos_kit.figures import failures, figures, webhooks
from chaos_kit.finding import Finding
from chaos_kit.plan import WORKERS, Fault, Options
from chaos_kit.proxy import Proxies
from chaos_kit.recorder import Event, Recorder
from chaos_kit.saboteur import Saboteur
from chaos_kit.servers import Disk, Servers
from chaos_kit.standing import standing
from chaos_kit.telling import hours_pass, untold_of
from sqlalchemy import text

from trunkline.kernel.migrate import upgrade
from trunkline.kernel.settings import Settings
from trunkline.work.errors import DATABASE_AWAY

START_SECONDS = 60.0
SYNC_EVERY, FEED_EVERY = 0.8, 2.0
"""Seconds between two presses of sync anywhere, and between two looks at one tenant's feed."""
STALLED_SECONDS = 75.0
"""Without a fault that is over, or without rest, after which it is said how everything stands: no single wait for a
worker is that long.
"""
Say = Callable[[str], None]


class Outcome(msgspec.Struct, kw_only=True):
    seed: int
    faults: list[Fault]
    findings: list[Finding]
    events: list[Event]
    figures: dict[str, float]
    unclassified: list[str]


class Rig:
    def __init__(self, folder: Path, disk: Disk, seed: int, options: Options, say: Say) -> None:
        self.folder = folder
        self.options = options
        self.seed = seed
        self.say = say
        self.disk = disk
        self.servers = Servers(disk.folder)
        self.proxies: Proxies
        self.crew: Crew
        self.customers: Customers
        self.visitors: Visitors
        self.recorder: Recorder

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything, with every tenant connected and its first pass due."""
        async with AsyncExitStack() as stack:
            stack.callback(self.servers.stop)
            self.servers.start()
            self.recorder = Recorder(self.servers.database_url)
            await asyncio.to_thread(upgrade, self.servers.database_url)
            await self._spare_disk()
            await self.recorder.install()
            self.proxies = Proxies()
            stack.callback(self.proxies.close)
            provider, web = free_port(), free_port()
            environment = self._environment(provider, web)
            self.crew = Crew(self.folder, environment)
            stack.callback(self.crew.stop)
            simulator = self.crew.add_script(
                "provider", "provider_process.py", provider, self.seed, self.options.tenants
            )
            await until(lambda: listens(simulator, provider), START_SECONDS, "The provider")
            settings = Settings(
                data=self.folder,
                database_url=self.servers.database_url,
                valkey_url=f"unix://{self.servers.valkey_socket}?db=0",
                sandbox_url=f"http://127.0.0.1:{provider}",
            )
            self.customers = Customers(
                settings,
                accounts=account_ids(self.options.tenants),
                note=self.recorder.note,
                receiver=f"http://127.0.0.1:{self.proxies.to_port('receiver', provider)}",
            )
            stack.push_async_callback(self.customers.close)
            visited = self.crew.add("web", "web")
            for index in range(WORKERS):
                self.crew.add(f"worker{index}", "worker")
            await self.customers.settle_in()
            await until(lambda: listens(visited, web), START_SECONDS, "The web process")
            await self.customers.be_told(f"http://127.0.0.1:{web}")
            self.visitors = Visitors(f"http://127.0.0.1:{web}", self.customers, self.seed)
            stack.push_async_callback(self.visitors.close)
            yield

    def _environment(self, provider: int, web: int) -> dict[str, str]:
        """Of the installation's processes: their servers and the provider lie behind the proxies."""
        postgres = self.proxies.to_socket("postgres", self.servers.postgres_socket)
        valkey = self.proxies.to_socket("valkey", self.servers.valkey_socket)
        sandbox = self.proxies.to_port("provider", provider)
        return {
            "TRUNKLINE_DATA": str(self.folder),
            "TRUNKLINE_DATABASE_URL": self.servers.through(postgres),
            "TRUNKLINE_VALKEY_URL": f"redis://127.0.0.1:{valkey}/0",
            "TRUNKLINE_SANDBOX_URL": f"http://127.0.0.1:{sandbox}",
            "TRUNKLINE_PORT": str(web),
            "TRUNKLINE_LEASE_SECONDS": str(self.options.lease),
            "TRUNKLINE_HEARTBEAT_SECONDS": str(max(1, self.options.lease // 3)),
            "TRUNKLINE_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }

    async def _spare_disk(self) -> None:
        connection = await asyncpg.connect(self.servers.database_url)
        await connection.execute("ALTER SYSTEM SET max_wal_size = '160MB'")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    # -- a storm ----------------------------------------------------------------------------

    async def storm(self, faults: Sequence[Fault]) -> Outcome:
        saboteur = Saboteur(
            servers=self.servers,
            disk=self.disk,
            proxies=self.proxies,
            crew=self.crew,
            customers=self.customers,
            recorder=self.recorder,
            seed=self.seed,
        )
        tending = asyncio.create_task(self.crew.tend())
        visiting = [
            asyncio.create_task(self.visitors.press_sync(SYNC_EVERY)),
            asyncio.create_task(self.visitors.follow(FEED_EVERY)),
            asyncio.create_task(self.customers.keep_mending()),
        ]
        try:
            await self.customers.control("rate", rate=self.options.edits)
            struck = asyncio.create_task(saboteur.carry_out(faults))
            await self._telling(struck, tending, saboteur, len(faults))
            findings = await self._rest(visiting, tending, saboteur)
        except (EndedError, httpx2.TransportError) as error:
            await self._say_silent(saboteur, error)
            raise
        finally:
            for task in (*visiting, tending):
                task.cancel()
            await asyncio.gather(*visiting, tending, return_exceptions=True)
        events = sorted([*await self.recorder.events(), *await self._edits()], key=lambda event: event.at)
        made = figures(events, findings, self.crew.workers, saboteur.struck)
        made["edits"] = await self.customers.control("rate", rate=0)
        made |= await webhooks(self.customers)
        return Outcome(
            seed=self.seed,
            faults=list(faults),
            findings=findings,
            events=events,
            figures=made,
            unclassified=failures(events)[1],
        )

    async def _edits(self) -> list[Event]:
        tenants = {customer.account: str(customer.tenant_id) for customer in self.customers.all}
        return [
            Event(
                at=at,
                what="edited",
                tenant=tenants[account],
                detail={"number": number, "stream": kind, "id": one, "change": change},
            )
            for number, at, account, kind, one, change in await self.customers.control("ledger")
        ]

    async def _telling(
        self, struck: "asyncio.Task[None]", tending: "asyncio.Task[None]", saboteur: Saboteur, number: int
    ) -> None:
        began = moved = time.monotonic()
        over = 0
        while not struck.done():
            await asyncio.wait({struck, tending}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            if tending.done():  # nobody starts again what dies
                struck.cancel()
                tending.result()
            missed = f", {saboteur.missed} missed" if saboteur.missed else ""
            self.say(f"{time.monotonic() - began:5.0f} s  {saboteur.struck} of {number} faults{missed}")
            if saboteur.struck + saboteur.missed != over:
                over, moved = saboteur.struck + saboteur.missed, time.monotonic()
            elif time.monotonic() - moved > STALLED_SECONDS:
                moved = time.monotonic()
                await self._say_standing(saboteur, f"No fault was over for {STALLED_SECONDS:.0f} s.")
        await struck

    async def _say_silent(self, saboteur: Saboteur, error: Exception) -> None:
        """The provider's own process, which no fault strikes, does not answer the rig: where it stands, and all else."""
        provider = self.crew.members["provider"]
        provider.signal(signal.SIGUSR1)
        await asyncio.sleep(1)
        await self._say_standing(saboteur, f"The provider's process does not answer the rig: {error!r}.")
        for line in says(provider):
            self.say(f"         provider: {line}")

    async def _say_standing(self, saboteur: Saboteur, why: str) -> None:
        lines = await standing(saboteur, self.crew, self.proxies, self.servers)
        self.recorder.note("standing", why=why, lines=lines)
        for line in (why, *lines):
            self.say(f"         {line}")

    async def _rest(
        self,
        visiting: "Sequence[asyncio.Task[None]]",
        tending: "asyncio.Task[None]",
        saboteur: Saboteur,
    ) -> list[Finding]:
        """No more edits and faults; every stream is to end a pass that began after that. Then the comparison."""
        await self.customers.control("quiet")
        await self.customers.control("rate", rate=0)
        visiting[0].cancel()
        quiet = time.time()
        self.recorder.note("quiet")
        told = stood = time.monotonic()
        deadline = told + self.options.settle
        left, untold = (
            await self._unsettled(quiet),
            await untold_of(self.customers, self.servers.database_url),
        )
        while (left or untold) and time.monotonic() < deadline:
            if tending.done():
                tending.result()
            for customer in self.customers.all:
                if customer.connection_id in {connection for connection, _ in left}:
                    await self.visitors.sync(customer)
            await hours_pass(self.servers.database_url)
            await asyncio.sleep(0.5)
            left = await self._unsettled(quiet)
            untold = await untold_of(self.customers, self.servers.database_url)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self.say(
                    f"{time.time() - quiet:5.0f} s  not at rest: {len(left)} streams; {untold or 'all told'}"
                )
            if time.monotonic() - stood > STALLED_SECONDS:
                stood = time.monotonic()
                await self._say_standing(saboteur, "Not at rest.")
        if left or untold:
            await self._say_standing(saboteur, "It never came to rest.")
        self.recorder.note("at rest", unsettled=len(left), untold=untold, seconds=time.time() - quiet)
        self.say(f"at rest after {time.time() - quiet:.0f} s")
        visiting[1].cancel()
        await asyncio.gather(visiting[1], return_exceptions=True)
        unread: Sequence[str] = ()
        try:
            await self.visitors.read_to_the_end(30)
        except TimeoutError:
            unread = ["?"]
        truth = await self.customers.truth()
        findings = [
            Finding(verdict="lost", tenant=slug, what=f"the stream {stream} did not come to rest: {state}")
            for slug, stream, state in await self._stuck(left)
        ]
        findings += [
            Finding(verdict="lost", tenant=one, what="a change feed cannot be read") for one in unread
        ]
        return findings + await check(self.customers, self.visitors, self.servers.database_url, truth)

    async def _unsettled(self, since: float) -> set[tuple[Any, str]]:
        """(connection, stream) without a whole pass that began later than that."""
        try:
            async with asyncio.timeout(10):
                connection = await asyncpg.connect(self.servers.database_url)
                try:
                    rows = await connection.fetch(
                        """SELECT s.connection_id, s.stream FROM streams s WHERE NOT EXISTS (
                             SELECT 1 FROM runs r WHERE r.tenant_id = s.tenant_id
                               AND r.connection_id = s.connection_id AND r.stream = s.stream
                               AND r.state = 'succeeded' AND r.started_at > to_timestamp($1))""",
                        since,
                    )
                finally:
                    await connection.close()
        except (*DATABASE_AWAY, TimeoutError):
            return {(None, "?")}
        return {(row["connection_id"], row["stream"]) for row in rows}

    async def _stuck(self, left: set[tuple[Any, str]]) -> list[tuple[str, str, str]]:
        told = []
        for customer in self.customers.all:
            async with self.customers.services.db.tenant(customer.tenant_id) as session:
                rows = await session.execute(
                    text("""SELECT s.stream, s.cause, s.failures, s.waiting_until, s.paused_at, c.state, r.state AS run
                            FROM streams s JOIN connections c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
                            LEFT JOIN runs r ON r.tenant_id = s.tenant_id AND r.id = s.run_id
                            WHERE s.tenant_id = :tenant"""),
                    {"tenant": customer.tenant_id},
                )
                told += [
                    (customer.slug, row.stream, str(dict(row._mapping)))
                    for row in rows
                    if (customer.connection_id, row.stream) in left
                ]
        return told


async def storm(seed: int, faults: Sequence[Fault], options: Options, *, disk: Disk, say: Say) -> Outcome:
    """One rig from beginning to end; the first faults strike the first passes."""
    with tempfile.TemporaryDirectory(prefix="trunkline-chaos-") as place:
        rig = Rig(Path(place), disk, seed, options, say)
        async with rig.running():
            for customer in rig.customers.all:
                rig.recorder.note("tenant", str(customer.tenant_id), slug=customer.slug)
            say(f"{options.tenants} tenants connected; {len(faults)} faults from seed {seed}")
            return await rig.storm(faults)
