"""Simulators behind a real port, for clients that know nothing of us; `journey_kit` has what journeys share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from journey_kit.journey import ORIGIN
from journey_kit.serving import running

from trunkline.kernel.settings import Settings
from trunkline.sdk.simulator import Simulator


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., str]]:
    """Starts a sandbox of the given simulators; its address, under which each lies by its name."""
    with ExitStack() as stack:
        yield lambda *simulators: stack.enter_context(running(simulators))


@pytest.fixture
def serve_each() -> Iterator[Callable[..., str]]:
    """As `serve`, until the end of the test."""
    with ExitStack() as stack:
        yield lambda *simulators, senders=(): stack.enter_context(running(simulators, senders))


@pytest.fixture
def settings_for(
    serve_each: Callable[..., str], database_url: str, valkey_url: str, tmp_path: Path
) -> Callable[[Simulator], Settings]:
    """Of an installation whose providers are this simulator."""
    return lambda simulator: Settings(
        public_url=ORIGIN,
        database_url=database_url,
        valkey_url=valkey_url,
        data=tmp_path,
        sandbox_url=serve_each(simulator),
    )
