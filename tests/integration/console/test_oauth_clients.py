"""The installation's own apps at providers: entered by staff, sealed, for partners' connectors too."""

from collections.abc import Callable
from typing import Any

from packages_kit.steps import taken_in
from sqlalchemy import text

from trunkline.audit.service import history
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.principal import Principal
from trunkline.services import Services

Make = Callable[..., bytes]
HOME = "/console/oauth-clients"
SECRET = "s3cret-of-the-app-at-acme"
SIGNED_IN = (
    'kind = "api_key"\nheaders = { authorization = "Bearer {api_key}" }',
    (
        'kind = "oauth2"\nauthorize_url = "https://login.acme.example/authorize"\n'
        'token_url = "https://login.acme.example/token"'
    ),
)
NO_KEY = (
    (
        '\n[[auth.inputs]]\nname = "api_key"\nlabel = "API key"\nhelp = "In Acme, under Settings, API."\n'
        'form = "key"\nsecret = true\n'
    ),
    "",
)


async def test_a_partners_connector_is_signed_in_to_through_the_operators_app(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    globex = people.tenants["globex"].id
    path = await taken_in(services, make("0.1.0", SIGNED_IN, NO_KEY), chief)
    await chief.post(f"{path}/approve", whom="all", reason="Asked for")
    page = (await chief.get(HOME)).text
    assert "/oauth/callback/acme" in page
    assert "login.acme.example" in page

    for client_id, secret, reason, words in (
        ("", SECRET, "Asked for", "Enter the client ID"),
        ("app-1", "", "Asked for", "Enter the secret"),
        ("app-1", SECRET, " ", "Say why"),
        ("app-1", "x\ny", "Asked for", "Enter the secret"),
    ):
        answer = await chief.post(HOME, connector="acme", client_id=client_id, secret=secret, reason=reason)
        assert answer.status_code == 422
        assert words in answer.text
        assert SECRET not in answer.text
    answer = await chief.post(HOME, connector="nobody", client_id="a", secret=SECRET, reason="x")
    assert answer.status_code == 404

    done = await chief.post(HOME, connector="acme", client_id="app-1", secret=SECRET, reason="Asked for")
    page = await chief.flash(done)
    assert "Acme is connected through this app from now on" in page
    assert "app-1" in page
    assert SECRET not in page
    ada = Principal(kind="member", id="1", role="owner", label="Ada", tenant_id=globex)
    async with services.db.tenant(globex) as session:
        begun = await services.connections.begin(session, globex, ada, "acme")
    assert "/connect/acme?state=" in begun.url  # the subdomain first
    async with services.db.tenant(OPERATOR) as session:
        row = (
            await session.execute(
                text("SELECT client_id, secret FROM oauth_clients WHERE connector = 'acme'")
            )
        ).one()
        (entry,) = [one for one in await history(session, OPERATOR) if one.target_kind == "oauth_client"]
    assert SECRET.encode() not in bytes(row.secret)
    assert (entry.action, entry.reason, entry.after) == (
        "oauth_client.added",
        "Asked for",
        {"client_id": "app-1"},
    )
    assert SECRET not in str(entry)


async def test_an_app_that_connections_rest_on_is_not_changed_under_them(
    services: Services, people: Any, chief: Any, rows: Any
) -> None:
    """Their tokens are good with that client only; of whichever tenant they are."""
    globex = people.tenants["globex"].id
    given = {"connector": "hubspot", "client_id": "app-1", "secret": SECRET, "reason": "Asked for"}
    await chief.post(HOME, **given)
    async with services.db.tenant(OPERATOR) as session:
        client = (
            await session.execute(text("SELECT id FROM oauth_clients WHERE connector = 'hubspot'"))
        ).scalar_one()
    await rows.connection(globex, oauth_client_id=client)
    for answer in (
        await chief.post(HOME, **{**given, "client_id": "app-2"}),
        await chief.post(f"{HOME}/remove", connector="hubspot", reason="Asked for"),
    ):
        assert answer.status_code == 422
        assert "1 connection still uses this client" in answer.text
    done = await chief.post(HOME, **{**given, "secret": "another-" + SECRET})
    assert "from now on" in await chief.flash(done)
    async with services.db.tenant(globex) as session:
        await session.execute(text("UPDATE connections SET state = 'disconnected'"))
    refused = await chief.post(f"{HOME}/remove", connector="hubspot", reason=" ")
    assert "Say why" in refused.text
    done = await chief.post(f"{HOME}/remove", connector="hubspot", reason="No longer")
    assert "is forgotten" in await chief.flash(done)
    again = await chief.post(f"{HOME}/remove", connector="hubspot", reason="No longer")
    assert again.status_code == 422


async def test_support_does_not_see_it(support: Any) -> None:
    assert (await support.get(HOME)).status_code == 403
    assert (await support.post(HOME, connector="hubspot", reason="x")).status_code == 403
    assert HOME not in (await support.get("/console/connectors")).text
