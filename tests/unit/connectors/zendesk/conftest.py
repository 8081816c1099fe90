"""A simulated Zendesk in this process, without a socket."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.zendesk.simulator import ZendeskSimulator

REDIRECT = "http://127.0.0.1:1/callback"
CLIENT = OAuthClient("app", "secret", (REDIRECT,), "The App")
BIG, SMALL, EMPTY = "12510001", "12510002", "12510003"


class Zendesk:
    """The simulator, and a client of one authorised app."""

    def __init__(self, http: httpx2.AsyncClient, simulator: ZendeskSimulator, clock: VirtualClock) -> None:
        self.http = http
        self.simulator = simulator
        self.clock = clock

    def form(self, account: str = SMALL, scope: str = "read write") -> dict[str, Any]:
        oauth = self.simulator.oauth
        query = {"client_id": "app", "redirect_uri": REDIRECT, "scope": scope}
        code = oauth.approve(oauth.begin(query).id, account).rpartition("code=")[2]
        return {
            "grant_type": "authorization_code",
            "client_id": "app",
            "client_secret": "secret",
            "redirect_uri": REDIRECT,
            "code": code,
        }

    async def tokens(self, account: str = SMALL, scope: str = "read write", **more: Any) -> dict[str, Any]:
        answer = await self.http.post("/zendesk/oauth/tokens", json={**self.form(account, scope), **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def token(self, account: str = SMALL, scope: str = "read write") -> str:
        return (await self.tokens(account, scope))["access_token"]

    async def call(self, method: str, path: str, token: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, f"/zendesk{path}", headers=headers, **more)

    async def follow(self, token: str, key: str, address: str, first: dict[str, Any]) -> list[dict[str, Any]]:
        """Every item, by the addresses that the answers name at the pointer `address`."""
        found, page = list(first[key]), first
        for _ in range(100):
            following = page
            for part in address.split("."):
                following = following[part]
            if following is None or page.get("end_of_stream") is True:
                return found
            parts = urlsplit(following)
            assert parts.netloc.endswith(".zendesk.com")
            page = (await self.call("GET", f"{parts.path}?{parts.query}", token)).json()
            self.clock.advance(1)
            found += page[key]
        raise AssertionError("the list has no end")


@pytest.fixture
async def zendesk() -> AsyncIterator[Zendesk]:
    clock = VirtualClock()
    simulator = ZendeskSimulator(clients=[CLIENT], now=clock)
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield Zendesk(http, simulator, clock)
