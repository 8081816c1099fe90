"""Closing the database's pools while PostgreSQL neither answers nor hangs up: a process must still end."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers

RIG = Path(__file__).parents[2] / "chaos"
if str(RIG) not in sys.path:
    sys.path.insert(0, str(RIG))


async def test_pools_close_though_nobody_answers(servers: EmbeddedServers, database_url: str) -> None:
    from chaos_kit.proxy import Proxies

    proxies = Proxies()
    try:
        port = proxies.to_socket("postgres", str(servers.postgres.sockets / ".s.PGSQL.5432"))
        parts = urlsplit(database_url)
        login = f"{parts.username}:{parts.password}"
        db = Database(f"postgresql://{login}@127.0.0.1:{port}{parts.path}", pool_size=6)

        async def busy() -> None:
            async with db.system() as session:
                await session.execute(text("SELECT pg_sleep(0.2)"))

        await asyncio.gather(*(busy() for _ in range(6)))
        proxies.become("postgres", "hold")
        async with asyncio.timeout(8):  # of the ten seconds that a deploy gives, two are others'
            await db.dispose()
    finally:
        proxies.close()
