"""A small rig for bugs that are planted: one account, two workers that are struck by hand."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from chaos_kit.accounts import FIRST_ACCOUNT
from chaos_kit.checker import PATIENCE_SECONDS, check
from chaos_kit.crew import Crew, Member, free_port, listens, until
from chaos_kit.customers import Customer, Customers
from chaos_kit.finding import Finding
from chaos_kit.telling import hours_pass, untold_of

from trunkline.kernel.settings import Settings

WAIT_SECONDS = 60.0
CONTACTS = 160
"""Eight pages: long enough for two to be taken over and one to be left."""


class Small:
    """Leases of 3 s, so that tests are short. `through`: the workers' servers, where they are to be others.
    `listening`: the product asks for events.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        valkey_url: str,
        through: dict[str, str] | None = None,
        contacts: int = CONTACTS,
        *,
        listening: bool = False,
    ) -> None:
        self._folder = folder
        self._contacts = contacts
        self._url = database_url
        self._valkey = valkey_url
        self._port, self._web = free_port(), free_port()
        self.account = str(FIRST_ACCOUNT)
        self._settings = Settings(
            data=folder,
            database_url=database_url,
            valkey_url=valkey_url,
            sandbox_url=f"http://127.0.0.1:{self._port}",
        )
        self.crew = Crew(
            folder,
            {
                "TRUNKLINE_DATA": str(folder),
                "TRUNKLINE_DATABASE_URL": database_url,
                "TRUNKLINE_VALKEY_URL": valkey_url,
                "TRUNKLINE_SANDBOX_URL": self._settings.sandbox_url,
                "TRUNKLINE_PORT": str(self._web),
                "TRUNKLINE_LEASE_SECONDS": "3",
                "TRUNKLINE_HEARTBEAT_SECONDS": "1",
                **(through or {}),
            },
        )
        self.customers = Customers(
            self._settings,
            accounts=[self.account],
            note=lambda *_, **__: None,
            receiver=self._settings.sandbox_url if listening else "",
        )
        self.db: asyncpg.Connection

    async def start(self) -> None:
        self.db = await asyncpg.connect(self._url)
        provider = self.crew.add_script("provider", "provider_process.py", self._port, 1, 1, self._contacts)
        await until(lambda: listens(provider, self._port), WAIT_SECONDS, "The provider")
        await self.customers.settle_in()

    async def stop(self) -> None:
        self.crew.stop()
        await self.customers.close()
        await self.db.close()

    @property
    def customer(self) -> Customer:
        return self.customers.all[0]

    def worker(self, name: str, bug: str) -> Member:
        return self.crew.add(name, "worker", CHAOS_PLANT=bug)

    async def web(self, name: str, bug: str) -> Member:
        """A web process, which the provider tells of each edit from now on, twice at the same time."""
        member = self.crew.add(name, "web", CHAOS_PLANT=bug)
        await until(lambda: listens(member, self._web), WAIT_SECONDS, "The web process")
        await self.customers.be_told(f"http://127.0.0.1:{self._web}", twice=1.0)
        return member

    async def all_told(self) -> bool:
        """Whether whatever was told of has arrived, in and out."""
        await hours_pass(self._url)
        return not await untold_of(self.customers, self._url)

    async def sync(self) -> None:
        services, customer = self.customers.services, self.customer
        async with services.db.tenant(customer.tenant_id) as session:
            await services.runs.sync_now(session, customer.tenant_id, customer.connection_id)

    async def run(self) -> Any:
        """The first run over contacts."""
        return await self.db.fetchrow(
            """SELECT r.pages, r.state, r.attempt, s.checkpoint FROM runs r JOIN streams s ON s.tenant_id = r.tenant_id
                 AND s.connection_id = r.connection_id AND s.stream = r.stream
               WHERE r.stream = 'contacts' ORDER BY r.created_at LIMIT 1"""
        )

    async def ended(self, runs: int) -> bool:
        """Whether so many runs over each stream have succeeded, and none is under way, handed out or due.

        Who asks while a run goes on gets one of his own after it: between the two the stream rests, the work does not.
        """
        rows = await self.db.fetch(
            """SELECT count(*) FILTER (WHERE r.state = 'succeeded') AS good,
                 bool_and(s.run_id IS NULL) AND NOT EXISTS (
                   SELECT 1 FROM work WHERE kind = 'sync' AND (lease_until IS NOT NULL OR due_at <= now())) AS rests
               FROM streams s LEFT JOIN runs r USING (tenant_id, connection_id, stream) GROUP BY s.stream"""
        )
        return len(rows) == 2 and all(row["good"] >= runs and row["rests"] for row in rows)

    async def idle(self, member: Member) -> bool:
        """Whether no transaction of this process is open: stopped in one, it would hold its locks."""
        await asyncio.sleep(0.05)
        return not await self.db.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'worker:%'
               AND (state LIKE 'idle in transaction%' OR state = 'active')"""
        )

    async def holder(self, members: Sequence[Member]) -> Member:
        """Who reads the contacts."""
        name = await self.db.fetchval(
            "SELECT leased_by FROM work WHERE kind = 'sync' AND key LIKE '%:contacts'"
        )
        return next(member for member in members if f":{member.pid}:" in name)

    async def freeze(self, member: Member, *, with_page: bool = False) -> None:
        """SIGSTOP, between two transactions. `with_page`: and with a page that was given, and is not written."""
        for _ in range(100):
            member.signal(signal.SIGSTOP)
            if await self.idle(member) and (not with_page or await self._page_in_hand()):
                return
            member.signal(signal.SIGCONT)
            await asyncio.sleep(0.05)
        raise AssertionError("never stopped as it was to be")

    async def _page_in_hand(self) -> bool:
        """Of the worker that reads; all stand still: whatever it has asked for is answered first."""

        async def answered() -> bool:
            return (await self.customers.control("traffic"))["open"] == 0

        await eventually(answered)
        given = (await self.customers.control("traffic"))["pages"]
        return bool(given > (await self.run())["pages"])

    async def lapsed(self) -> bool:
        """Whether the lease on the contacts is over."""
        return bool(
            await self.db.fetchval(
                "SELECT lease_until < now() FROM work WHERE kind = 'sync' AND key LIKE '%:contacts'"
            )
        )

    async def findings(self, patience: float = PATIENCE_SECONDS) -> list[Finding]:
        return await check(self.customers, None, self._url, await self.customers.truth(), patience)


async def eventually(there: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not await there():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.03)


@pytest.fixture
async def small(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[Small]:
    rig = Small(tmp_path, database_url, valkey_url)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()
