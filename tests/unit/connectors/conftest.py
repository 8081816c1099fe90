"""A simulated HubSpot in this process, without a socket."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS

CLIENT = OAuthClient("app", "secret", ("http://127.0.0.1:1/callback",), "The App")
ALL_SCOPES = (
    "crm.objects.contacts.read crm.objects.contacts.write crm.objects.companies.read "
    "crm.objects.deals.read crm.objects.deals.write tickets"
)
SMALL, EMPTY = "48120002", "48120003"


class HubSpot:
    """The simulator, and a client of one authorised app."""

    def __init__(self, http: httpx2.AsyncClient, simulator: HubSpotSimulator, clock: VirtualClock) -> None:
        self.http = http
        self.simulator = simulator
        self.clock = clock

    def token(self, account: str = SMALL, scope: str = ALL_SCOPES, client: OAuthClient = CLIENT) -> str:
        oauth = self.simulator.oauth
        query = {"client_id": client.client_id, "redirect_uri": client.redirect_uris[0], "scope": scope}
        location = oauth.approve(oauth.begin(query).id, account)
        form = {
            "grant_type": "authorization_code",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "redirect_uri": client.redirect_uris[0],
            "code": location.rpartition("code=")[2],
        }
        return oauth.token(form).access_token

    async def call(self, method: str, path: str, token: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, f"/hubspot{path}", headers=headers, **more)


@pytest.fixture
async def hubspot() -> AsyncIterator[HubSpot]:
    clock = VirtualClock()
    simulator = HubSpotSimulator(clients=[CLIENT], now=clock, portals=PORTALS[1:])
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        yield HubSpot(http, simulator, clock)


@pytest.fixture(scope="session")
def models() -> dict[str, Any]:
    """Field names of the official client's models, by group."""
    path = Path(__file__).parents[4] / "shared/specs/hubspot/hubspot-sdk-derived.json"
    if not path.exists():
        pytest.skip("the shared specs are not beside this checkout")
    groups = json.loads(path.read_text(encoding="utf-8"))["groups"]
    return {name: group["models"] for name, group in groups.items()}
