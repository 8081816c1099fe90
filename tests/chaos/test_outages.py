"""One long run, and everything that it stands on taken away once: it goes on each time, and the data are right."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from trunkline.kernel.migrate import upgrade

from .conftest import Small, eventually

pytestmark = pytest.mark.timeout(400)

RECOVER_SECONDS = 60.0
"""What is promised of PostgreSQL and Valkey; a killed worker's run has 30."""


class Standing:
    """A small rig on servers of its own, its workers behind proxies."""

    def __init__(self, small: Small, servers: Any, proxies: Any) -> None:
        self.small = small
        self.servers = servers
        self.proxies = proxies

    async def pages(self) -> int:
        connection = await asyncpg.connect(self.servers.database_url)
        try:
            return int(await connection.fetchval("SELECT coalesce(sum(pages), 0) FROM runs"))
        finally:
            await connection.close()

    async def goes_on(self, seconds: float = RECOVER_SECONDS) -> None:
        """Two pages more than there are now; one may have been under way."""
        before = await self.pages()

        async def more() -> bool:
            return await self.pages() >= before + 2

        await eventually(more, seconds)

    async def again(self) -> None:
        """A full pass over everything, so that there is something to interrupt."""
        services, customer = self.small.customers.services, self.small.customer
        async with services.db.tenant(customer.tenant_id) as session:
            await services.runs.sync_now(
                session, customer.tenant_id, customer.connection_id, "contacts", "full"
            )


@pytest.fixture
async def standing(tmp_path: Path) -> AsyncIterator[Standing]:
    from chaos_kit.accounts import BUSY_COUNT
    from chaos_kit.proxy import Proxies
    from chaos_kit.servers import Servers

    async with AsyncExitStack() as stack:
        servers = Servers(tmp_path / "servers")
        stack.callback(servers.stop)
        servers.start()
        await asyncio.to_thread(upgrade, servers.database_url)
        proxies = Proxies()
        stack.callback(proxies.close)
        postgres = proxies.to_socket("postgres", servers.postgres_socket)
        valkey = proxies.to_socket("valkey", servers.valkey_socket)
        through = {
            "TRUNKLINE_DATABASE_URL": servers.through(postgres),
            "TRUNKLINE_VALKEY_URL": f"redis://127.0.0.1:{valkey}/0",
        }
        straight = f"unix://{servers.valkey_socket}?db=0"
        small = Small(tmp_path, servers.database_url, straight, through, BUSY_COUNT)
        stack.push_async_callback(small.stop)
        await small.start()
        yield Standing(small, servers, proxies)


async def test_everything_underneath_taken_away(standing: Standing) -> None:
    """No false success: a run that says it succeeded has read everything."""
    small, servers, proxies = standing.small, standing.servers, standing.proxies
    await small.customers.control("script", kind="latency", seconds=300, milliseconds=150)
    small.worker("one", "")
    small.worker("two", "")
    await standing.goes_on()
    await servers.flush_valkey()
    await standing.goes_on()
    proxies.become("valkey", "refuse")
    await standing.goes_on()
    proxies.become("valkey", "hold")  # half open: nobody answers, nobody hangs up
    await standing.goes_on()
    proxies.become("valkey", "pass")
    await servers.starve_valkey()
    await standing.again()
    await standing.goes_on()
    await servers.restart_valkey()
    for how in (signal.SIGINT, signal.SIGKILL):
        await servers.restart_postgres(how)
        await standing.goes_on()
    proxies.cut("postgres")
    await standing.goes_on()
    proxies.become("postgres", "refuse")
    await asyncio.sleep(1)
    proxies.become("postgres", "pass")
    await standing.goes_on()
    await small.customers.control("quiet")
    await small.db.close()
    small.db = await asyncpg.connect(servers.database_url)
    await eventually(lambda: small.ended(1), RECOVER_SECONDS)
    assert await small.findings() == []


async def test_a_newer_version_at_work_beside_this_one(small: Small) -> None:
    """It has migrated, it asks for work of its own kind, and writes more into the rows than we know of."""
    small.worker("old", "")
    await eventually(lambda: small.ended(1))
    for table in ("work", "streams", "runs", "records", "entities", "changes"):
        await small.db.execute(f"ALTER TABLE {table} ADD COLUMN of_tomorrow text DEFAULT 'x'")
    tenant = small.customer.tenant_id
    await small.db.execute(
        """INSERT INTO work (tenant_id, id, kind, key, args, due_at)
           VALUES ($1, uuidv7(), 'of_tomorrow', 'k', '{"more": [1]}', now() - interval '1 hour')""",
        tenant,
    )
    await small.db.execute("""UPDATE work SET args = '{"of_tomorrow": {"a": 1}}' WHERE kind = 'sync'""")
    await small.db.execute(
        """UPDATE streams SET settled = settled || '{"of_tomorrow": true}'::jsonb WHERE settled IS NOT NULL"""
    )
    await small.customers.control("touch", account=small.account, kind="contacts")
    await small.sync()
    await eventually(lambda: small.ended(2))
    row = await small.db.fetchrow("SELECT attempt, tries, leased_by FROM work WHERE kind = 'of_tomorrow'")
    assert (row["attempt"], row["tries"], row["leased_by"]) == (0, 0, None)
    await small.db.execute("DELETE FROM work WHERE kind = 'of_tomorrow'")
    assert await small.findings() == []
    # a checkpoint of its own is left to it: nobody is blamed, nothing is begun anew; it goes on once somebody
    # who knows has taken it further
    await small.db.execute(
        """UPDATE streams SET checkpoint = '{"mode": "incremental", "phase": "of_tomorrow", "fields": [],
             "recipes": {}, "started": "2026-11-01T00:00:00Z"}'
           WHERE stream = 'contacts'"""
    )
    await small.sync()

    async def put_off() -> bool:
        return bool(
            await small.db.fetchval("SELECT tries FROM work WHERE kind = 'sync' AND cause = 'newer_version'")
        )

    await eventually(put_off)
    row = await small.db.fetchrow(
        "SELECT checkpoint->>'phase' AS phase, cause, failures FROM streams WHERE stream = 'contacts'"
    )
    assert (row["phase"], row["cause"], row["failures"]) == ("of_tomorrow", None, 0)
    await small.db.execute("UPDATE streams SET checkpoint = NULL WHERE stream = 'contacts'")
    await small.sync()
    await eventually(lambda: small.ended(3))
    assert await small.findings() == []
