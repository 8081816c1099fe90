import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from trunkline.kernel.settings import Settings

App: TypeAlias = Callable[..., Awaitable[None]]
"""An ASGI application."""


class Doorway(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table that greets whoever started Trunkline."""

    audience: str
    address: str
    login: str = ""
    password: str = ""
    first: str = ""
    """What to click first, as a short sentence."""


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """What the commands run, given by the composition root; each imports what it needs when called."""

    web_app: Callable[[Settings], Any]
    """Settings with both URLs filled in -> ASGI application."""
    run_worker: Callable[[Settings, asyncio.Event], Awaitable[None]]
    """Runs until the event is set, then ends its work within `settings.shutdown_seconds`."""
    sandbox_app: Callable[[Settings], Any]
    product_app: Callable[[Settings], Any]
    seed_demo: Callable[[Settings], Awaitable[Sequence[Doorway]]]
    """Idempotent; called after the migrations."""
    connectors: Callable[[], Any] = dict
    """The registry of connectors."""
    packages: Callable[[], Any] = list
    """The connectors' folders, as `trunkline.kit.package` reads them."""
    command: tuple[str, ...] = (sys.executable, "-m", "trunkline.main")
    """How `up` starts its children: this, then the name of a subcommand."""
