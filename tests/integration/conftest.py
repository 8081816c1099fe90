"""What all tests on real servers share: made once a process, whatever can be."""

import functools
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.middleware.base import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.web import Check, Web, create_app
from trunkline_tenants.directory import Directory
from trunkline_tenants.passwords import hash_password
from trunkline_tenants.seed import Seeded, seed_people
from trunkline_ui.rendering import create_environment

if str(Path(__file__).parent) not in sys.path:  # for ui_kit
    sys.path.insert(0, str(Path(__file__).parent))

PASSWORD = "correct horse battery"
PEOPLED = "peopled"
_hashes: dict[str, str] = {}


async def _hash_once(password: str) -> str:
    if password not in _hashes:
        _hashes[password] = await hash_password(password)
    return _hashes[password]


@pytest.fixture(scope="session", autouse=True)
def _hashed_once() -> Iterator[None]:
    """Made-up people share a password or two, and hashing is meant to be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline_tenants.directory.hash_password", _hash_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _authorities_read_once() -> Iterator[None]:
    """The public certificates take 30 ms to read, and each client reads them; who brings others gets theirs."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(httpx2.create_ssl_context)
        for place in ("httpx2.create_ssl_context", "httpx2._transports.default.create_ssl_context"):
            patch.setattr(place, once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _templates_read_once() -> Iterator[None]:
    """Nobody edits them meanwhile: what development looks at anew for every page costs more than the page."""
    once = functools.cache(create_environment)

    def create(*, reload: bool = False) -> Any:
        return once()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline_ui.rendering.create_environment", create)
        yield


@pytest.fixture(scope="session")
async def peopled(copies: Any, migrated: str) -> tuple[str, Seeded]:
    """A template database with the demo's people in it, all with `PASSWORD`, and who they are."""
    db = Database(await copies.make(PEOPLED, migrated), application="seed")
    try:
        made = await seed_people(Directory(db), member_password=PASSWORD, staff_password=PASSWORD)
    finally:
        await db.dispose()
    return PEOPLED, made


class Delegate(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    def __init__(self, found: Callable[[], ASGIMiddleware]) -> None:
        self._found = found

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        await self._found().handle(scope, receive, send, next_app)


class Stage:
    """A table of routes, half a second's work, made once; each test's application is put onto it.

    Every request looks up who serves it: nothing of an earlier test is left, and one application is live
    at a time. `create_app` takes what the real one takes; `api` and `pages` count the first time only.
    """

    def __init__(self) -> None:
        self._app: Web | None = None
        self._services: Mapping[str, Any] = {}
        self._parts: dict[str, Any] = {}

    def create_app(
        self,
        settings: Settings,
        services: Mapping[str, Any],
        *,
        middleware: Sequence[ASGIMiddleware] = (),
        dependencies: Mapping[str, Provide] | None = None,
        checks: Mapping[str, Check] | None = None,
        guards: Sequence[Any] = (),
        lifespan: Sequence[Any] = (),
        **table: Any,
    ) -> Web:
        self._parts = {
            "middleware": middleware,
            "checks": checks or {},
            "guards": guards,
            "lifespan": lifespan,
        }
        if self._app is None:
            self._app = create_app(
                settings,
                {},
                guards=[self._guarded],
                middleware=[Delegate(self._nth_middleware(number)) for number in range(len(middleware))],
                dependencies={**{name: self._looked_up(name) for name in services}, **(dependencies or {})},
                checks={name: self._checked(name) for name in checks or {}},
                lifespan=[self._living],
                **table,
            )
        else:
            assert self._services.keys() == services.keys()
        self._services, self._app.settings = services, settings
        return self._app

    def _looked_up(self, name: str) -> Provide:
        return Provide(lambda: self._services[name], sync_to_thread=False)

    def _nth_middleware(self, number: int) -> Callable[[], ASGIMiddleware]:
        return lambda: self._parts["middleware"][number]

    def _checked(self, name: str) -> Check:
        return lambda: self._parts["checks"][name]()  # noqa: PLW0108 - of the application that is live then

    async def _guarded(self, connection: Any, handler: Any) -> None:
        for guard in self._parts["guards"]:
            await guard(connection, handler)

    @asynccontextmanager
    async def _living(self, app: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for one in self._parts["lifespan"]:
                await stack.enter_async_context(one(app))
            yield


@pytest.fixture(scope="session")
def make_stage() -> type[Stage]:
    return Stage


class Threads:
    """Servers in threads, each with an event loop of its own."""

    def __init__(self) -> None:
        self._ending: list[threading.Thread] = []

    @contextmanager
    def serve(self, app: Any) -> Iterator[str]:
        """Its origin; at the end it is told to stop, and not waited for."""
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", lifespan="on", access_log=False, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        self._ending.append(thread)

    def join(self) -> None:
        for thread in self._ending:
            thread.join(10)


@pytest.fixture(scope="session")
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.join()
