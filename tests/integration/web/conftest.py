"""The whole application over https, as the composition root builds it, on a database of the module's own."""

import itertools
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from httpx import ASGITransport, AsyncClient, Response
from litestar.routes import HTTPRoute

from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.settings import Settings
from trunkline.main import web_app
from trunkline.web import Web

ORIGIN = "https://trunkline.test"
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)

VALUES = {"tenant": "globex", "connector": "hubspot", "hash": "0" * 16}


MOUNTED: dict[str, str] = {}
"""Path of a mounted application -> the test that looks at it instead."""


class Route(msgspec.Struct, frozen=True):
    method: str
    declared: str
    path: str
    """With every parameter filled in: ids that never existed."""
    opt: dict[str, Any]


def routes(app: Web) -> list[Route]:
    """Every method of every address, in the application's own table."""
    found = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            assert route.path in MOUNTED, f"{route.path}: a {type(route).__name__}, which nobody walks"
            continue
        parts = []
        for component in route.path_components:
            if isinstance(component, str):
                parts.append(component)
            else:
                kind = component.type.__name__
                known = {"UUID": str(uuid4()), "int": "1"}.get(kind)
                parts.append(known or VALUES.get(component.name, "x"))
        path = "/" + "/".join(parts)
        for method, (handler, _) in route.route_handler_map.items():
            if method != "OPTIONS":
                found.append(Route(method, route.path_format, path, dict(handler.opt)))
    return found


class Site:
    def __init__(self, app: Web, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.routes = routes(app)

    def browser(self) -> AsyncClient:
        transport = ASGITransport(self.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        return AsyncClient(transport=transport, base_url=self.settings.origin)

    async def signed_in(self, email: str) -> tuple[AsyncClient, str]:
        """A browser, and its session's token."""
        client = self.browser()
        await client.get("/login")
        form = next(value for name, value in client.cookies.items() if name.endswith("trunkline_form"))
        answer = await client.post("/login", data={"email": email, "password": PASSWORD, "csrf_token": form})
        assert answer.status_code == 303, answer.text
        page: Response = await client.get("/account")
        return client, page.text.partition('name="csrf-token" content="')[2].partition('"')[0]


@pytest.fixture(scope="module")
async def site(
    servers: EmbeddedServers, copies: Any, peopled: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    name = f"web_{next(_numbers)}"
    settings = Settings(
        data=tmp_path_factory.mktemp("web"),
        public_url=ORIGIN,
        database_url=await copies.make(name, peopled[0]),
        valkey_url=f"unix://{servers.valkey.socket}?db=62",
        sandbox_url="http://127.0.0.1:9",
    )
    app = web_app(settings)
    yield Site(app, settings)
    for part in ("valkey", "db"):
        service = await app.dependencies[part]()  # type: ignore[operator]
        await (service.aclose() if part == "valkey" else service.dispose())
    await copies.drop(name)
