"""Webhooks of a partner's connector: addressed and proven as the version says that is spoken, or may be."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from packages_kit.steps import taken_in
from sqlalchemy import text

from trunkline.kernel.db import OPERATOR
from trunkline.services import Services
from trunkline.webhooks.service import EndpointService
from trunkline.webhooks.sources import Source, Sources

Make = Callable[..., bytes]
SIGNED_IN = (
    'kind = "api_key"\nheaders = { authorization = "Bearer {api_key}" }',
    """kind = "oauth2"
authorize_url = "https://login.acme.example/authorize"
token_url = "https://login.acme.example/token"
""",
)
HOOKS = """[webhooks]
owner = "%s"
keyed_by = "%s"
account = "account"
type = "event"
signatures = [{ header = "%s" }]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["id"], document = "contact" }]

[[recipes]]
"""


def hooked(header: str, owner: str = "client", keyed_by: str = "client") -> tuple[str, str]:
    return "[[recipes]]\n", HOOKS % (owner, keyed_by, header)


async def found(services: Services, connector: str, url: str) -> Source | None:
    """As whoever takes a delivery in finds the address, nothing remembered."""
    clients = services.connections.clients
    sources = Sources(services.db, services.vault, services.connectors, clients)
    return await sources.find(connector, url.rpartition("/")[2])


def header(source: Source | None) -> str:
    assert source is not None
    [(scheme, _)] = source.ways
    return str(scheme.spec.header)


async def test_the_address_of_an_app_follows_what_is_spoken_or_approved(
    services: Services, people: Any, chief: Any, rows: Any, make: Make
) -> None:
    globex: UUID = people.tenants["globex"].id
    first = await taken_in(services, make("0.1.0", SIGNED_IN, hooked("X-First")), chief)
    await chief.post(f"{first}/approve", whom="some", tenants="globex", reason="Asked for")
    given = {"connector": "acme", "client_id": "app-1", "secret": "s" * 20, "reason": "Asked for"}
    await chief.post("/console/oauth-clients", **given)
    assert "/hooks/" in (await chief.get("/console/oauth-clients")).text
    hooks: EndpointService = services.hooks
    async with services.db.tenant(OPERATOR) as session:
        url = (await hooks.of_client(session, OPERATOR, "acme")).url
        client = (await session.execute(text("SELECT id FROM oauth_clients"))).scalar_one()
    assert header(await found(services, "acme", url)) == "X-First"

    # one that nobody may connect changes nothing, not even by taking webhooks away
    second = await taken_in(services, make("0.2.0", SIGNED_IN, hooked("X-Second")), chief)
    await taken_in(services, make("0.3.0", SIGNED_IN), chief)
    assert header(await found(services, "acme", url)) == "X-First"
    async with services.db.tenant(OPERATOR) as session:
        assert await hooks.of_own_clients(session, OPERATOR) == {"acme": url}

    # with an account connected it is what that one speaks, whatever is approved
    held = await rows.connection(globex, connector="acme", connector_version="0.1.0", oauth_client_id=client)
    await chief.post(f"{second}/approve", whom="all", reason="Asked for")
    assert header(await found(services, "acme", url)) == "X-First"
    async with services.db.tenant(globex) as session:
        await session.execute(text("UPDATE connections SET connector_version = '0.2.0'"))
    assert header(await found(services, "acme", url)) == "X-Second"
    async with services.db.tenant(globex) as session:
        await session.execute(
            text("UPDATE connections SET state = 'disconnected' WHERE id = :held"), {"held": held}
        )
    assert header(await found(services, "acme", url)) == "X-Second"


async def test_a_connections_own_address_is_its_versions(
    services: Services, people: Any, chief: Any, rows: Any, make: Make
) -> None:
    """Neither the newest version's, nor none at all because the newest has none."""
    globex: UUID = people.tenants["globex"].id
    first = await taken_in(services, make("0.1.0", hooked("X-First", "connection", "us")), chief)
    await chief.post(f"{first}/approve", whom="all", reason="Asked for")
    second = await taken_in(services, make("0.2.0"), chief)
    await chief.post(f"{second}/approve", whom="all", reason="Asked for")
    await services.connectors.refresh()
    old = await rows.connection(globex, connector="acme", connector_version="0.1.0", account_id="1")
    new = await rows.connection(globex, connector="acme", connector_version="0.2.0", account_id="2")
    async with services.db.tenant(globex) as session:
        made = await services.hooks.make_for_connection(session, globex, old, "acme@0.1.0")
        none = await services.hooks.make_for_connection(session, globex, new, "acme@0.2.0")
        view = await services.hooks.of_connection(session, globex, old)
    assert made is not None
    assert made.connector == "acme"
    assert made.secret is not None
    assert none is None
    assert view is not None
    assert header(await found(services, "acme", view.url)) == "X-First"
    async with services.db.tenant(globex) as session:
        await session.execute(
            text("UPDATE connections SET connector_version = '0.2.0' WHERE id = :old"), {"old": old}
        )
    assert await found(services, "acme", view.url) is None


async def test_staff_paste_the_secret_that_only_the_apps_own_pages_show(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    old, new = hooked("X-Acme", keyed_by="pasted")
    steps = """[webhooks.by_hand]
steps = ["Open the app, Endpoints.", "Copy the secret."]

[[recipes]]
"""
    wanted = (old, new.removesuffix(old) + steps)
    first = await taken_in(services, make("0.1.0", SIGNED_IN, wanted), chief)
    await chief.post(f"{first}/approve", whom="some", tenants="globex", reason="Asked for")
    home = "/console/oauth-clients"
    given = {"connector": "acme", "client_id": "app-1", "secret": "s" * 20, "reason": "Asked for"}
    await chief.post(home, **given)
    page = (await chief.get(home)).text
    assert "Webhooks of Acme are refused until then" in page
    assert "Open the app, Endpoints." in page
    async with services.db.tenant(OPERATOR) as session:
        url = (await services.hooks.of_client(session, OPERATOR, "acme")).url
    source = await found(services, "acme", url)
    assert source is not None
    assert source.ways[0][1] == []

    secret = {"connector": "acme", "hook_secret": "endpoint-secret-0123"}
    refused = await chief.post(f"{home}/webhook-secret", **secret, reason="")
    assert refused.status_code == 422
    assert "endpoint-secret" not in refused.text
    short = await chief.post(f"{home}/webhook-secret", connector="acme", hook_secret="x", reason="Asked for")
    assert "Paste the whole secret" in short.text
    assert (await chief.post(f"{home}/webhook-secret", **secret, reason="Asked for")).status_code == 303
    source = await found(services, "acme", url)
    assert source is not None
    assert source.ways[0][1] == [b"endpoint-secret-0123"]
    page = (await chief.get(home)).text
    assert "Paste another secret for webhooks" in page
    assert "endpoint-secret" not in page
    async with services.db.tenant(OPERATOR) as session:
        dump = repr((await session.execute(text("SELECT * FROM audit_entries"))).all())
    assert "hook.secret_pasted" in dump
    assert "endpoint-secret" not in dump
