"""Bringing a database to the newest schema. Safe to run at any time, by several processes at once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from trunkline.kernel.db import async_url


def _folder() -> Path:
    """In a wheel the migrations lie inside the package, in a checkout at its root."""
    package = Path(__file__).resolve().parents[1] / "migrations"
    return package if package.is_dir() else Path(__file__).resolve().parents[3] / "migrations"


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Blocking; not to be called from a running event loop."""
    command.upgrade(_config(url), "head")


def head() -> str:
    """The newest revision that this version of the software knows."""
    return ScriptDirectory.from_config(_config("")).get_current_head() or ""


def current(url: str) -> str | None:
    """The revision of the database; None if it was never migrated. Blocking."""
    return asyncio.run(_current(url))


def statements(folder: Path) -> Iterator[str]:
    """Of every .sql file in the folder, in the order of their names: a migration that is made of parts."""
    for part in sorted(folder.glob("*.sql")):
        yield from (statement for statement in part.read_text("utf-8").split(";\n") if statement.strip())


async def _current(url: str) -> str | None:
    engine = create_async_engine(async_url(url))
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except ProgrammingError:
        return None
    finally:
        await engine.dispose()
