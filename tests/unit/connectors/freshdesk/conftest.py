"""A simulated Freshdesk in this process, without a socket."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline_connectors.freshdesk.simulator import FreshdeskSimulator

BIG, SMALL, EMPTY = "2043001", "2043002", "2043003"


class Freshdesk:
    """The simulator, and a client with an account's key."""

    def __init__(self, http: httpx2.AsyncClient, simulator: FreshdeskSimulator, clock: VirtualClock) -> None:
        self.http = http
        self.simulator = simulator
        self.clock = clock

    def key(self, account: str = SMALL) -> str:
        return self.simulator.oauth.make_key(account)

    async def call(self, method: str, path: str, key: str, **more: Any) -> httpx2.Response:
        return await self.http.request(method, f"/freshdesk/api/v2{path}", auth=(key, "X"), **more)

    async def all(self, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """Every item of a list, by the Link headers."""
        found: list[dict[str, Any]] = []
        answer = await self.call("GET", path, key, params=query)
        for _ in range(100):
            assert answer.status_code == 200, answer.text
            found += answer.json()
            link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("link", ""))
            if link is None:
                return found
            following = re.sub(r"^https://[a-z]+\.freshdesk\.com/api/v2", "", link[1])
            self.clock.advance(1)
            answer = await self.call("GET", following, key)
        raise AssertionError("the list has no end")


@pytest.fixture
async def freshdesk() -> AsyncIterator[Freshdesk]:
    clock = VirtualClock()
    simulator = FreshdeskSimulator(now=clock)
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield Freshdesk(http, simulator, clock)
