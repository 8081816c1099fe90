"""A simulated HubSpot in this process, without a socket."""

import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
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


SHARED = Path(__file__).parents[4] / "shared"


def _plain_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words."""
    if isinstance(node, list):
        return [_plain_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: _plain_schema(item) for name, item in node.items() if name != "example"}
    if made.pop("nullable", False) is True:
        return {"anyOf": [made, {"type": "null"}]}
    return made


class Spec:
    """A vendor's OpenAPI description; says what of a document it does not allow."""

    def __init__(self, path: Path) -> None:
        self.document = json.loads(path.read_text(encoding="utf-8"))
        self._components = _plain_schema(self.document["components"])

    def schema(self, method: str, path: str, status: int = 200) -> dict[str, Any]:
        answer = self.document["paths"][path][method.lower()]["responses"][str(status)]
        return answer["content"]["application/json"]["schema"]

    def wrong(self, schema: dict[str, Any], document: Any) -> set[tuple[str, str]]:
        """(path with N for places in lists, kind of contradiction)"""
        whole = {**_plain_schema(schema), "components": self._components}
        found = jsonschema_rs.validator_for(whole, validate_formats=False).iter_errors(document)
        return {
            (
                "/".join("N" if isinstance(part, int) else part for part in error.instance_path),
                error.message[:4000],
            )
            for error in found
        }


@pytest.fixture(scope="session")
def spec():
    """Spec of a file below the shared specs; skips where they are not beside this checkout."""

    @cache
    def load(name: str) -> Spec:
        path = SHARED / "specs" / name
        if not path.exists():
            pytest.skip("the shared specs are not beside this checkout")
        return Spec(path)

    return load


@pytest.fixture(scope="session")
def recorded():
    """(name, JSON) of every fixture of a provider."""

    def load(provider: str) -> list[tuple[str, Any]]:
        folder = SHARED / "fixtures" / provider
        if not folder.exists():
            pytest.skip("the shared fixtures are not beside this checkout")
        paths = sorted(folder.rglob("*.json"))
        return [(path.name, json.loads(path.read_text(encoding="utf-8"))) for path in paths]

    return load
