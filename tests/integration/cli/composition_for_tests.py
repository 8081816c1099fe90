"""A small installation: the real commands around a trivial application, run as a script."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from trunkline.cli import Composition, Doorway, build
from trunkline.kernel.settings import Settings


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    if (settings.data / "stubborn").exists():
        await asyncio.sleep(60)
    await stop.wait()


async def seed_demo(settings: Settings) -> list[Doorway]:
    return [
        Doorway(
            audience="End customer", address=settings.origin, login="ada", password="hello", first="Connect."
        )
    ]


cli = build(
    Composition(
        web_app=lambda _: app,
        run_worker=run_worker,
        sandbox_app=lambda _: app,
        product_app=lambda _: app,
        seed_demo=seed_demo,
        command=(sys.executable, str(Path(__file__).resolve())),
    )
)

if __name__ == "__main__":
    cli()
