"""A web process with the intake that is killed (-9) right after its first commit, before it answers. A script.

Arguments: `dies` or `lives`. Settings come from the environment; prints `ready`.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog

from trunkline.cli.serving import bind, serve
from trunkline.kernel.settings import Settings
from trunkline.main import connectors
from trunkline.services import build_services
from trunkline.web import create_app
from trunkline.webhooks.group_commit import GroupCommit
from trunkline.webhooks.intake import PREFIX
from trunkline.webhooks.repository import Row


class Dying(GroupCommit):
    async def put(self, rows: Sequence[Row]) -> set[tuple[UUID, UUID]]:
        await super().put(rows)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def main(mode: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = Settings.load()
    services = build_services(settings, connectors(), application="web")
    if mode == "dies":
        services.intake._commit = Dying(services.db)

    @asynccontextmanager
    async def running(_: object) -> AsyncIterator[None]:
        await services.intake.start()
        yield
        await services.intake.close()
        await services.close()

    def no_page(*_: Any) -> Any:
        raise NotImplementedError

    app = create_app(
        settings,
        {},
        api=[],
        pages=[],
        error_page=no_page,
        guards=[],
        mounts={PREFIX: services.intake},
        lifespan=[running],
    )
    listener = bind(settings.host, settings.port, "TRUNKLINE_PORT")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serve([(app, listener)], settings)


if __name__ == "__main__":
    main(sys.argv[1])
