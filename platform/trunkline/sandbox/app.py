"""The sandbox host: every simulator under its name, in one process."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from secrets import token_hex

import msgspec
from litestar import Litestar, MediaType, Response, Router, asgi, get
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from trunkline.sandbox.actions import ControlError
from trunkline.sandbox.control_api import control_api, refused
from trunkline.sandbox.control_page import control_page, templates
from trunkline.sandbox.guard import PAGE_HEADERS
from trunkline.sandbox.hook_sender import HookSender
from trunkline.sdk.simulator import KeptState, Simulator
from trunkline.sdk.simulator_consent import PAGES as SIMULATOR_PAGES
from trunkline.sdk.simulator_oauth import AuthorizationPageError, AuthorizationRedirectError

SAVE_SECONDS = 1.0


def create_sandbox(
    simulators: Sequence[Simulator],
    *,
    state_dir: Path | None = None,
    senders: Sequence[HookSender] = (),
) -> Litestar:
    """One app; each simulator's API lies under `/{name}`, its control under `/{name}/_control`.

    With `state_dir`, grants, tokens and changed records outlive the process (one file a simulator, mode
    0600, written within a second of a change); a file that cannot be read, or of another seed, is ignored.
    """

    @get("/", media_type=MediaType.HTML)
    async def index() -> Response[str]:
        body = templates.get_template("index.html").render(simulators=simulators)
        return Response(body, media_type=MediaType.HTML, headers=PAGE_HEADERS)

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/_static/simulator.css", media_type="text/css", sync_to_thread=False)
    def style() -> str:
        return (SIMULATOR_PAGES / "simulator.css").read_text(encoding="utf-8")

    @contextlib.asynccontextmanager
    async def kept(_: Litestar) -> AsyncIterator[None]:
        if state_dir is None:
            yield
            return
        for simulator in simulators:
            _take_up(simulator, state_dir)
        saving = asyncio.create_task(_save_on(simulators, state_dir))
        try:
            yield
        finally:
            saving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await saving
            for simulator in simulators:
                save(simulator, state_dir)

    @contextlib.asynccontextmanager
    async def delivering(_: Litestar) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(sender.run(), name="hooks") for sender in senders]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return Litestar(
        route_handlers=[index, healthz, style, *(_mount(simulator) for simulator in simulators)],
        lifespan=[kept, delivering],
        openapi_config=None,
    )


def save(simulator: Simulator, state_dir: Path) -> None:
    """Whole or not at all; readable by this user only, for there are tokens in it."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = state_dir / f".{simulator.name}.{token_hex(4)}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(simulator.keep()))
    fresh.replace(state_dir / f"{simulator.name}.json")


def _take_up(simulator: Simulator, state_dir: Path) -> None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        body = (state_dir / f"{simulator.name}.json").read_bytes()
        simulator.take_up(msgspec.json.decode(body, type=KeptState))


async def _save_on(simulators: Sequence[Simulator], state_dir: Path) -> None:
    saved = [simulator.revision for simulator in simulators]
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        for position, simulator in enumerate(simulators):
            if simulator.revision != saved[position]:
                saved[position] = simulator.revision
                save(simulator, state_dir)


def _mount(simulator: Simulator) -> ASGIRouteHandler:
    api = Router(
        "/",
        route_handlers=control_api(simulator),
        exception_handlers=dict.fromkeys(
            (ControlError, AuthorizationPageError, AuthorizationRedirectError), refused
        ),
    )
    inner = simulator.asgi([api, *control_page(simulator)])

    @asgi(f"/{simulator.name}", is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await inner(scope, receive, send)

    return mounted
