"""Alembic's entry: one transaction, one upgrade at a time, failing fast rather than queueing behind a lock."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from trunkline.kernel.db import async_url
from trunkline.kernel.tables import Base

LOCK = 7_245_117  # any constant: two upgrades at once wait for each other


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("SET LOCAL statement_timeout = '60s'"))
        context.run_migrations()


async def _main() -> None:
    engine = create_async_engine(async_url(context.config.attributes["url"]))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(_main())
