"""The web process's frame around the intake, in a process of its own, until SIGTERM. A script.

Arguments: `woken` (as shipped: whatever is kept is asked for), `batched` (without that), `single` (one INSERT and
commit a request) or `none` (the answer follows the signature check: no database, no sealing, no routing). Prints
its address.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis

from trunkline.cli.serving import bind, serve
from trunkline.connections.clients import OAuthClients
from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import key_provider
from trunkline.vault.service import Vault
from trunkline.web import create_app
from trunkline.webhooks import repository
from trunkline.webhooks.group_commit import GroupCommit
from trunkline.webhooks.intake import PREFIX, Answer, Intake
from trunkline.webhooks.repository import Row
from trunkline.webhooks.sources import Sources
from trunkline.webhooks.waker import Waker
from trunkline.work.queue import WorkQueue
from trunkline_connectors.catalogue import manifests


class Single(GroupCommit):
    """Each request its own INSERT and commit."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._own = db

    async def put(self, rows: Sequence[Row]) -> set[tuple[UUID, UUID]]:
        touched = await repository.keep(self._own, rows)
        self.commits += 1
        return touched


class Unkept(Intake):
    """Answers as soon as the signature holds."""

    async def _taken(self, *_: Any) -> None:
        raise Answer(200)


class Asleep:
    """Processing is another process's business, and none runs here."""

    def wake(self, _: Any) -> None: ...

    async def close(self) -> None: ...


def main(mode: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = Settings.load()
    # the pool of the system role is half of this, with as many again: 64 for those that insert one by one
    db = Database(settings.database_url, pool_size=64 if mode == "single" else 10, application="bench")
    vault, connectors = Vault(key_provider(settings)), Connectors(manifests())
    sources = Sources(db, vault, connectors, OAuthClients(db, vault, connectors))
    kind = Unkept if mode == "none" else Intake
    valkey = Redis.from_url(settings.valkey_url)
    waker: Any = Waker(db, WorkQueue(valkey)) if mode == "woken" else Asleep()
    intake = kind(db, sources, waker, origin=settings.origin)
    if mode == "single":
        intake._commit = Single(db)

    @asynccontextmanager
    async def running(_: object) -> AsyncIterator[None]:
        await intake.start()
        yield
        await intake.close()
        await valkey.aclose()
        await db.dispose()

    app = create_app(
        settings,
        {},
        api=[],
        pages=[],
        error_page=_no_page,
        guards=[],
        mounts={PREFIX: intake},
        lifespan=[running],
    )
    listener = bind(settings.host, settings.port, "TRUNKLINE_PORT")
    sys.stdout.write(f"http://{settings.host}:{settings.port}\n")
    sys.stdout.flush()
    serve([(app, listener)], settings)


def _no_page(*_: Any) -> Any:
    raise NotImplementedError


if __name__ == "__main__":
    main(sys.argv[1])
