"""Idempotency keys of the simulated Zendesk: a ticket made under one is made once in two hours."""

from datetime import datetime, timedelta
from typing import Any

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk.simulator_desk import Desk
from trunkline_connectors.zendesk.simulator_errors import error
from trunkline_connectors.zendesk.simulator_schema import TICKETS

KEPT = timedelta(hours=2)


class Keys:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._made: dict[tuple[str, str], tuple[datetime, dict[str, Any], str]] = {}

    def once(self, account: str, key: str, given: dict[str, Any]) -> SimulatedObject | None:
        """The ticket that this key made; raises 400 if it was for another request."""
        kept = self._made.get((account, key))
        if kept is None or self._desk.now() - kept[0] > KEPT:
            return None
        if kept[1] != given:
            raise RefusedError(error(400, "IdempotentRequestError", "The request parameters do not match"))
        return self._desk.store.get(account, TICKETS, kept[2])

    def remember(self, account: str, key: str, given: dict[str, Any], ticket: SimulatedObject) -> None:
        self._made[account, key] = (self._desk.now(), given, ticket.id)
