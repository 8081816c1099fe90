"""A simulated Pipedrive in this process, without a socket."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.pipedrive.simulator import PipedriveSimulator

REDIRECT = "http://127.0.0.1:1/callback"
CLIENT = OAuthClient("app", "secret", (REDIRECT,), "The App")
BIG, SMALL, EMPTY = "9120001", "9120002", "9120003"


class Pipedrive:
    """The simulator, and a client of one authorised app."""

    def __init__(self, http: httpx2.AsyncClient, simulator: PipedriveSimulator, clock: VirtualClock) -> None:
        self.http = http
        self.simulator = simulator
        self.clock = clock

    def code(self, account: str = SMALL, scope: str = "") -> str:
        oauth = self.simulator.oauth
        query = {"client_id": "app", "redirect_uri": REDIRECT, "scope": scope}
        return oauth.approve(oauth.begin(query).id, account).rpartition("code=")[2]

    async def tokens(self, account: str = SMALL, scope: str = "") -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": self.code(account, scope),
            "redirect_uri": REDIRECT,
        }
        answer = await self.http.post("/pipedrive/oauth/token", data=form, auth=("app", "secret"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def token(self, account: str = SMALL, scope: str = "") -> str:
        return (await self.tokens(account, scope))["access_token"]

    async def call(self, method: str, path: str, token: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.http.request(method, f"/pipedrive{path}", headers=headers, **more)

    async def all(self, path: str, token: str, **query: Any) -> list[dict[str, Any]]:
        """Every item of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor = None
        for _ in range(100):
            params = {**query, **({"cursor": cursor} if cursor else {})}
            answer = await self.call("GET", path, token, params=params)
            assert answer.status_code == 200, answer.text
            self.clock.advance(1)
            found += answer.json()["data"]
            cursor = answer.json()["additional_data"]["next_cursor"]
            if cursor is None:
                return found
        raise AssertionError("the list has no end")


@pytest.fixture
async def pipedrive() -> AsyncIterator[Pipedrive]:
    clock = VirtualClock()
    simulator = PipedriveSimulator(clients=[CLIENT], now=clock)
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield Pipedrive(http, simulator, clock)
