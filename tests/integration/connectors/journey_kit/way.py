"""The way of a connection from the first click to a new sign-in, on real servers. One row a connector."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from trunkline.sdk.simulator import Simulator
from trunkline.sdk.simulator_clock import wall_now
from trunkline.sdk.simulator_store import SimulatedObject

Truth = dict[str, dict[str, Any]]


class Ahead:
    """The wall's clock, some seconds ahead: simulated providers move on, we do not wait."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return wall_now() + timedelta(seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class Row:
    make: Callable[..., Simulator]
    account: str
    truth: Callable[[Any, str], dict[str, Truth]]
    """Simulator, account -> stream -> public id -> document, as the lists give it."""
    kinds: Mapping[str, str]
    """Stream -> the simulator's word for what is in it, where somebody creates and changes some."""
    tombstones: tuple[str, ...]
    """Streams of which deletions are told; of the others a complete pass finds them."""
    vanishing: tuple[str, ...]
    silent: tuple[str, ...] = ()
    """Streams whose records can be edited without a sign: a complete pass finds it."""
    typed: Callable[[Any, str], dict[str, str]] = field(default=lambda simulator, account: {})
    """Into our own form, where there is one."""
    way: str = ""
    scope: str = ""
    prepare: Callable[[Any], None] = field(default=lambda simulator: None)
    remove: Callable[[Any, str, str, str], None] = field(
        default=lambda simulator, account, kind, own: simulator.store.archive(account, kind, own)
    )


def live(simulator: Simulator, account: str, kind: str) -> list[SimulatedObject]:
    return list(simulator.store.walk(account, kind))
